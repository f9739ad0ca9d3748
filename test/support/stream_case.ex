defmodule Python.StreamCase do
  @moduledoc false

  # What the tests of streams share, on every engine. Their iterators are in test/support/python/streams.py
  # and tell what becomes of them, under the name that each test has.

  use ExUnit.CaseTemplate

  import ExUnit.Assertions
  import Python.Notes
  import Python.TestCase, only: [eventually: 2, eventually_busy: 2, messages: 0]

  using do
    quote do
      @moduletag engine: Python.Engines.current()
      import Python.Notes
      import Python.StreamCase
      import Python.TestCase
    end
  end

  setup_all context do
    Python.Engines.set_up(context.module)
    Python.SupportModules.find()
  end

  setup context do
    # Timeouts are for the iterators, not for these imports.
    Python.Engines.begin_test(context.module, ["import asyncio, streams"])
    {:ok, name: new_name()}
  end

  @doc "A stream of one of the iterators there."
  def stream(function, args \\ [], options \\ []) do
    Python.stream(:streams, function, args, options)
  end

  @doc "The items that a stream gives, and what it raises then; `nil` if it comes to its end."
  def read(stream) do
    tag = make_ref()

    error =
      try do
        Enum.each(stream, &send(self(), {tag, &1}))
        nil
      rescue
        error -> error
      end

    {received(tag), error}
  end

  defp received(tag) do
    receive do
      {^tag, item} -> [item | received(tag)]
    after
      0 -> []
    end
  end

  @doc "Waits until so many items have been made, and sees that it stays at that for a while."
  def eventually_made(name, count) do
    eventually("#{count} items are made", fn -> made(name) >= count end)
    # What would be too much has been begun by now.
    for _ <- 1..5, do: Process.sleep(10)
    assert made(name) == count
  end

  @doc "Sees that a generator was closed, as Python closes it, and that no message is left."
  def assert_closed(name) do
    assert eventually_told(name, "finally") == ["GeneratorExit", "finally"]
    assert messages() == []
  end

  @doc "Sees that a generator came to its end by an interrupt, or was closed between two items."
  def assert_ended(name) do
    assert [kind, "finally"] = eventually_told(name, "finally") -- ["at the gate"]
    assert kind in ["GeneratorExit", "Interrupt"]
    assert messages() == []
  end

  @doc "The first items of a stream, which then is suspended, and what `resume` and `halt` want."
  def suspend(stream, count) do
    {:suspended, {0, items}, continue} =
      Enumerable.reduce(stream, {:cont, {count, []}}, fn
        item, {1, items} -> {:suspend, {0, [item | items]}}
        item, {left, items} -> {:cont, {left - 1, [item | items]}}
      end)

    {Enum.reverse(items), continue}
  end

  @doc "The rest of the items."
  def resume(continue) do
    {_done_or_halted, {_, items}} = continue.({:cont, {0, []}})
    Enum.reverse(items)
  end

  @doc "Ends a suspended stream."
  def halt(continue) do
    {:halted, _} = continue.({:halt, nil})
    :ok
  end

  @doc "Runs a function in a process that is not linked. Returns its pid."
  def start(fun) do
    callers = [self() | Process.get(:"$callers", [])]

    spawn(fn ->
      Process.put(:"$callers", callers)
      fun.()
    end)
  end

  @doc "Waits until a process has ended."
  def gone(pid) do
    monitor = Process.monitor(pid)
    assert_receive {:DOWN, ^monitor, _, _, _}, 15_000
    :gone
  end

  @doc "Kills the process of the only worker of a pool."
  def kill_worker(pool) do
    [worker] = Map.keys(:sys.get_state(pool).processes)
    Process.exit(worker, :kill)
    worker
  end

  @doc "Keeps the workers of a pool busy, until the function that is returned is called."
  def hold(pool, count \\ 1) do
    name = new_name()
    for _ <- 1..count, do: start(fn -> Python.call(:streams, :wait, [name], pool: pool) end)
    eventually_busy(pool, count)
    fn -> open_gate(name) end
  end
end
