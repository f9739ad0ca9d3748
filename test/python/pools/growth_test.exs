defmodule Python.Pools.GrowthTest do
  # Alone: it looks at how many threads there are, and at calls that need the processors.
  use Python.TestCase

  alias Python.{FreshVM, OverloadedError, Pool, StoppedError, TimeoutError}

  # What runs at the same time, and how much did at most.
  @counted """
  import contextlib, hashlib, threading, time

  class NAME:
      lock = threading.Lock()
      now = most = 0
      opened = threading.Event()
      data = bytes(1 << 20)

      @classmethod
      @contextlib.contextmanager
      def counted(cls):
          with cls.lock:
              cls.now += 1
              cls.most = max(cls.most, cls.now)
          try:
              yield
          finally:
              with cls.lock:
                  cls.now -= 1

      @classmethod
      def compute(cls, ms):
          with cls.counted():
              end = time.thread_time() + ms / 1000
              while time.thread_time() < end:
                  sum(range(1000))

      # Without the GIL.
      @classmethod
      def digest(cls, ms):
          with cls.counted():
              end = time.thread_time() + ms / 1000
              while time.thread_time() < end:
                  hashlib.sha256(cls.data).digest()

      # In turn with the GIL and without.
      @classmethod
      def alternate(cls, ms):
          with cls.counted():
              end = time.thread_time() + ms / 1000
              while time.thread_time() < end:
                  hashlib.sha256(cls.data[:100_000]).digest()
                  sum(range(10_000))

      @classmethod
      def wait(cls, timeout=60):
          with cls.counted():
              return cls.opened.wait(timeout)
  """

  defp counted, do: define(@counted, "Counted")

  defp growing(options \\ []),
    do: start_pool(Keyword.merge([size: 2, max_size: 40, timeout: 60_000], options))

  defp call(name, method, args, options),
    do: Python.call(:__main__, "#{name}.#{method}", args, options)

  defp start(count, fun), do: for(_ <- 1..count, do: Task.async(fun))

  defp most(name), do: Python.eval!("(#{name}.most, setattr(#{name}, 'most', 0))[0]")

  defp open(name), do: Python.eval!("#{name}.opened.set()")

  defp extra_threads do
    for task <- File.ls!("/proc/self/task"),
        {:ok, "py_extra\n"} <- [File.read("/proc/self/task/#{task}/comm")],
        do: task
  end

  # Elsewhere the system does not tell who waits.
  @linux :os.type() == {:unix, :linux}

  describe "a pool that grows" do
    @describetag skip: not @linux

    test "runs as many calls that wait as it may have workers, and shrinks again" do
      pool = growing()
      name = counted()
      waiting = start(50, fn -> call(name, :wait, [], pool: pool) end)
      eventually_busy(pool, 40)
      assert %{workers: 40, busy: 40, queued: 10} = Pool.stats(pool)
      assert length(Pool.workers(pool)) == 40
      open(name)
      assert Enum.uniq(Task.await_many(waiting, 60_000)) == [{:ok, true}]
      assert most(name) == 40
      eventually("it shrinks", fn -> Pool.stats(pool).workers == 2 end)
      assert %{busy: 0, queued: 0, done: 50} = Pool.stats(pool)
      eventually("the threads end", fn -> extra_threads() == [] end)
      # And grows again.
      again = start(10, fn -> Python.call(:time, :sleep, [0.3], pool: pool) end)
      eventually_busy(pool, 10)
      assert Enum.uniq(Task.await_many(again)) == [{:ok, nil}]
    end

    for method <- [:compute, :digest, :alternate] do
      test "gets no more threads for calls that #{method}" do
        pool = growing()
        name = counted()
        method = unquote(method)

        for ms <- [0.5, 8] do
          computing = start(60, fn -> call(name, method, [ms], pool: pool) end)
          assert Enum.uniq(Task.await_many(computing, 60_000)) == [{:ok, nil}]
        end

        assert most(name) <= 2
        assert Pool.stats(pool).workers == 2
        # Nor where it has grown before.
        waiting = start(40, fn -> call(name, :wait, [], pool: pool) end)
        eventually_busy(pool, 40)
        open(name)
        Task.await_many(waiting, 60_000)
        most(name)
        computing = start(60, fn -> call(name, method, [3], pool: pool) end)
        Task.await_many(computing, 60_000)

        # At first, those that have waited may yet be about to take their next call, beside those that stood in for them.
        assert most(name) <= 4
      end
    end

    test "gets none for calls that compute where threads take turns more rarely" do
      vm = FreshVM.start(settings: [num_workers: 2, max_workers: 40])
      code = String.replace(@counted, "NAME", "Counted")
      assert :ok = FreshVM.call(vm, Python, :exec, [code])
      assert {:ok, nil} = FreshVM.call(vm, Python, :call, [:sys, :setswitchinterval, [0.02]])
      args = List.duplicate([150], 8)

      computing =
        for arg <- args do
          Task.async(fn ->
            FreshVM.call(vm, Python, :call, [:__main__, "Counted.compute", arg])
          end)
        end

      assert Enum.uniq(Task.await_many(computing, 60_000)) == [{:ok, nil}]
      assert {:ok, most} = FreshVM.call(vm, Python, :eval, ["Counted.most"])
      assert most <= 2
    end

    test "runs calls that compute beside those that wait, on no more threads than it had" do
      pool = growing()
      waiting_name = counted()
      name = counted()

      waiting = start(30, fn -> call(waiting_name, :wait, [], pool: pool) end)
      eventually_busy(pool, 30)
      computing = start(40, fn -> call(name, :compute, [5], pool: pool) end)
      assert Enum.uniq(Task.await_many(computing, 60_000)) == [{:ok, nil}]
      assert most(name) <= 2
      open(waiting_name)
      Task.await_many(waiting, 60_000)

      # In turn in the queue: one that has waited goes on beside the one that stood in for it.
      mixed =
        for number <- 1..60 do
          Task.async(fn ->
            if rem(number, 2) == 0,
              do: call(name, :compute, [5], pool: pool),
              else: Python.call(:time, :sleep, [0.03], pool: pool)
          end)
        end

      assert Enum.uniq(Task.await_many(mixed, 60_000)) == [{:ok, nil}]
      assert most(name) <= 4
    end

    test "is as it was when callers are killed, and calls are given up" do
      pool = growing()
      name = counted()
      killed = for _ <- 1..20, do: spawn(fn -> call(name, :wait, [0.5], pool: pool) end)
      eventually_busy(pool, 20)
      for pid <- killed, do: Process.exit(pid, :kill)
      late = start(20, fn -> call(name, :wait, [0.5], pool: pool, timeout: 50) end)
      assert Enum.all?(Task.await_many(late), &match?({:error, %TimeoutError{}}, &1))
      # Beside those, it has as many workers as before.
      waiting = start(40, fn -> call(name, :wait, [], pool: pool) end)
      eventually_busy(pool, 40)
      eventually("nothing is stuck", fn -> Pool.stats(pool).stuck == 0 end)
      assert Pool.stats(pool).workers <= 40
      open(name)
      assert Enum.uniq(Task.await_many(waiting, 60_000)) == [{:ok, true}]
      assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
      eventually("it shrinks", fn -> Pool.stats(pool).workers == 2 end)
    end

    test "gets no more threads for calls that compute beside workers that were given up" do
      pool = growing()
      name = counted()
      # Nothing interrupts it.
      stuck = for _ <- 1..2, do: spawn(fn -> Python.call(:time, :sleep, [8], pool: pool) end)
      eventually_busy(pool, 2)
      for pid <- stuck, do: Process.exit(pid, :kill)
      eventually("they were replaced", fn -> Pool.stats(pool).stuck == 2 end)

      for _ <- 1..3 do
        computing = start(40, fn -> call(name, :compute, [5], pool: pool) end)
        assert Enum.uniq(Task.await_many(computing, 60_000)) == [{:ok, nil}]
      end

      assert most(name) <= 2
      assert Pool.stats(pool).workers == 2
    end

    test "ends with all its threads" do
      pool = growing()
      name = counted()
      waiting = start(50, fn -> call(name, :wait, [1], pool: pool) end)
      eventually_busy(pool, 40)
      stop_supervised!(pool)
      assert Enum.all?(Task.await_many(waiting), &match?({:error, %StoppedError{}}, &1))
      eventually("the threads end", fn -> extra_threads() == [] end)
    end

    test "keeps to its queue's limit" do
      pool = growing(size: 1, max_size: 3, max_queue: 2)
      name = counted()
      _first = start(1, fn -> call(name, :wait, [], pool: pool) end)
      eventually_busy(pool)

      for count <- 2..3 do
        start(1, fn -> call(name, :wait, [], pool: pool) end)
        eventually_busy(pool, count)
      end

      start(2, fn -> call(name, :wait, [], pool: pool) end)
      eventually("two wait", fn -> Pool.stats(pool).queued == 2 end)
      assert {:error, %OverloadedError{}} = call(name, :wait, [], pool: pool)
      assert %{workers: 3, busy: 3, queued: 2} = Pool.stats(pool)
      open(name)
      eventually_idle(pool)
    end

    test "has its streams, maps and callbacks wait beside each other" do
      pool = growing()
      barrier = define("import threading\nNAME = threading.Barrier(12)", "barrier")
      test = self()

      ask = fn ->
        send(test, {:asked, self()})
        receive(do: (:go -> 0))
      end

      waiting =
        start(4, fn ->
          Python.map(:__main__, "#{barrier}.wait", [[60]], pool: pool, timeout: 60_000)
        end) ++
          start(4, fn ->
            "iter([#{barrier}.wait(60)])" |> Python.stream_eval(pool: pool) |> Enum.to_list()
          end) ++
          start(4, fn ->
            Python.eval("(ask(), #{barrier}.wait(60))", %{ask: ask}, pool: pool, timeout: 60_000)
          end)

      for _ <- 1..4 do
        assert_receive {:asked, pid}, 30_000
        send(pid, :go)
      end

      results = Task.await_many(waiting, 60_000)
      refute Enum.any?(results, &match?({:error, _}, &1))
    end

    test "runs what its :init has set in all its workers" do
      pool = growing(init: "import decimal; decimal.getcontext().prec = 4")
      code = "(__import__('time').sleep(0.3), str(decimal.Decimal(1) / 3))[1]"
      waiting = start(20, fn -> Python.eval(code, pool: pool) end)
      eventually_busy(pool, 20)
      assert Enum.uniq(Task.await_many(waiting)) == [{:ok, "0.3333"}]
    end

    test "serves thousands of calls that wait" do
      pool = growing()
      waiting = start(4_000, fn -> Python.call(:time, :sleep, [0.005], pool: pool) end)
      assert Enum.uniq(Task.await_many(waiting, 60_000)) == [{:ok, nil}]
      assert %{done: 4_000, busy: 0, queued: 0} = Pool.stats(pool)
      assert Pool.stats(pool).workers <= 40
    end
  end

  describe "a pool does not grow" do
    test "whose size was given" do
      pool = start_pool(size: 2, timeout: 60_000)
      other = growing()
      name = counted()
      waiting = start(6, fn -> call(name, :wait, [], pool: pool) end)
      beside = start(6, fn -> call(name, :wait, [], pool: other) end)
      eventually_busy(other, 6)
      assert %{workers: 2, busy: 2, queued: 4} = Pool.stats(pool)
      open(name)
      Task.await_many(waiting ++ beside, 60_000)
    end

    test "that has a limit below what it has" do
      for options <- [[size: 3, max_size: 2], [max_size: 0], [max_size: 1025], [max_size: "4"]] do
        assert_raise ArgumentError, ~r/:max_size of a pool to be /, fn ->
          Pool.start_link([name: NeverGrows] ++ options)
        end
      end

      assert_raise ArgumentError, ~r/unknown option :max_size of a pool/, fn ->
        Pool.start_link(name: NeverGrows, engine: :process, max_size: 4)
      end
    end
  end

  @tag skip: not @linux
  test "the default pool grows, and one with num_workers does not" do
    code = "__import__('time').sleep(0.2)"

    [grown, fixed] =
      together([[], [num_workers: 2]], fn settings ->
        vm = FreshVM.start(settings: settings)
        sleeping = start(24, fn -> FreshVM.call(vm, Python, :eval, [code]) end)

        busy = fn ->
          stats = FreshVM.call(vm, Pool, :stats, [Pool])
          if stats.busy > 0 and (stats.busy == 24 or settings != []), do: stats
        end

        stats = eventually("calls run", busy)
        Task.await_many(sleeping, 60_000)
        stats
      end)

    assert %{busy: 24, queued: 0} = grown
    assert fixed.busy <= 2 and fixed.workers == 2
  end
end
