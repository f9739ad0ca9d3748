defmodule Python.Engine.Asyncio.BlockedTest do
  # Code that holds up its loop: the log names the line once, telemetry each time, and its own timeout ends it.

  use Python.TestCase, async: false

  import ExUnit.CaptureLog

  alias Python.{Pool, TimeoutError}

  setup_all do
    name =
      define("""
      class NAME:
          import asyncio, erlang, threading, time

          ended = []

          async def sleeps(seconds):
              NAME.time.sleep(seconds)
              return "slept"

          async def sleeps_elsewhere(seconds):
              NAME.time.sleep(seconds)

          async def spins():
              try:
                  n = 0
                  while True: n += 1
              finally:
                  NAME.ended.append("spins")

          async def spins_in_a_task():
              await NAME.asyncio.create_task(NAME.spins())

          def spins_at_once():
              while True: pass

          async def waits(n):
              try:
                  await NAME.asyncio.sleep(60)
              finally:
                  NAME.ended.append(n)

          async def swallows():
              for _ in range(3):
                  try:
                      await NAME.asyncio.sleep(60)
                  except NAME.asyncio.CancelledError:
                      NAME.ended.append("swallowed")

          async def cleans_up(seconds):
              try:
                  await NAME.asyncio.sleep(60)
              finally:
                  await NAME.asyncio.sleep(seconds)
                  NAME.ended.append("cleaned up")

          async def leaves_a_task():
              async def fails(): raise ValueError("nobody awaits it")
              NAME.asyncio.create_task(fails())
              await NAME.asyncio.sleep(0)

          async def fails_in_a_callback():
              def fails(): raise ValueError("of a callback")
              NAME.asyncio.get_running_loop().call_soon(fails)
              await NAME.asyncio.sleep(0.01)

          async def exits_in_a_task():
              async def exits(): raise SystemExit(1)
              task = NAME.asyncio.create_task(exits())
              await NAME.asyncio.sleep(0.01)

          def loop(): return id(NAME.asyncio.get_running_loop())
      """)

    %{name: name}
  end

  defp loops(options \\ []), do: start_pool([engine: :asyncio, timeout: 20_000] ++ options)

  defp ask(name, pool, function, args \\ [], options \\ []),
    do: Python.call(:__main__, "#{name}.#{function}", args, [pool: pool] ++ options)

  defp ended(name), do: Python.eval!("#{name}.ended")

  test "the log names the line, once", %{name: name} do
    pool = loops()
    log = capture_log(fn -> assert ask(name, pool, :sleeps, [0.4]) == {:ok, "slept"} end)
    assert log =~ "has been held up for"
    assert log =~ inspect(pool)
    assert log =~ ~r/<exec \d+>:\d+ in sleeps/
    refute capture_log(fn -> ask(name, pool, :sleeps, [0.4]) end) =~ "held up"

    assert capture_log(fn -> ask(name, pool, :sleeps_elsewhere, [0.4]) end) =~
             "in sleeps_elsewhere"

    # What waits holds nothing up.
    refute capture_log(fn -> Python.call(:asyncio, :sleep, [0.4], pool: pool) end) =~ "held up"
  end

  test "the time can be set", %{name: name} do
    Python.exec!("async def #{name}_patient():\n    import time\n    time.sleep(0.3)")
    call = fn pool -> Python.call(:__main__, "#{name}_patient", [], pool: pool) end
    refute capture_log(fn -> call.(loops(block_warning: :infinity)) end) =~ "held up"
    refute capture_log(fn -> call.(loops(block_warning: 5_000)) end) =~ "held up"
    assert capture_log(fn -> call.(loops(block_warning: 50)) end) =~ "held up"
  end

  test "the timeout of a call that holds up the loop ends it, and the others go on", %{name: name} do
    pool = loops()
    others = for n <- 1..10, do: Python.call_async(:asyncio, :sleep, [0.2, n], pool: pool)
    loop = ask(name, pool, :loop)

    for function <- [:spins, :spins_in_a_task, :spins_at_once] do
      assert {:error, %TimeoutError{reason: :running}} =
               ask(name, pool, function, [], timeout: 100)

      assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
    end

    assert Enum.map(others, &Python.await/1) == for(n <- 1..10, do: {:ok, n})
    assert ask(name, pool, :loop) == loop
    assert Enum.count(ended(name), &(&1 == "spins")) == 2
  end

  test "no task is left of callers that are killed, cancelled or late", %{name: name} do
    pool = loops(max_queue: 5_000)
    callers = for n <- 1..1_000, do: spawn(fn -> ask(name, pool, :waits, [n]) end)
    eventually("all wait", fn -> Pool.stats(pool).busy == 1_000 end)
    Enum.each(callers, &Process.exit(&1, :kill))
    eventually("all are cancelled", fn -> Pool.stats(pool).busy == 0 end)
    assert Enum.sort(Enum.filter(ended(name), &is_integer/1)) == Enum.to_list(1..1_000)

    calls =
      for _ <- 1..100,
          do: Python.call_async(:__main__, "#{name}.waits", ["cancelled"], pool: pool)

    eventually("all wait", fn -> Pool.stats(pool).busy == 100 end)
    Enum.each(calls, &Python.cancel/1)

    eventually("all are cancelled", fn -> Enum.count(ended(name), &(&1 == "cancelled")) == 100 end)

    assert {:error, %TimeoutError{}} = ask(name, pool, :waits, ["late"], timeout: 50)
    eventually("it is cancelled", fn -> "late" in ended(name) end)
    assert Python.eval!("len(#{name}.asyncio.all_tasks())", %{}, pool: pool) == 0
  end

  test "a finally block has time, and what swallows the end is cancelled again", %{name: name} do
    pool = loops()
    assert {:error, %TimeoutError{}} = ask(name, pool, :cleans_up, [0.3], timeout: 50)
    eventually("it has cleaned up", fn -> "cleaned up" in ended(name) end)

    assert {:error, %TimeoutError{}} = ask(name, pool, :swallows, [], timeout: 50)
    eventually("it is over", fn -> Pool.stats(pool).busy == 0 end)
    assert Enum.count(ended(name), &(&1 == "swallowed")) == 3
  end

  test "exceptions that nobody awaits go to the log, and the loop goes on", %{name: name} do
    pool = loops()
    loop = ask(name, pool, :loop)

    log =
      capture_log(fn ->
        ask(name, pool, :leaves_a_task)
        Python.call!(:gc, :collect, [], pool: pool)
      end)

    assert log =~ "nobody awaits it"
    assert capture_log(fn -> ask(name, pool, :fails_in_a_callback) end) =~ "of a callback"
    capture_log(fn -> ask(name, pool, :exits_in_a_task) end)
    assert ask(name, pool, :loop) == loop
  end
end
