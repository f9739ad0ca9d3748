defmodule Python.Timeouts.TimeoutTest do
  # Alone: it measures time, and some of it takes the interpreter for itself.
  use Python.TestCase

  alias Python.{FreshVM, Pool, TimeoutError}

  # What the caller may be late, measured here and now: the machine may be busy.
  defp slack do
    {late, :ok} = timed(fn -> Process.sleep(20) end)
    500 + 10 * (late - 20)
  end

  defp assert_times_out(timeout, fun) do
    {ms, result} = timed(fun)
    assert {:error, %TimeoutError{timeout: ^timeout} = error} = result
    assert ms >= timeout
    assert ms < timeout + slack()
    error
  end

  # One worker, so that whatever is left behind is in the way of the next call.
  defp assert_works_at_once(pool) do
    {ms, result} = timed(fn -> Python.call(:math, :sqrt, [16], pool: pool, timeout: 20_000) end)
    assert result == {:ok, 4.0}
    assert ms < slack()
    assert messages() == []
    assert Pool.stats(pool).workers == 1
  end

  describe "a call that runs past its timeout" do
    test "in a loop of Python code is interrupted" do
      pool = start_pool()
      name = define("def NAME():\n    while True: pass")

      error =
        assert_times_out(60, fn -> Python.call(:__main__, name, [], pool: pool, timeout: 60) end)

      assert error.reason == :running
      assert_works_at_once(pool)
      eventually_idle(pool)
      assert Pool.stats(pool).timed_out == 1
    end

    test "in a loop of C calls is interrupted" do
      pool = start_pool()

      for code <- ["[0 for _ in iter(int, 1)]", "all(1 for _ in iter(int, 1))"] do
        assert_times_out(60, fn -> Python.eval(code, pool: pool, timeout: 60) end)
        assert_works_at_once(pool)
        eventually_idle(pool)
      end
    end

    test "in time.sleep lets the next call run at once" do
      pool = start_pool()
      options = [pool: pool, timeout: 60]
      assert_times_out(60, fn -> Python.call(:time, :sleep, [3], options) end)
      assert_works_at_once(pool)
    end

    test "in a lock lets the next call run at once" do
      pool = start_pool()
      lock = Python.call!(:threading, :Lock)
      Python.call!(lock, :acquire)
      assert_times_out(60, fn -> Python.call(lock, :acquire, [], pool: pool, timeout: 60) end)
      assert_works_at_once(pool)
      Python.call!(lock, :release)
    end

    test "in a read that blocks lets the next call run at once" do
      pool = start_pool()
      {read, write} = Python.call!(:os, :pipe)
      assert_times_out(60, fn -> Python.call(:os, :read, [read, 1], pool: pool, timeout: 60) end)
      assert_works_at_once(pool)
      Python.call!(:os, :write, [write, {:bytes, "x"}])
      eventually_idle(pool)
      Python.call!(:os, :close, [read])
      Python.call!(:os, :close, [write])
    end

    test "again and again leaves the pool and the VM's files as they were" do
      pool = start_pool()

      for _ <- 1..30 do
        assert {:error, %TimeoutError{}} = Python.call(:time, :sleep, [1], pool: pool, timeout: 5)
      end

      assert_works_at_once(pool)
      assert {:ok, _} = File.read(__ENV__.file)
      eventually_idle(pool)
    end

    test "in exec and map and await is interrupted" do
      pool = start_pool()
      loop = "while True: pass"
      assert_times_out(40, fn -> Python.exec(loop, pool: pool, timeout: 40) end)
      name = define("def NAME(n):\n    while True: pass")
      calls = [[1], [2]]
      assert_times_out(40, fn -> Python.map(:__main__, name, calls, pool: pool, timeout: 40) end)
      async = Python.call_async(:__main__, name, [1], pool: pool)
      assert_times_out(40, fn -> Python.await(async, 40) end)
      assert_works_at_once(pool)
    end

    test "while its module is imported can be called again" do
      pool = start_pool()
      folder = Path.join(System.tmp_dir!(), unique("slow"))
      File.mkdir_p!(folder)
      on_exit(fn -> File.rm_rf!(folder) end)
      module = write_module(folder, "import time\nfor _ in range(20): time.sleep(0.01)\nx = 1")
      options = [pool: pool, timeout: 20]
      assert {:error, %TimeoutError{}} = Python.call(module, "x.__add__", [1], options)
      assert_works_at_once(pool)
      assert Python.call(module, "x.__add__", [1], pool: pool) == {:ok, 2}
    end

    test "while its arguments or its result are converted is over" do
      pool = start_pool()
      list = Enum.to_list(1..3_000_000)

      # A caller that gets no processor meanwhile finds the answer.
      eventually("it is over while the argument is converted", fn ->
        result = Python.call(:builtins, :len, [list], pool: pool, timeout: 5)
        match?({:error, %TimeoutError{}}, result)
      end)

      eventually("it is over while the result is converted", fn ->
        result = Python.eval("list(range(5_000_000))", pool: pool, timeout: 5)
        match?({:error, %TimeoutError{}}, result)
      end)

      eventually_idle(pool)
      assert_works_at_once(pool)
    end
  end

  describe "a value without end" do
    test "is given up when the caller is gone" do
      pool = start_pool()
      # Shares its parts: small in Python, 2 ** 40 elements as a term.
      name = define("NAME = [1]\nfor _ in range(40): NAME = [NAME, NAME]")
      assert_times_out(50, fn -> Python.eval(name, pool: pool, timeout: 50) end)
      {ms, result} = timed(fn -> Python.eval("1 + 1", pool: pool, timeout: 60_000) end)
      assert result == {:ok, 2}
      assert ms < slack()
    end
  end

  describe "a call whose timeout ends while it waits for a worker" do
    test "never runs" do
      pool = start_pool()
      seen = define("NAME = []")
      lock = Python.call!(:threading, :Lock)
      Python.call!(lock, :acquire)
      holder = Python.call_async(lock, :acquire, [], pool: pool)
      eventually_busy(pool)

      error =
        assert_times_out(30, fn ->
          Python.call(:__main__, seen <> ".append", [1], pool: pool, timeout: 30)
        end)

      assert error.reason == :queued
      assert Exception.message(error) =~ "workers"
      Python.call!(lock, :release)
      assert Python.await(holder) == {:ok, true}
      assert_works_at_once(pool)
      assert Python.eval(seen) == {:ok, []}
    end

    test "of 0 ms is a TimeoutError or a result" do
      pool = start_pool()

      for _ <- 1..200 do
        case Python.call(:math, :sqrt, [16], pool: pool, timeout: 0) do
          {:ok, 4.0} -> :ok
          {:error, %TimeoutError{timeout: 0}} -> :ok
        end
      end

      assert_works_at_once(pool)
    end
  end

  describe "the TimeoutError" do
    test "says where Python was" do
      pool = start_pool()
      name = define("def NAME():\n    while True:\n        x = 1")

      # It is told within 25 ms or not at all, and the processors may have others to serve.
      error =
        eventually("it is told where Python was", fn ->
          {:error, error} = Python.call(:__main__, name, [], pool: pool, timeout: 50)
          error.location && error
        end)

      assert %{function: ^name, line: line, code: code} = error.location
      assert line in 2..3
      assert code in ["while True:", "x = 1"]
      assert Exception.message(error) =~ name
      assert Exception.message(error) =~ "50 ms"
    end

    test "is raised by call!" do
      assert_raise TimeoutError, ~r/20 ms/, fn ->
        Python.call!(:time, :sleep, [5], pool: start_pool(), timeout: 20)
      end
    end
  end

  describe "code that is interrupted" do
    test "runs its finally blocks and leaves its context managers" do
      pool = start_pool()

      name =
        define("""
        import contextlib
        NAME_log = []
        @contextlib.contextmanager
        def NAME_manager():
            try: yield
            finally: NAME_log.append('manager')
        def NAME():
            try:
                with NAME_manager():
                    while True: pass
            except Exception:
                NAME_log.append('Exception')
            except BaseException as e:
                NAME_log.append(type(e).__name__)
                raise
            finally:
                NAME_log.append('finally')
        """)

      assert {:error, %TimeoutError{}} = Python.call(:__main__, name, [], pool: pool, timeout: 30)
      eventually_idle(pool)
      assert Python.eval(name <> "_log") == {:ok, ["manager", "Interrupt", "finally"]}
    end

    test "and does not care is left behind" do
      pool = start_pool()

      name =
        define("""
        import time
        NAME_stop = []
        def NAME():
            while not NAME_stop:
                try:
                    while not NAME_stop: time.sleep(0.001)
                except BaseException: pass
        """)

      for _ <- 1..3 do
        assert_times_out(30, fn -> Python.call(:__main__, name, [], pool: pool, timeout: 30) end)
        assert_works_at_once(pool)
      end

      Python.exec!("#{name}_stop.append(1)")
      eventually_idle(pool)
    end

    test "never is the next call, or one in another pool" do
      pool = start_pool()
      other = start_pool()

      name =
        define("""
        import time
        def NAME(seconds, answer):
            end = time.perf_counter() + seconds
            while time.perf_counter() < end: pass
            return answer
        """)

      # Ends about when its timeout does, so that the interrupt comes at every possible moment.
      neighbour =
        Task.async(fn ->
          for n <- 1..400, do: {n, Python.call(:__main__, name, [0.001, n], pool: other)}
        end)

      results =
        for n <- 1..times(400, 20_000) do
          timeout = 1 + rem(n, 4)
          seconds = timeout / 1_000 + (rem(n, 11) - 5) / 10_000
          args = [seconds, n]

          case Python.call(:__main__, name, args, pool: pool, timeout: timeout) do
            {:ok, ^n} -> :answered
            {:error, %TimeoutError{timeout: ^timeout}} -> :timed_out
          end
          |> tap(fn _ ->
            assert Python.call(:__main__, name, [0.0, -n], pool: pool) == {:ok, -n}
          end)
        end

      assert :timed_out in results
      for {n, result} <- Task.await(neighbour, 60_000), do: assert(result == {:ok, n})
      assert messages() == []
      assert_works_at_once(pool)
    end

    # Not here: should an import be left half-way, nobody could import any more.
    test "in an import leaves imports that work" do
      vm = FreshVM.start()

      source = """
      import importlib, sys
      def f():
          for name in ('colorsys', 'quopri', 'fractions', 'statistics', 'plistlib'):
              sys.modules.pop(name, None)
              importlib.import_module(name)
      """

      assert FreshVM.call(vm, Python, :exec, [source]) == :ok
      pools = for _ <- 1..2, do: String.to_atom(unique("pool"))

      for pool <- pools do
        child = {Pool, name: pool, size: 1}
        {:ok, _} = FreshVM.call(vm, Supervisor, :start_child, [Python.Supervisor, child])
      end

      [interrupted, other] = pools

      for n <- 1..times(500, 10_000) do
        options = [pool: interrupted, timeout: rem(n, 20)]
        FreshVM.call(vm, Python, :call, [:__main__, :f, [], options])
      end

      options = [pool: other, timeout: 10_000]
      assert FreshVM.call(vm, Python, :call, [:__main__, :f, [], options]) == {:ok, nil}
    end
  end

  describe "when the caller dies" do
    test "the call is interrupted and the worker is free again" do
      pool = start_pool()
      name = define("def NAME():\n    while True: pass")

      for _ <- 1..20 do
        {pid, monitor} = spawn_monitor(fn -> Python.call(:__main__, name, [], pool: pool) end)
        eventually_busy(pool)
        Process.exit(pid, :kill)
        assert_receive {:DOWN, ^monitor, _, _, :killed}
        eventually_idle(pool)
      end

      assert_works_at_once(pool)
    end

    test "its calls that wait never run" do
      pool = start_pool()
      seen = define("NAME = []")
      lock = Python.call!(:threading, :Lock)
      Python.call!(lock, :acquire)
      holder = Python.call_async(lock, :acquire, [], pool: pool)
      eventually_busy(pool)

      for _ <- 1..20 do
        {pid, monitor} =
          spawn_monitor(fn -> Python.call(:__main__, seen <> ".append", [1], pool: pool) end)

        eventually("it waits", fn -> Pool.stats(pool).queued == 1 end)
        Process.exit(pid, :kill)
        assert_receive {:DOWN, ^monitor, _, _, :killed}
        eventually("it does not wait any more", fn -> Pool.stats(pool).queued == 0 end)
      end

      Python.call!(lock, :release)
      assert Python.await(holder) == {:ok, true}
      assert_works_at_once(pool)
      assert Python.eval(seen) == {:ok, []}
    end
  end

  test "an answer that is about to come when the timeout ends is never lost in the mailbox" do
    pool = start_pool()

    for n <- 1..times(1_000, 100_000) do
      Python.call(:time, :sleep, [0.0005 + rem(n, 7) / 10_000], pool: pool, timeout: 1)
    end

    eventually_idle(pool)
    assert messages() == []
  end

  test "a timeout of :infinity waits as long as it takes" do
    assert Python.call(:time, :sleep, [0.1], timeout: :infinity) == {:ok, nil}
  end
end
