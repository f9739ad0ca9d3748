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

  setup_all context, do: Python.Engines.set_up(context.module)

  setup context, do: Python.Engines.begin_test(context.module)
end
