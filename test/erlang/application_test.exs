defmodule Python.Erlang.ApplicationTest do
  use Python.TestCase, async: true

  alias Python.FreshVM

  @app Path.expand("examples/erlang_app")

  test "the Erlang application in examples runs" do
    ebin = Application.app_dir(:erlang_python, "ebin")
    {output, status} = FreshVM.execute(Path.join(@app, "run"), [ebin], python(), 60_000)
    assert {status, output} == {0, "{ok,[{<<\"tea\">>,2}]}\n"}
  end

  test "its release has all applications that it names" do
    {:ok, [{:application, :word_count, keys}]} =
      @app |> Path.join("src/word_count.app.src") |> :file.consult()

    {:ok, terms} = @app |> Path.join("rebar.config") |> :file.consult()
    {:release, {:word_count, version}, applications} = List.keyfind(terms[:relx], :release, 0)

    assert version == keys[:vsn]
    assert :word_count in applications
    assert :erlang_python in keys[:applications]
    assert [{:erlang_python, _}] = terms[:deps]
    assert File.read!(Path.join(@app, "config/vm.args")) =~ "releases/#{version}/consolidated"
  end

  defp python do
    case System.get_env("PYTHON", "") do
      "" -> []
      python -> [{"PATH", Path.dirname(python) <> ":" <> System.get_env("PATH")}]
    end
  end
end
