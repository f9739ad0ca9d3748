defmodule Python.Engine.Process.HandlesTest do
  # What lives in one worker: handles, streams, callbacks. With workers that are plain Python scripts.
  use Python.TestCase, async: true

  alias Python.{FakeWorker, StoppedError}

  setup context do
    options = Keyword.merge(FakeWorker.options(), Map.get(context, :pool, []))
    {:ok, pool: start_pool(options)}
  end

  defp kill(pool, os_pid) do
    System.cmd("kill", ["-9", "#{os_pid}"])

    eventually("another worker is there", fn ->
      os_pids = FakeWorker.os_pids(pool)
      os_pids && os_pids != [] && os_pid not in os_pids
    end)
  end

  @tag pool: [size: 3]
  test "a handle is used in the worker that it is in", %{pool: pool} do
    eventually("all are ready", fn -> FakeWorker.os_pids(pool) end)

    handles =
      for n <- 1..20 do
        {n, Python.call!(:builtins, :list, [[n]], pool: pool, return: :object)}
      end

    for {n, handle} <- handles do
      assert handle.home == pool
      assert Python.call(handle, :count, [n]) == {:ok, 1}
      assert Python.call(:builtins, :len, [handle], pool: pool) == {:ok, 1}
    end
  end

  test "an object is given up when nobody has its handle any more", %{pool: pool} do
    spawn(fn ->
      for _ <- 1..100, do: Python.call!(:builtins, :list, [[1]], pool: pool, return: :object)
    end)

    eventually("it is given up", fn ->
      Python.eval!("1", pool: pool)
      Python.Pool.stats(pool).done > 100 and Python.call!(:fake, :objects, [], pool: pool) == 0
    end)
  end

  test "what is asked of a handle whose worker has ended is an error", %{pool: pool} do
    handle = Python.call!(:builtins, :list, [[1]], pool: pool, return: :object)
    [os_pid] = FakeWorker.os_pids(pool)
    kill(pool, os_pid)
    assert {:error, %StoppedError{reason: :worker_down}} = Python.call(handle, :count, [1])

    assert {:error, %StoppedError{reason: :worker_down}} =
             Python.call(:builtins, :len, [handle], pool: pool)

    assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
  end

  @tag pool: [size: 2]
  test "handles of two workers in one call are an error that says so", %{pool: pool} do
    eventually("both are ready", fn -> FakeWorker.os_pids(pool) end)

    made =
      eventually("handles are in both", fn ->
        calls =
          for _ <- 1..4 do
            Python.call_async(:fake, :object, [], pool: pool, return: :object)
          end

        handles = for call <- calls, do: elem(Python.await(call), 1)
        by = Enum.uniq_by(handles, &Python.call!(&1, :get, ["pid"]))
        if length(by) == 2, do: by
      end)

    assert {:error, %Python.EncodeError{} = error} =
             Python.call(:builtins, :len, [made], pool: pool)

    assert Exception.message(error) =~ "two workers"
  end

  test "a handle of another pool is an error that says so", %{pool: pool} do
    other = start_pool(FakeWorker.options())
    handle = Python.call!(:builtins, :list, [[1]], pool: other, return: :object)
    assert {:error, error} = Python.call(:builtins, :len, [handle], pool: pool)
    assert Exception.message(error) =~ "another pool"
  end

  test "a stream has its items, and is closed", %{pool: pool} do
    numbers = Python.stream(:builtins, :range, [10], pool: pool, max_chunk: 3)
    assert Enum.to_list(numbers) == Enum.to_list(0..9)
    count = Python.stream(:itertools, :count, [], pool: pool, max_chunk: 3)
    assert Enum.take(count, 7) == [0, 1, 2, 3, 4, 5, 6]
    eventually("it is closed", fn -> Python.call!(:fake, :objects, [], pool: pool) == 0 end)
  end

  test "a stream whose worker ends is an error", %{pool: pool} do
    count = Python.stream(:itertools, :count, [], pool: pool, max_chunk: 1, prefetch: 0)

    assert_raise StoppedError, fn ->
      Enum.each(count, fn n ->
        if n == 3, do: kill(pool, hd(FakeWorker.os_pids(pool)))
      end)
    end
  end

  test "Python calls functions, which call Python in the same worker", %{pool: pool} do
    double = fn n -> Python.call!(:operator, :mul, [n, 2], pool: pool) end
    assert Python.call(:fake, :callback, [double, [21]], pool: pool) == {:ok, 42}
    assert {:error, error} = Python.call(:fake, :callback, [fn -> exit(:no) end, []], pool: pool)
    assert Exception.message(error) =~ "exit"
  end

  test "a callback ends with the call that it is for", %{pool: pool} do
    eventually("it is ready", fn -> FakeWorker.os_pids(pool) end)
    test = self()

    slow = fn ->
      send(test, {:running, self()})
      Python.call(:time, :sleep, [60], pool: pool)
    end

    assert {:error, %Python.TimeoutError{}} =
             Python.call(:fake, :callback, [slow, []], pool: pool, timeout: 200)

    assert_receive {:running, pid}
    monitor = Process.monitor(pid)
    assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}, 5_000
    assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
  end

  test "messages reach the code of a call", %{pool: pool} do
    call = Python.call_async(:fake, :receive, [], pool: pool)
    Python.send(call, "one")
    assert Python.await(call) == {:ok, "one"}
  end
end
