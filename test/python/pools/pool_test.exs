defmodule Python.Pools.PoolTest do
  # Alone: some of it kills processes of the application.
  use Python.EngineCase

  import Python.Notes

  alias Python.{NotStartedError, OverloadedError, Pool, StoppedError}

  setup_all do: Python.SupportModules.find()

  # Calls that wait at a gate hold a pool's workers until it is opened.
  defp hold(pool, count) do
    gate = new_name()
    name = define("def NAME(gate):\n    __import__('notes').wait(gate)\n    return 'done'")

    tasks =
      for _ <- 1..count do
        Task.async(fn -> Python.call(:__main__, name, [gate], pool: pool, timeout: 60_000) end)
      end

    eventually_busy(pool, min(count, Pool.stats(pool).workers))
    {tasks, fn -> open_gate(gate) end}
  end

  # The processes among a pool's workers.
  defp workers(pool) do
    {:links, links} = pool |> Process.whereis() |> Process.info(:links)
    Enum.filter(links, &worker?/1)
  end

  defp worker?(pid) do
    with true <- is_pid(pid), {:dictionary, dictionary} <- Process.info(pid, :dictionary) do
      dictionary[:"$initial_call"] == {Python.Engine.Main.Worker, :init, 3}
    else
      _ -> false
    end
  end

  defp kill_workers(pool) do
    workers = workers(pool)
    for pid <- workers, do: Process.exit(pid, :kill)
    length(workers)
  end

  describe "a pool" do
    test "runs the calls that name it" do
      pool = start_pool()
      assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
      assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
      assert Python.exec("pass", pool: pool) == :ok
      assert Python.map(:math, :sqrt, [[4]], pool: pool) == {:ok, [2.0]}
      assert "range(3)" |> Python.stream_eval(pool: pool) |> Enum.to_list() == [0, 1, 2]
      assert :math |> Python.call_async(:sqrt, [4], pool: pool) |> Python.await() == {:ok, 2.0}
    end

    test "goes into a supervision tree" do
      children = [{Pool, name: FirstOfTwo, size: 1}, {Pool, name: SecondOfTwo, size: 1}]
      {:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one)
      assert Python.call(:math, :sqrt, [16], pool: SecondOfTwo) == {:ok, 4.0}
      assert FirstOfTwo in Python.info().pools
      Supervisor.stop(supervisor)
      refute FirstOfTwo in Python.info().pools
    end

    @tag engine: :main
    test "shares __main__ with the others" do
      name = define("NAME = 'here'")
      assert Python.eval(name, pool: start_pool()) == {:ok, "here"}
    end

    test "runs as many calls at the same time as it has workers" do
      pool = start_pool(size: 4)
      {tasks, release} = hold(pool, 6)
      eventually("two wait", fn -> match?(%{busy: 4, queued: 2}, Pool.stats(pool)) end)
      release.()
      assert Task.await_many(tasks) == List.duplicate({:ok, "done"}, 6)
    end

    @tag engine: :main
    test "may have more workers than the VM has schedulers to spare" do
      size = 3 * :erlang.system_info(:dirty_io_schedulers)
      pool = start_pool(size: size)
      {tasks, release} = hold(pool, size)
      assert Pool.stats(pool).busy == size
      # The VM reads its files on the same schedulers.
      assert {:ok, _} = Task.await(Task.async(fn -> File.read(__ENV__.file) end))
      assert Python.call(:math, :sqrt, [16]) == {:ok, 4.0}
      release.()
      assert Task.await_many(tasks) == List.duplicate({:ok, "done"}, size)
    end

    test "runs calls in the order in which they came" do
      name = define("NAME = []")
      pool = start_pool()
      {tasks, release} = hold(pool, 1)

      asyncs =
        for n <- 1..50, do: Python.call_async(:__main__, name <> ".append", [n], pool: pool)

      release.()
      for async <- asyncs, do: assert(Python.await(async) == {:ok, nil})
      assert Task.await_many(tasks) == [{:ok, "done"}]
      assert Python.eval(name, pool: pool) == {:ok, Enum.to_list(1..50)}
    end

    @tag blocks: "time.sleep holds up the next call"
    test "has a timeout for calls that have none of their own" do
      pool = start_pool(timeout: 30)

      assert {:error, %Python.TimeoutError{timeout: 30}} =
               Python.call(:time, :sleep, [20], pool: pool)

      options = [pool: pool, timeout: 10_000]
      assert Python.call(:time, :sleep, [0.06], options) == {:ok, nil}
    end

    test "that does not exist is an error that names it" do
      for result <- [
            Python.call(:math, :sqrt, [1], pool: NoSuchPool),
            Python.eval("1", pool: NoSuchPool),
            Python.exec("1", pool: NoSuchPool),
            Python.map(:math, :sqrt, [[1]], pool: NoSuchPool)
          ] do
        assert {:error, %NotStartedError{} = error} = result
        assert Exception.message(error) =~ "there is no pool NoSuchPool; there"
        assert Exception.message(error) =~ "Python.Pool"
        refute Exception.message(error) =~ "not running"
      end
    end

    test "of a name that is taken is not started" do
      pool = start_pool()
      assert {:error, {:already_started, _}} = Pool.start_link(name: pool, size: 1)
      assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
    end
  end

  describe "the options of a pool" do
    test "are refused when they are invalid, with what is allowed" do
      for {options, text} <- [
            {[], ":name"},
            {[name: "pool"], ":name"},
            {[name: nil], ":name"},
            {[name: A, size: 0], ":size"},
            {[name: A, size: 2.5], ":size"},
            {[name: A, size: 1_000_000], ":size"},
            {[name: A, max_queue: 0], ":max_queue"},
            {[name: A, max_queue: :none], ":max_queue"},
            {[name: A, timeout: 0], ":timeout"},
            {[name: A, timeout: -1], ":timeout"},
            {[name: A, workers: 2], ":workers"}
          ] do
        error = assert_raise ArgumentError, fn -> Pool.start_link(options) end
        assert error.message =~ text
      end

      for options <- [%{name: A}, :name, [:name], nil] do
        assert_raise ArgumentError, fn -> Pool.start_link(options) end
      end
    end
  end

  describe "stats" do
    test "count what is going on and what was" do
      pool = start_pool(size: 2)
      none = %{workers: 2, busy: 0, queued: 0, done: 0, failed: 0, timed_out: 0}
      assert Pool.stats(pool) |> Map.take(Map.keys(none)) == none

      Python.call(:math, :sqrt, [16], pool: pool)
      Python.call(:math, :sqrt, [-1], pool: pool)
      Python.eval("object()", pool: pool)
      Python.call(:builtins, :len, [<<1::1>>], pool: pool)
      Python.eval("'\\ud800'", pool: pool)
      Python.call(:time, :sleep, [0.2], pool: pool, timeout: 10)
      eventually_idle(pool)
      assert %{workers: 2, done: 2, failed: 3, timed_out: 1} = Pool.stats(pool)
    end

    test "of a pool that is not there are an error that says which are" do
      pool = start_pool()
      error = assert_raise ArgumentError, fn -> Pool.stats(NoSuchPool) end
      assert error.message =~ "there is no pool NoSuchPool"
      assert error.message =~ inspect(pool) and error.message =~ inspect(Python.Pool)
    end

    test "of a pool that was killed are an error that does not name it as one that runs" do
      name = String.to_atom(unique("Elixir.KilledPool"))
      {:ok, pid} = Pool.start_link(name: name, size: 1)
      Process.unlink(pid)
      monitor = Process.monitor(pid)
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, _}

      for function <- [&Pool.stats/1, &Pool.workers/1] do
        error = assert_raise ArgumentError, fn -> function.(name) end
        assert error.message =~ "there is no pool #{inspect(name)}"
        [_, others] = String.split(error.message, ";")
        refute others =~ inspect(name)
      end

      refute name in Python.info().pools
      assert {:error, error} = Python.eval("1", pool: name)
      assert is_exception(error)

      # Its name is free.
      assert {:ok, _pid} = Pool.start_link(name: name, size: 1)
      assert %{workers: 1, done: 0} = Pool.stats(name)
      assert Python.eval("1", pool: name) == {:ok, 1}
    end

    test "are there while the :init runs" do
      name = String.to_atom(unique("Elixir.StartingPool"))
      file = Path.join(System.tmp_dir!(), unique("gate"))
      on_exit(fn -> File.rm(file) end)

      init = """
      import os, time
      while not os.path.exists(#{inspect(file)}): time.sleep(0.01)
      """

      task =
        Task.async(fn ->
          eventually("it starts", fn -> Pool.lookup(name) end)
          eventually("both are there", fn -> length(Pool.workers(name)) == 2 end)
          stats = Pool.stats(name)
          File.touch!(file)
          stats
        end)

      start_pool(name: name, size: 2, init: init)
      # It runs once, or in each process.
      inits = if Python.Engines.in_vm?(), do: 1, else: 2
      assert %{workers: 2, busy: busy, done: 0} = Task.await(task, 20_000)
      assert busy in 1..inits
      assert [%{calls: _}, %{calls: _}] = Pool.workers(name)
    end

    test "have counted what the caller has seen answered" do
      pool = start_pool(size: 2)

      for n <- 1..300 do
        case rem(n, 3) do
          0 -> {:ok, _} = Python.call(:math, :sqrt, [16], pool: pool)
          1 -> {:error, _} = Python.call(:math, :sqrt, [-1], pool: pool)
          2 -> {:ok, _} = Python.await(Python.call_async(:math, :sqrt, [4], pool: pool))
        end

        assert %{busy: 0, queued: 0, done: done, failed: failed} = Pool.stats(pool)
        assert {done + failed, failed} == {n, div(n + 2, 3)}
      end
    end
  end

  describe "a full queue" do
    @tag blocks: "calls in flight are counted, and not those that wait"
    test "is an OverloadedError, and nothing was run" do
      name = define("NAME = []")
      pool = start_pool(max_queue: 3)
      # A worker that has only been started takes nothing yet.
      Python.eval!("1", %{}, pool: pool)
      {tasks, release} = hold(pool, 4)
      eventually("three wait", fn -> Pool.stats(pool).queued == 3 end)

      assert {:error, %OverloadedError{pool: ^pool} = error} =
               Python.call(:__main__, name <> ".append", [1], pool: pool)

      assert Exception.message(error) =~ inspect(pool)
      assert Exception.message(error) =~ ":max_queue"
      assert_raise OverloadedError, fn -> Python.call_async(:math, :sqrt, [1], pool: pool) end
      assert_raise OverloadedError, fn -> Python.eval!("1", pool: pool) end

      assert_raise OverloadedError, fn ->
        "[1]" |> Python.stream_eval(pool: pool) |> Enum.to_list()
      end

      release.()
      assert Task.await_many(tasks) == List.duplicate({:ok, "done"}, 4)
      assert Python.eval(name, pool: pool) == {:ok, []}
      assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
    end

    test "has room again for each call that was given up" do
      pool = start_pool(max_queue: 2)
      {tasks, release} = hold(pool, 1)

      for _ <- 1..100 do
        assert {:error, %Python.TimeoutError{}} = Python.eval("1", timeout: 0, pool: pool)

        async = Python.call_async(:math, :sqrt, [4], pool: pool)
        Python.cancel(async)

        {pid, monitor} = spawn_monitor(fn -> Python.eval("1", pool: pool) end)
        eventually("it waits", fn -> Pool.stats(pool).queued == 1 end)
        Process.exit(pid, :kill)
        assert_receive {:DOWN, ^monitor, _, _, _}
        eventually("it does not wait any more", fn -> Pool.stats(pool).queued == 0 end)
      end

      release.()
      assert Task.await_many(tasks) == [{:ok, "done"}]
    end
  end

  describe "when the process of a worker is killed" do
    @tag engine: :main
    test "the caller has an error, and the pool is whole again" do
      pool = start_pool_of_processes(size: 2)
      name = define("def NAME():\n    while True: pass")
      task = Task.async(fn -> Python.call(:__main__, name, [], pool: pool, timeout: 60_000) end)
      eventually_busy(pool)
      assert kill_workers(pool) == 2
      assert {:error, %StoppedError{reason: :worker_down} = error} = Task.await(task, 60_000)
      assert Exception.message(error) =~ "worker"
      assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
      eventually("the pool is whole", fn -> match?(%{workers: 2, busy: 0}, Pool.stats(pool)) end)
    end

    @tag engine: :main
    test "while it is idle, nobody notices" do
      pool = start_pool_of_processes(size: 2)

      for _ <- 1..50 do
        kill_workers(pool)
        assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
      end

      assert Pool.stats(pool).workers == 2
    end

    @tag engine: :main
    test "under load, every call has a result or an error" do
      pool = start_pool_of_processes(size: 2)
      over = :atomics.new(1, [])

      # As long as workers are killed, so that some are at a call.
      callers =
        for _ <- 1..8 do
          Task.async(fn ->
            Stream.iterate(1, &(&1 + 1))
            |> Stream.take_while(&(&1 <= 300 or :atomics.get(over, 1) == 0))
            |> Enum.map(&{&1 * 1.0, Python.call(:math, :fabs, [&1], pool: pool)})
          end)
        end

      killer =
        Task.async(fn ->
          killed =
            for _ <- 1..30, reduce: 0 do
              killed ->
                Process.sleep(2)
                killed + kill_workers(pool)
            end

          :atomics.put(over, 1, 1)
          killed
        end)

      for {expected, result} <- callers |> Task.await_many(60_000) |> Enum.concat() do
        assert match?({:ok, ^expected}, result) or
                 match?({:error, %StoppedError{reason: :worker_down}}, result)
      end

      assert Task.await(killer, 60_000) > 1
      assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
      eventually("the pool is whole", fn -> match?(%{workers: 2, busy: 0}, Pool.stats(pool)) end)
    end
  end

  describe "when a pool" do
    test "is killed, waiting callers get an error, and it is started again" do
      pool = start_pool()
      {tasks, _release} = hold(pool, 3)
      eventually("two wait", fn -> Pool.stats(pool).queued == 2 end)
      pool |> Process.whereis() |> Process.exit(:kill)

      for result <- Task.await_many(tasks, 60_000) do
        assert {:error, %StoppedError{}} = result
      end

      eventually("the pool is there again", fn ->
        Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
      end)
    end

    test "is stopped, waiting callers get an error, and calls say that it does not exist" do
      pool = start_pool()
      {tasks, _release} = hold(pool, 3)
      stop_supervised!(pool)

      for result <- Task.await_many(tasks, 60_000) do
        assert {:error, %StoppedError{}} = result
      end

      assert {:error, %NotStartedError{}} = Python.call(:math, :sqrt, [16], pool: pool)
    end

    test "is the default one and is killed, it is there again" do
      task = Task.async(fn -> Python.call(:time, :sleep, [60], timeout: 120_000) end)
      eventually_busy(Pool)
      Pool |> Process.whereis() |> Process.exit(:kill)
      assert {:error, %StoppedError{}} = Task.await(task, 60_000)

      eventually("the default pool is there again", fn ->
        Python.call(:math, :sqrt, [16]) == {:ok, 4.0}
      end)
    end
  end

  @tag engine: :main
  test "a runtime that is killed is there again, with what was defined and the objects" do
    name = define("NAME = 'still here'")
    object = Python.eval!("[1, 2]", %{}, return: :object)
    pool = Process.whereis(Pool)
    Python.Runtime |> Process.whereis() |> Process.exit(:kill)

    # The pool, which ends with the runtime, serves calls up to that moment.
    eventually("Python is there again", fn ->
      Process.whereis(Pool) not in [nil, pool] and Python.eval(name) == {:ok, "still here"}
    end)

    assert Python.call(object, :copy) == {:ok, [1, 2]}
    assert Python.info().executable
  end
end
