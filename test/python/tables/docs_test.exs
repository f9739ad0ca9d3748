defmodule Python.Tables.DocsTest do
  # The examples, with the pandas and the polars of the packages for tests.

  use Python.EngineCase, async: true

  alias Python.Packages

  @moduletag skip: Packages.skip(__ENV__)
  @moduletag timeout: 300_000

  if match?({:ok, _}, Packages.venv()), do: Packages.add_to_path()

  doctest Python.Table
end
