defmodule Python.Environment.VersionTest do
  use ExUnit.Case, async: true

  alias Python.Environment.{Spec, Version}

  defp fits(text) do
    {:ok, clauses} = Version.parse(text)
    for version <- ~w(3.8.18 3.9.0 3.10.13 3.11.7 3.12.0 3.13.0 3.13.2), do: {version, clauses}
  end

  defp fitting(text) do
    for {version, clauses} <- fits(text),
        numbers = version |> String.split(".") |> Enum.map(&String.to_integer/1),
        Version.fits?(clauses, List.to_tuple(numbers)),
        do: version
  end

  test "a version without operators fits as for uv" do
    assert fitting("3.13") == ~w(3.13.0 3.13.2)
    assert fitting("3.13.2") == ~w(3.13.2)
    assert fitting("3.1") == []
    assert length(fitting("3")) == 7
    assert length(fitting(nil)) == 7
  end

  test "clauses are those of PEP 440" do
    for {text, expected} <- [
          {">=3.10,<3.13", ~w(3.10.13 3.11.7 3.12.0)},
          {">= 3.10, < 3.13", ~w(3.10.13 3.11.7 3.12.0)},
          {"<3.9.1", ~w(3.8.18 3.9.0)},
          {"<=3.9", ~w(3.8.18 3.9.0)},
          {">3.13", ~w(3.13.2)},
          {"~=3.11", ~w(3.11.7 3.12.0 3.13.0 3.13.2)},
          {"~=3.13.1", ~w(3.13.2)},
          {"==3.12", ~w(3.12.0)},
          {"==3.13", ~w(3.13.0)},
          {"==3.13.*", ~w(3.13.0 3.13.2)},
          {"===3.13.2", ~w(3.13.2)},
          {">=3.12,!=3.13.0", ~w(3.12.0 3.13.2)},
          {">=3.12,!=3.13.*", ~w(3.12.0)}
        ] do
      assert {text, fitting(text)} == {text, expected}
    end
  end

  test "what is none is refused" do
    for text <- [
          "",
          "3.x",
          "python3.13",
          ">=",
          "~=3",
          "3.13,",
          "^3.12",
          "3.13.0rc1",
          "=3.13",
          ">=3.10 <3.12"
        ] do
      assert {text, Version.parse(text)} == {text, :error}
    end
  end

  test "a spec takes them" do
    assert {:ok, %{version: ">=3.10,<3.13"}} = Spec.new([version: ">= 3.10, < 3.13"], "it")
    assert {:ok, %{version: "3.13"}} = Spec.new([version: ~c"3.13"], "it")

    for version <- ["3", "latest", "~> 3.12", 3.13] do
      assert {:error, error} = Spec.new([version: version], "it")
      assert error.message =~ ~s(such as "3.13", "3.13.2" or ">=3.10,<3.14")
    end
  end

  test "the names of builds have a version" do
    assert Version.of_name("3.13.2") == {3, 13, 2}
    assert Version.of_name("cpython-3.13.2-linux-x86_64-gnu") == {3, 13, 2}

    for name <- ["cpython-3.13-linux", "3.13", "3.13-dev", "pypy3.10-7.3.12", "venv", "3.13.0t"],
        do: assert({name, Version.of_name(name)} == {name, nil})
  end
end
