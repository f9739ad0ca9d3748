defmodule Python.EngineCase do
  @moduledoc false

  # For tests of what holds on every engine. Calls without a pool go to the default one, and `start_pool`
  # starts pools: both of the engine that the suite runs on (Python.Engines). What is only true of the
  # VM's interpreter says so: `@tag engine: :main`.

  use ExUnit.CaseTemplate

  using do
    quote do
      @moduletag engine: Python.Engines.current()
      import Python.TestCase
    end
  end
end
