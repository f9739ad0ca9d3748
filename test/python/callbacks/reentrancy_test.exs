defmodule Python.Callbacks.ReentrancyTest do
  use Python.EngineCase, async: true

  @moduletag blocks: "plain functions wait for Elixir"

  defmodule Server do
    use GenServer
    def init(pool), do: {:ok, pool}
    def handle_call({:square, x}, _from, pool), do: {:reply, square(x, pool), pool}
    defp square(x, pool), do: Python.eval!("x * x", %{x: x}, pool: pool)
  end

  describe "Elixir and Python, by turns" do
    test "go 100 deep with one worker" do
      pool = start_pool(size: 1)
      assert Python.eval("f(100)", %{f: &deep(&1, pool: pool)}, pool: pool) == {:ok, 100}
      eventually_idle(pool)
      assert Python.Pool.stats(pool).workers == 1
      assert Python.eval("1", pool: pool) == {:ok, 1}
    end

    test "go 100 deep in a context" do
      context = start_context(init: "base = 7")

      function = fn
        0 -> Python.eval!("base", context: context)
        n -> n
      end

      assert Python.eval("f(0)", %{f: function}, context: context) == {:ok, 7}

      assert Python.eval("f(100)", %{f: &deep(&1, context: context)}, context: context) ==
               {:ok, 100}
    end

    test "go on in other pools and back" do
      [one, two] = for _ <- 1..2, do: start_pool(size: 1)

      back = fn x -> Python.eval!("x + 1", %{x: x}, pool: one) end
      there = fn x -> Python.eval!("f(x) * 10", %{f: back, x: x}, pool: two) end
      assert Python.eval("f(1)", %{f: there}, pool: one) == {:ok, 20}
    end

    test "see the names that the calls below have set" do
      name = define("NAME = 1")

      function = fn ->
        Python.exec!("#{name} = 2")
        Python.eval!(name)
      end

      assert Python.eval("[f(), #{name}]", %{f: function}) == {:ok, [2, 2]}
    end

    test "do not mix their variables up" do
      inner = fn -> Python.eval!("[x, y]", %{x: "inner", y: 1}) end

      assert Python.eval("[x, f(), x]", %{x: "outer", f: inner}) ==
               {:ok, ["outer", ["inner", 1], "outer"]}
    end

    test "may stream and map inside" do
      pool = start_pool(size: 1)

      function = fn n ->
        sum = "range(n)" |> Python.stream_eval(%{n: n}, pool: pool) |> Enum.sum()
        {:ok, squares} = Python.map(:math, :pow, [[n, 2], [n, 3]], pool: pool)
        [sum | squares]
      end

      assert Python.eval("f(5)", %{f: function}, pool: pool) == {:ok, [10, 25.0, 125.0]}
    end

    test "may wait for what was started inside" do
      pool = start_pool(size: 1)

      function = fn ->
        asyncs = for n <- 1..3, do: Python.call_async(:math, :sqrt, [n * n], pool: pool)
        for async <- asyncs, do: Python.await(async)
      end

      assert Python.eval("f()", %{f: fn -> Enum.map(function.(), &elem(&1, 1)) end}, pool: pool) ==
               {:ok, [1.0, 2.0, 3.0]}
    end
  end

  describe "a callback that asks another process, which calls Python," do
    test "does not wait for itself with one worker" do
      pool = start_pool(size: 1)
      server = start_supervised!(%{id: Server, start: {GenServer, :start_link, [Server, pool]}})
      ask = fn x -> GenServer.call(server, {:square, x}, 20_000) end

      assert Python.eval("[f(x) for x in range(20)]", %{f: ask}, pool: pool) ==
               {:ok, Enum.map(0..19, &(&1 * &1))}

      eventually_idle(pool)
    end

    test "does not wait for itself in a context" do
      context = start_context()

      ask = fn x ->
        Task.await(Task.async(fn -> Python.eval!("x + 1", %{x: x}, context: context) end))
      end

      assert Python.eval("[f(x) for x in range(5)]", %{f: ask}, context: context) ==
               {:ok, [1, 2, 3, 4, 5]}
    end

    test "does not wait for itself on a thread that Python made" do
      pool = start_pool(size: 1)
      server = start_supervised!(%{id: Server, start: {GenServer, :start_link, [Server, pool]}})
      ask = fn x -> GenServer.call(server, {:square, x}, 20_000) end

      name =
        define("""
        from concurrent.futures import ThreadPoolExecutor
        def NAME(f, count):
            with ThreadPoolExecutor(4) as executor:
                return list(executor.map(f, range(count)))
        """)

      for _ <- 1..5 do
        assert Python.call(:__main__, name, [ask, 20], pool: pool) ==
                 {:ok, Enum.map(0..19, &(&1 * &1))}
      end

      eventually_idle(pool)
      assert %{workers: 1} = Python.Pool.stats(pool)
    end

    test "works many times at once" do
      pool = start_pool(size: 2)

      ask = fn x ->
        Task.await(Task.async(fn -> Python.eval!("x * 2", %{x: x}, pool: pool) end), 30_000)
      end

      results =
        1..40
        |> Task.async_stream(&Python.eval!("f(x)", %{f: ask, x: &1}, pool: pool),
          max_concurrency: 40,
          timeout: 60_000
        )
        |> Enum.map(&elem(&1, 1))

      assert results == Enum.map(1..40, &(&1 * 2))
      eventually_idle(pool)
      assert %{workers: 2} = Python.Pool.stats(pool)
    end

    test "goes deep by way of processes" do
      pool = start_pool(size: 1)
      assert Python.eval("f(20)", %{f: &by_process(&1, pool)}, pool: pool) == {:ok, 20}
      eventually_idle(pool)
    end
  end

  describe "while Python waits for Elixir" do
    @tag engine: :main
    test "a context is woken by calls of others" do
      context = start_context()
      parent = self()

      function = fn ->
        send(parent, {:inside, self()})
        receive(do: (:go_on -> :done))
      end

      outer = Python.call_async(:builtins, :list, [[1]], context: context)
      assert Python.await(outer) == {:ok, [1]}
      outer = Python.eval_async("f()", %{f: function}, context: context)
      assert_receive {:inside, pid}, 15_000

      # A thread that looks up now and then serves one call each time.
      calls = fn ->
        for n <- 1..50, do: {:ok, ^n} = Python.eval("n", %{n: n}, context: context)
      end

      assert fastest(5, calls) < 500
      send(pid, :go_on)
      assert {:ok, done} = Python.await(outer)
      assert to_string(done) == "done"
    end

    test "its other threads run" do
      name =
        define("""
        import threading
        def NAME(f):
            state = {'count': 0, 'stop': False}
            def count():
                while not state['stop']:
                    state['count'] += 1
            thread = threading.Thread(target=count)
            thread.start()
            try:
                f(lambda: state['count'])
            finally:
                state['stop'] = True
                thread.join()
        """)

      # The function returns when the count has gone up twice while Python waited for it.
      function = fn count ->
        first = count!(count)
        second = eventually("the thread counts", fn -> above(count, first) end)
        eventually("the thread goes on counting", fn -> above(count, second) end)
        true
      end

      assert {:ok, _} = Python.call(:__main__, name, [function])
    end

    test "other workers run" do
      pool = start_pool(size: 2)
      test = self()

      waiting = fn ->
        send(test, {:waiting, self()})

        receive do
          :go_on -> "done"
        end
      end

      task = Task.async(fn -> Python.eval("f()", %{f: waiting}, pool: pool) end)
      assert_receive {:waiting, callback}, 15_000
      for n <- 1..100, do: assert(Python.eval("n", %{n: n}, pool: pool) == {:ok, n})
      send(callback, :go_on)
      assert Task.await(task) == {:ok, "done"}
    end

    test "a pool whose workers all wait still answers others" do
      pool = start_pool(size: 2)
      test = self()

      waiting = fn ->
        send(test, {:waiting, self()})

        receive do
          :go_on -> "done"
        end
      end

      tasks =
        for _ <- 1..2, do: Task.async(fn -> Python.eval("f()", %{f: waiting}, pool: pool) end)

      callbacks =
        for _ <- 1..2 do
          assert_receive {:waiting, callback}, 15_000
          callback
        end

      for n <- 1..20, do: assert(Python.eval("n", %{n: n}, pool: pool) == {:ok, n})
      for callback <- callbacks, do: send(callback, :go_on)
      assert Enum.map(tasks, &Task.await/1) == [{:ok, "done"}, {:ok, "done"}]
    end
  end

  describe "the deadline of the outer call" do
    test "ends a wait for a callback" do
      pool = start_pool(size: 1)

      for _ <- 1..3 do
        assert {:error, %Python.TimeoutError{}} =
                 Python.eval("f()", %{f: fn -> Process.sleep(:infinity) end},
                   pool: pool,
                   timeout: 100
                 )

        # The worker is there again while the function still sleeps.
        assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
      end

      eventually_idle(pool)
    end

    test "ends a wait in a context" do
      context = start_context()

      assert {:error, %Python.TimeoutError{}} =
               Python.eval("f()", %{f: fn -> Process.sleep(:infinity) end},
                 context: context,
                 timeout: 100
               )

      assert Python.eval("1 + 1", context: context) == {:ok, 2}
    end

    test "runs finally blocks, which may call Elixir" do
      name =
        define("""
        import erlang
        def NAME(f, report):
            try:
                f()
            except BaseException as error:
                report(['except', type(error).__name__])
                raise
            finally:
                for step in range(3):
                    report(['finally', step])
                report(['over', 0])
        """)

      test = self()
      report = fn event -> send(test, event) end

      assert {:error, %Python.TimeoutError{}} =
               Python.call(
                 :__main__,
                 name,
                 [fn -> Process.sleep(:infinity) end, report],
                 timeout: 100
               )

      assert_receive ["except", "Interrupt"], 15_000
      for step <- 0..2, do: assert_receive(["finally", ^step], 15_000)
      assert_receive ["over", 0], 15_000
    end

    test "leaves finally blocks the time to print and to receive" do
      {:ok, device} = StringIO.open("")

      name =
        define("""
        import erlang
        def NAME(f):
            try:
                f()
            finally:
                for step in range(3):
                    print('finally', step, flush=True)
        """)

      caller = fn ->
        Process.group_leader(self(), device)
        Python.call(:__main__, name, [fn -> Process.sleep(:infinity) end], timeout: 100)
      end

      assert {:error, %Python.TimeoutError{}} = Task.await(Task.async(caller))

      eventually("everything is printed", fn ->
        StringIO.contents(device) == {"", "finally 0\nfinally 1\nfinally 2\n"}
      end)
    end

    test "ends what the callback itself asks of Python" do
      pool = start_pool(size: 1)

      name =
        define("def NAME(): NAME.count = 0\n\ndef NAME_run():\n  while True: NAME.count += 1")

      Python.call!(:__main__, name, [], pool: pool)

      inner = fn -> Python.call(:__main__, "#{name}_run", [], pool: pool, timeout: :infinity) end

      assert {:error, %Python.TimeoutError{}} =
               Python.eval("f()", %{f: inner}, pool: pool, timeout: 200)

      eventually_idle(pool)
      count = Python.eval!("#{name}.count", pool: pool)
      assert Python.eval!("#{name}.count", pool: pool) == count
    end

    test "ends a wait for a message" do
      pool = start_pool(size: 1)

      assert {:error, %Python.TimeoutError{}} =
               Python.eval("__import__('erlang').receive()", pool: pool, timeout: 100)

      assert Python.eval("1", pool: pool) == {:ok, 1}
      eventually_idle(pool)
    end

    test "is told apart from the deadline of a call inside" do
      inner = fn ->
        {:error, error} = Python.eval("[0 for _ in iter(int, 1)]", timeout: 50)
        inspect(error.__struct__)
      end

      assert Python.eval("f()", %{f: inner}) == {:ok, "Python.TimeoutError"}

      assert {:error, %Python.Error{cause: %Python.TimeoutError{}}} =
               Python.eval("f()", %{
                 f: fn -> Python.eval!("[0 for _ in iter(int, 1)]", timeout: 50) end
               })
    end
  end

  describe "a caller that dies while its callback runs" do
    test "frees the worker" do
      pool = start_pool(size: 1)
      test = self()

      waiting = fn ->
        send(test, :waiting)
        Process.sleep(:infinity)
      end

      for _ <- 1..3 do
        caller =
          spawn(fn -> Python.eval("f()", %{f: waiting}, pool: pool, timeout: :infinity) end)

        assert_receive :waiting, 15_000
        Process.exit(caller, :kill)
        eventually_idle(pool)
        assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
      end

      assert %{workers: 1} = Python.Pool.stats(pool)
    end

    test "frees a context" do
      context = start_context()
      test = self()

      waiting = fn ->
        send(test, :waiting)
        Process.sleep(:infinity)
      end

      caller =
        spawn(fn -> Python.eval("f()", %{f: waiting}, context: context, timeout: :infinity) end)

      assert_receive :waiting, 15_000
      Process.exit(caller, :kill)
      assert Python.eval("1 + 1", context: context) == {:ok, 2}
    end
  end

  test "a pool that is stopped ends the waits for callbacks" do
    pool = start_pool(size: 1)
    test = self()

    waiting = fn ->
      send(test, :waiting)
      Process.sleep(:infinity)
    end

    task = Task.async(fn -> Python.eval("f()", %{f: waiting}, pool: pool) end)
    assert_receive :waiting, 15_000
    stop_supervised!(pool)
    assert {:error, %Python.StoppedError{}} = Task.await(task)
  end

  defp deep(0, _where), do: 0
  defp deep(n, where), do: Python.eval!("f(n) + 1", %{f: &deep(&1, where), n: n - 1}, where)

  defp by_process(0, _pool), do: 0

  defp by_process(n, pool) do
    task =
      Task.async(fn ->
        Python.eval!("f(n) + 1", %{f: &by_process(&1, pool), n: n - 1}, pool: pool)
      end)

    Task.await(task, 30_000)
  end

  defp count!(count), do: Python.apply!(count, [])

  defp above(count, before) do
    now = count!(count)
    if now > before, do: now
  end
end
