defmodule Python.LoopCase do
  @moduledoc false

  # For tests of what is only true of the engine :asyncio. They start pools of their own, in the usual run of the suite.
  # Their coroutines are in test/support/python/coroutines.py, and tell what becomes of them, under a name of each test's.

  use ExUnit.CaseTemplate

  import Python.Notes
  import Python.TestCase, only: [start_pool: 1]

  using do
    quote do
      @moduletag engine: :main
      import Python.LoopCase
      import Python.StreamCase, only: [start: 1]
      import Python.Notes
      import Python.TestCase
    end
  end

  setup_all do
    Python.SupportModules.find()
    Python.exec!("import coroutines")
  end

  setup do
    {:ok, name: new_name()}
  end

  @doc "Starts a pool of one loop. Returns its name."
  def start_loop(options \\ []), do: start_pool([engine: :asyncio] ++ options)

  @doc "Calls one of the coroutines there."
  def on_loop(pool, function, args \\ [], options \\ []) do
    Python.call(:coroutines, function, args, [pool: pool] ++ options)
  end

  @doc "The same, for a value."
  def on_loop!(pool, function, args \\ [], options \\ []) do
    Python.call!(:coroutines, function, args, [pool: pool] ++ options)
  end

  @doc "How many tasks a loop has, besides the call that asks."
  def tasks(pool), do: on_loop!(pool, :tasks)

  @doc "Waits until a loop has no tasks, and its pool no calls."
  def eventually_no_tasks(pool) do
    Python.TestCase.eventually_idle(pool)
    Python.TestCase.eventually("the loop has no tasks", fn -> tasks(pool) == 0 end)
  end
end
