defmodule Python.Docs.TestingGuideTest do
  # A project with the files of guides/testing.md, whose tests have to pass. Takes its time: `--exclude release`.
  use Python.TestCase, async: true

  import Python.FakePython, only: [suite_python: 0]

  alias Python.{Checkout, DocBlock, FreshVM}

  @moduletag :release
  @moduletag :tmp_dir
  @moduletag timeout: 600_000

  @guide Checkout.path("guides/testing.md")

  @project """
  defmodule MyApp.MixProject do
    use Mix.Project

    def project do
      [app: :my_app, version: "1.0.0", deps: [{:erlang_python, path: #{inspect(Checkout.path("."))}}]]
    end

    def application, do: [extra_applications: [:logger]]
  end
  """

  @config """
  import Config
  import_config "\#{config_env()}.exs"
  """

  test "the tests of the guide pass in a project of their own", %{tmp_dir: folder} do
    [python: python, interpreter: _] = suite_python()
    write(folder, "mix.exs", @project)
    write(folder, "config/config.exs", @config)

    for {language, _, "# " <> rest = text} <- DocBlock.read(@guide) do
      case {language, rest |> String.split("\n") |> hd()} do
        {"elixir", file} -> write(folder, file, text)
        {"python", file} -> write(folder, Path.join("priv/python", file), text)
      end
    end

    env = [
      {"MIX_ENV", false},
      {"MIX_BUILD_PATH", false},
      {"PYTHON", false},
      {"VIRTUAL_ENV", false},
      {"MY_APP_PYTHON", python}
    ]

    mix = System.find_executable("mix")
    {output, status} = FreshVM.execute(mix, ["test"], env, 500_000, folder)
    assert {status, output} == {0, output}
    assert [_, tests] = Regex.run(~r/(\d+) tests, 0 failures/, output)

    files = Path.wildcard(Path.join(folder, "test/**/*_test.exs"))
    written = for file <- files, [_] <- Regex.scan(~r/^  test "/m, File.read!(file)), do: file
    assert String.to_integer(tests) == length(written)
    assert length(written) >= 12
  end

  defp write(folder, file, text) do
    path = Path.join(folder, file)
    File.mkdir_p!(Path.dirname(path))
    File.write!(path, text)
  end
end
