defmodule Python.Docs.DoctestsTest do
  # The examples of all modules that have some. A module is not forgotten because a list is.
  use Python.TestCase

  {:ok, modules} = :application.get_key(:erlang_python, :modules)

  documented =
    for module <- modules,
        {:docs_v1, _, :elixir, _, moduledoc, _, docs} <- [Code.fetch_docs(module)],
        moduledoc != :hidden,
        texts = [moduledoc | Enum.map(docs, &elem(&1, 3))],
        Enum.any?(texts, &match?(%{"en" => _}, &1)) do
      {module, Enum.any?(texts, &(is_map(&1) and &1["en"] =~ "iex>"))}
    end

  # Those of these need packages: test/python/tables/docs_test.exs, test/python/arrays/nx_test.exs.
  @elsewhere [Python.Nx, Python.Table]

  for {module, true} <- documented, module not in @elsewhere do
    doctest module, import: false
  end

  @documented documented
  test "modules have examples" do
    assert {Python, true} in @documented
    assert Enum.count(@documented, &elem(&1, 1)) >= 8
  end
end
