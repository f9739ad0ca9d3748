defmodule Python.Engine.Process.CallsTest do
  # The VM's side of the engine :process, with workers that are plain Python scripts.
  use Python.TestCase, async: true

  alias Python.{Error, FakeWorker, OverloadedError, Pool, StoppedError, TimeoutError}

  setup context do
    options = Keyword.merge(FakeWorker.options(), Map.get(context, :pool, []))
    {:ok, pool: start_pool(options)}
  end

  test "calls, expressions and statements have their answers", %{pool: pool} do
    assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
    assert Python.call(:math, :sqrt, [16], pool: pool, timeout: :infinity) == {:ok, 4.0}
    assert Python.eval("x + 1", %{x: 1}, pool: pool) == {:ok, 2}
    assert Python.exec("y = 5", pool: pool) == :ok
    assert Python.eval("y", pool: pool) == {:ok, 5}
    assert Python.map(:math, :sqrt, [[16], [4]], pool: pool) == {:ok, [4.0, 2.0]}
    assert %{done: 6, failed: 0, busy: 0, workers: 1} = Pool.stats(pool)
  end

  test "values cross, small and large", %{pool: pool} do
    for value <- [0, -1, 300, 1_000_000_000_000, 1.5, "text", "", [], [1, [2, "x"]], true, nil] do
      assert Python.call(:copy, :copy, [value], pool: pool) == {:ok, value}
    end

    text = String.duplicate("x", 3_000_000)
    assert Python.call(:copy, :copy, [text], pool: pool) == {:ok, text}
    list = Enum.to_list(1..100_000)
    assert Python.call(:copy, :copy, [list], pool: pool) == {:ok, list}
  end

  test "what Python raises is an error", %{pool: pool} do
    assert {:error, %Error{type: "ValueError"} = error} =
             Python.call(:builtins, :int, ["x"], pool: pool)

    assert error.message =~ "invalid literal"
    assert %{failed: 1} = Pool.stats(pool)
  end

  test "calls at the same time have each their own answer", %{pool: pool} do
    calls = for n <- 1..200, do: {n, Python.call_async(:operator, :add, [n, 1], pool: pool)}
    for {n, call} <- calls, do: assert(Python.await(call) == {:ok, n + 1})
  end

  @tag pool: [size: 2]
  test "two workers work at the same time", %{pool: pool} do
    eventually("both are ready", fn -> FakeWorker.os_pids(pool) end)
    calls = for _ <- 1..2, do: Python.call_async(:time, :sleep, [60], pool: pool)
    eventually_busy(pool, 2)
    Enum.each(calls, &Python.cancel/1)
    eventually_idle(pool)
  end

  test "the workers are told, with their processes", %{pool: pool} do
    own = Python.eval!("__import__('os').getpid()", pool: pool)
    assert [%{os_pid: ^own, calls: 1, memory: memory}] = Pool.workers(pool)
    assert memory > 1_000_000
    running = Python.call_async(:time, :sleep, [60], pool: pool)
    eventually("it works", fn -> match?([%{busy: true, calls: 2}], Pool.workers(pool)) end)
    Python.cancel(running)
  end

  test "a call past its timeout is given up where it is, and its worker is free", %{pool: pool} do
    eventually("it is ready", fn -> FakeWorker.os_pids(pool) end)

    assert {:error, %TimeoutError{timeout: 50, reason: :running} = error} =
             Python.call(:time, :sleep, [60], pool: pool, timeout: 50)

    assert Exception.message(error) =~ "fake.py"
    assert Python.call(:builtins, :abs, [-1], pool: pool) == {:ok, 1}
    assert %{timed_out: 1, stuck: 0} = Pool.stats(pool)
  end

  test "items that come when their chunk has been given up are no answer to that", %{pool: pool} do
    eventually("it is ready", fn -> FakeWorker.os_pids(pool) end)

    for prefetch <- 0..1 do
      items = Python.stream(:fake, :late_part, [], pool: pool, timeout: 100, prefetch: prefetch)

      error = assert_raise TimeoutError, fn -> Enum.to_list(items) end
      assert Exception.message(error) =~ "fake.py"
      refute_received _any
      assert Python.call(:builtins, :abs, [-1], pool: pool) == {:ok, 1}
    end
  end

  test "a call ends with its caller", %{pool: pool} do
    caller = spawn(fn -> Python.call(:time, :sleep, [60], pool: pool, timeout: 120_000) end)
    eventually_busy(pool)
    Process.exit(caller, :kill)
    assert Python.call(:builtins, :abs, [-1], pool: pool) == {:ok, 1}
  end

  @tag pool: [max_queue: 1]
  test "a full queue refuses calls", %{pool: pool} do
    eventually("it is ready", fn -> FakeWorker.os_pids(pool) end)
    running = Python.call_async(:time, :sleep, [60], pool: pool)
    eventually_busy(pool)
    queued = Python.call_async(:builtins, :abs, [-1], pool: pool)
    assert {:error, %OverloadedError{}} = Python.call(:math, :sqrt, [16], pool: pool)
    Python.cancel(running)
    assert Python.await(queued) == {:ok, 1}
  end

  test "the end of a pool is an error for what runs and what waits", %{pool: pool} do
    running = Python.call_async(:time, :sleep, [60], pool: pool)
    eventually_busy(pool)
    queued = Python.call_async(:builtins, :abs, [-1], pool: pool)
    stop_supervised!(pool)
    assert {:error, %StoppedError{}} = Python.await(running)
    assert {:error, %StoppedError{}} = Python.await(queued)
  end

  @tag pool: [size: 3]
  test "exec runs on every worker", %{pool: pool} do
    assert Python.exec("where = __import__('os').getpid()", pool: pool) == :ok
    os_pids = Enum.sort(FakeWorker.os_pids(pool))
    holding = for _ <- 1..3, do: Python.call_async(:fake, :where, [], pool: pool)
    Enum.each(holding, &Python.await/1)

    seen =
      eventually("each worker was asked", fn ->
        calls = for _ <- 1..9, do: Python.call_async(:fake, :name, ["where"], pool: pool)
        seen = for call <- calls, do: elem(Python.await(call), 1)
        if length(Enum.uniq(seen)) == 3, do: Enum.sort(Enum.uniq(seen))
      end)

    assert seen == os_pids
    assert {:error, %Error{type: "ZeroDivisionError"}} = Python.exec("1 / 0", pool: pool)

    assert {:error, %TimeoutError{}} =
             Python.exec("worker.fake_sleep(60)", pool: pool, timeout: 50)

    assert Python.exec("pass", pool: pool) == :ok
  end

  @tag pool: [size: 3, init: "began = 7"]
  test "an :init runs in each worker before its first call", %{pool: pool} do
    calls = for _ <- 1..30, do: Python.call_async(:fake, :name, ["began"], pool: pool)
    for call <- calls, do: assert(Python.await(call) == {:ok, 7})
  end

  test "a pool whose :init raises does not start" do
    Process.flag(:trap_exit, true)
    options = FakeWorker.options() ++ [name: :no_pool, size: 2, init: "1 / 0"]
    assert {:error, %Error{type: "ZeroDivisionError"}} = Pool.start_link(options)
  end

  test "what a worker is told are the settings of the pool", %{pool: pool} do
    ask = &Python.call!(:fake, :settings, [&1], pool: pool)
    assert ask.("home") == pool
    assert ask.("context") == false
    assert ask.("package") =~ "priv/python/erlang"
    assert Python.call!(:fake, :flags, [], pool: pool, timeout: :infinity) == [0, 2 ** 64 - 1]
  end

  test "a context is one worker, and ends with it" do
    Process.flag(:trap_exit, true)
    {:ok, context} = Python.Context.start_link(FakeWorker.options() ++ [init: "x = 1"])
    assert Python.eval("x + 1", context: context) == {:ok, 2}
    assert Python.eval("x + 1", context: context.pid) == {:ok, 2}
    Python.send(context, "hello")
    assert Python.call(:fake, :receive, [], context: context) == {:ok, "hello"}

    assert {:error, %Python.CrashedError{exit_status: 4}} =
             Python.call(:fake, :exit, [4], context: context)

    assert_receive {:EXIT, _pid, {:shutdown, _reason}}, 5_000
    assert {:error, _} = Python.eval("x", context: context.pid)
  end
end
