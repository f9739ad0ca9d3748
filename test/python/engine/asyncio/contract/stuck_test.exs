defmodule Python.Engine.Asyncio.Contract.StuckTest do
  # Which calls that were given up count as stuck in a loop, and what those that do not have to end.
  use Python.LoopCase, async: true

  alias Python.{Pool, TimeoutError}

  setup do
    {:ok, pool: start_loop()}
  end

  # Waits in an `await` when it is told to end, with an `await` in its `finally` block.
  defp ends_slowly do
    define("""
    async def NAME(name, seconds):
        coroutines.note(name, "begun")
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(seconds)
            coroutines.note(name, "finally")
    """)
  end

  defp blocks, do: define("def NAME(seconds): coroutines.time.sleep(seconds)")

  defp given_up(pool, function, args),
    do: Python.call_async(:__main__, function, args, pool: pool, timeout: :infinity)

  setup do
    Python.exec!("import asyncio")
  end

  defp begun(name, count) do
    eventually("all wait", fn -> Enum.count(events(name), &(&1 == "begun")) == count end)
  end

  test "a call that waits is not stuck while others hold up its loop", %{pool: pool, name: name} do
    function = ends_slowly()
    calls = for _ <- 1..300, do: given_up(pool, function, [name, 0.01])
    begun(name, 300)
    blocked = Python.call_async(:__main__, blocks(), [2.5], pool: pool)
    eventually("it is blocked", fn -> Pool.stats(pool).busy == 301 end)
    for call <- calls, do: Python.cancel(call)

    # Long after it was given up, and cancelled again.
    Process.sleep(2_100)
    assert %{stuck: 0, stuck_at: [], busy: 301} = Pool.stats(pool)
    assert Python.await(blocked) == {:ok, nil}
    eventually_no_tasks(pool)
    assert Enum.count(events(name), &(&1 == "finally")) == 300
  end

  test "the finally block of a call is not cut short when its loop comes late to its end", %{
    pool: pool,
    name: name
  } do
    call = given_up(pool, ends_slowly(), [name, 0.3])
    begun(name, 1)
    blocked = Python.call_async(:__main__, blocks(), [1.3], pool: pool)
    eventually("it is blocked", fn -> Pool.stats(pool).busy == 2 end)
    # It is told to end now, and again after a second: both at once, when the loop goes on.
    Python.cancel(call)
    assert Python.await(blocked) == {:ok, nil}
    assert eventually_told(name, "finally") == ["begun", "finally"]
    eventually_no_tasks(pool)
  end

  test "the finally block of a call has its time though others hold up the loop meanwhile", %{
    pool: pool,
    name: name
  } do
    function =
      define("""
      async def NAME(name):
          coroutines.note(name, "begun")
          try:
              await asyncio.sleep(1000)
          finally:
              for _ in range(4):
                  await asyncio.sleep(0)
              coroutines.note(name, "finally")
      """)

    call = given_up(pool, function, [name])
    begun(name, 1)
    block = blocks()
    block = fn -> Python.call_async(:__main__, block, [0.5], pool: pool) end
    first = block.()
    eventually("it is blocked", fn -> Pool.stats(pool).busy == 2 end)
    # Told to end now, and a second later: between two awaits in its finally block.
    Python.cancel(call)
    others = for _ <- 1..5, do: block.()
    for call <- [first | others], do: assert(Python.await(call) == {:ok, nil})
    assert eventually_told(name, "finally") == ["begun", "finally"]
    eventually_no_tasks(pool)
  end

  test "a call that is not at work is not interrupted, however long the turn of its loop", %{
    pool: pool,
    name: name
  } do
    # All are at work for 2 ms at a time, and none has an end.
    function =
      define("""
      async def NAME(name):
          coroutines.note(name, "begun")
          try:
              while True:
                  until = coroutines.time.perf_counter() + 0.002
                  while coroutines.time.perf_counter() < until:
                      pass
                  await asyncio.sleep(0)
          except erlang.Interrupt:
              # Where the system has taken the processor away for long, it was at work for as long.
              late = coroutines.time.perf_counter() - until > 0.005
              coroutines.note(name, "late" if late else "interrupted")
          except asyncio.CancelledError:
              coroutines.note(name, "cancelled")
      """)

    calls = for _ <- 1..24, do: given_up(pool, function, [name])
    begun(name, 24)
    for call <- Enum.take(calls, 12), do: Python.cancel(call)

    eventually("half are cancelled", fn ->
      Enum.count(events(name), &(&1 in ["cancelled", "late"])) == 12
    end)

    for call <- Enum.drop(calls, 12), do: Python.cancel(call)
    eventually_no_tasks(pool)
    refute "interrupted" in events(name)
  end

  test "a call that does not end though it was cancelled again and again is stuck", %{
    pool: pool,
    name: name
  } do
    # Where the machine is busy, its time may be over before it begins.
    begun =
      Enum.any?([50, 1_000, 10_000], fn timeout ->
        assert {:error, %TimeoutError{}} = on_loop(pool, :stubborn, [name], timeout: timeout)
        "begun" in events(name)
      end)

    assert begun
    eventually("it is stuck", fn -> Pool.stats(pool).stuck == 1 end)
    assert Enum.count(events(name), &(&1 == "cancelled")) >= 3
    # At the gate, which is a file.
    assert [%{file: file, ms: ms}] = Pool.stats(pool).stuck_at
    assert file =~ "test/support/python/" and ms >= 0

    # It costs no thread, and holds up nobody.
    assert on_loop(pool, :answer, [1]) == {:ok, 1}
    open_gate(name)
    eventually("it has ended", fn -> match?(%{stuck: 0, stuck_at: []}, Pool.stats(pool)) end)
    eventually_no_tasks(pool)
  end

  test "of those that are given up while one blocks the loop, that one is stuck", %{
    pool: pool,
    name: name
  } do
    function = ends_slowly()
    waiting = for _ <- 1..20, do: given_up(pool, function, [name, 0.01])
    begun(name, 20)

    assert {:error, %TimeoutError{}} =
             Python.call(:__main__, blocks(), [1.5], pool: pool, timeout: 50)

    for call <- waiting, do: Python.cancel(call)
    eventually("it is stuck", fn -> Pool.stats(pool).stuck > 0 end)
    assert %{stuck: 1, stuck_at: [%{function: place}]} = Pool.stats(pool)
    assert place != "sleep"
    eventually_no_tasks(pool)
    assert %{stuck: 0} = Pool.stats(pool)
    assert Enum.count(events(name), &(&1 == "finally")) == 20
  end

  test "of ten thousand callers that are killed at once no task is left, and none is stuck", %{
    pool: pool
  } do
    for _ <- 1..times(2, 10) do
      callers =
        for _ <- 1..10_000, do: start(fn -> on_loop(pool, :after, [1000], timeout: :infinity) end)

      eventually("all wait", fn -> Pool.stats(pool).busy == 10_000 end)
      for caller <- callers, do: Process.exit(caller, :kill)

      eventually("none is left", fn ->
        stats = Pool.stats(pool)
        assert stats.stuck == 0
        stats.busy == 0
      end)

      assert tasks(pool) == 0
    end

    assert on_loop(pool, :answer, [1]) == {:ok, 1}
  end
end
