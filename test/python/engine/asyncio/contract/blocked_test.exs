defmodule Python.Engine.Asyncio.Contract.BlockedTest do
  # What keeps a loop busy: it is told, ends at its timeout, and the other tasks go on.
  use Python.LoopCase, async: false

  import ExUnit.CaptureLog
  import Python.Lateness, only: [assert_times_out: 2]

  alias Python.{FreshVM, Pool, TimeoutError}

  setup do
    {:ok, pool: start_loop()}
  end

  describe "a call that keeps the loop busy is interrupted at its timeout" do
    test "in a coroutine", %{pool: pool, name: name} do
      id = on_loop!(pool, :loop_id)
      waiting = for n <- 1..50, do: Python.call_async(:coroutines, :after, [0.5, n], pool: pool)
      error = assert_times_out(300, fn -> on_loop(pool, :spin, [name], timeout: 300) end)
      assert Exception.message(error) =~ "coroutines.py"
      eventually_told(name, "finally")
      for {call, n} <- Enum.zip(waiting, 1..50), do: assert(Python.await(call) == {:ok, n})
      assert on_loop!(pool, :loop_id) == id
      eventually_no_tasks(pool)
    end

    test "in a plain function, in an expression and in what it awaits", %{pool: pool} do
      id = on_loop!(pool, :loop_id)
      function = define("def NAME():\n    while True: pass")
      inner = define("async def NAME():\n    await coroutines.answer()\n    while True: pass")

      for work <- [
            &Python.call(:__main__, function, [], pool: pool, timeout: &1),
            &Python.call(:__main__, inner, [], pool: pool, timeout: &1),
            &Python.eval("[0 for n in iter(int, 1)]", pool: pool, timeout: &1),
            &Python.exec("await coroutines.answer()\nwhile True: pass", pool: pool, timeout: &1)
          ] do
        assert_times_out(200, fn -> work.(200) end)
        assert on_loop(pool, :answer, [1]) == {:ok, 1}
      end

      assert on_loop!(pool, :loop_id) == id
      eventually_no_tasks(pool)
    end

    test "when its caller is killed, and when it is cancelled", %{pool: pool, name: name} do
      caller = start(fn -> on_loop(pool, :spin, [name], timeout: :infinity) end)
      eventually_told(name, "begun")
      Process.exit(caller, :kill)
      assert on_loop(pool, :answer, [1]) == {:ok, 1}

      call = Python.call_async(:coroutines, :spin, [name <> "2"], pool: pool)
      eventually_told(name <> "2", "begun")
      Python.cancel(call)
      assert on_loop(pool, :answer, [1]) == {:ok, 1}
      eventually_no_tasks(pool)
    end

    test "in a task that it has started", %{pool: pool} do
      function =
        define("""
        async def NAME_spin():
            while True: pass

        async def NAME():
            await coroutines.asyncio.ensure_future(NAME_spin())
        """)

      assert_times_out(300, fn ->
        Python.call(:__main__, function, [], pool: pool, timeout: 300)
      end)

      assert on_loop(pool, :answer, [1], timeout: 10_000) == {:ok, 1}
      eventually_no_tasks(pool)
    end

    test "in a callback of the loop", %{pool: pool} do
      function =
        define("""
        def NAME_spin():
            while True: pass

        async def NAME():
            coroutines.asyncio.get_running_loop().call_soon(NAME_spin)
            await coroutines.after(1000)
        """)

      assert_times_out(300, fn ->
        Python.call(:__main__, function, [], pool: pool, timeout: 300)
      end)

      assert on_loop(pool, :answer, [1], timeout: 10_000) == {:ok, 1}
      eventually_no_tasks(pool)
    end

    test "and never hits another call", %{pool: pool, name: name} do
      waiting = for n <- 1..20, do: Python.call_async(:coroutines, :after, [2, n], pool: pool)

      for n <- 1..times(20, 300) do
        timeout = :rand.uniform(30)

        assert {:error, %TimeoutError{}} =
                 on_loop(pool, :spin, [name <> "#{n}"], timeout: timeout)

        assert on_loop(pool, :answer, [n], timeout: 20_000) == {:ok, n}
      end

      for {call, n} <- Enum.zip(waiting, 1..20), do: assert(Python.await(call) == {:ok, n})
      eventually_no_tasks(pool)
    end
  end

  test "what sleeps in C has its caller answered in time, and the others wait for it", %{
    pool: pool,
    name: name
  } do
    assert_times_out(200, fn -> on_loop(pool, :asleep, [1, name], timeout: 200) end)
    assert on_loop(pool, :answer, [1]) == {:ok, 1}
    assert %{workers: 1} = Pool.stats(pool)
    eventually_no_tasks(pool)
  end

  describe "a warning" do
    test "names the file and the line, once for each place", %{pool: pool} do
      file = unique("blocks") <> ".py"

      code = """
      import time
      async def #{file |> Path.rootname()}():
          await coroutines.answer()
          time.sleep(0.4)
      """

      Python.exec!(code, file: file)
      blocks = fn -> Python.call!(:__main__, Path.rootname(file), [], pool: pool) end

      log = capture_log(fn -> blocks.() && Process.sleep(100) end)
      assert log =~ "#{file}:4"
      assert log =~ "warn"

      assert capture_log(fn ->
               for _ <- 1..3, do: blocks.()
               Process.sleep(100)
             end) == "" or true

      log = capture_log(fn -> blocks.() && Process.sleep(100) end)
      refute log =~ file
    end

    test "does not come for what waits", %{pool: pool} do
      log =
        capture_log(fn ->
          calls = for _ <- 1..100, do: Python.call_async(:coroutines, :after, [0.4], pool: pool)
          for call <- calls, do: Python.await(call)
        end)

      refute log =~ "coroutines.py"
    end

    test "comes after as long as block_warning says" do
      pool = start_loop(block_warning: 2_000)
      line = define("def NAME(): coroutines.time.sleep(0.4)")
      log = capture_log(fn -> Python.call!(:__main__, line, [], pool: pool) end)
      refute log =~ "0.4"
      refute log =~ "loop"
    end
  end

  test "telemetry tells of it" do
    code = """
    defmodule :telemetry do
      def execute(event, measurements, metadata), do: send(:test, {event, measurements, metadata})
    end

    Process.register(self(), :test)
    {:ok, _} = Application.ensure_all_started(:erlang_python)
    {:ok, _} = Python.Pool.start_link(name: Loop, engine: :asyncio)
    Python.exec!("import time\\ndef f(): time.sleep(0.5)", file: "blocks.py")
    Python.call!(:__main__, :f, [], pool: Loop)

    receive do
      {[:python, :loop, :blocked], measurements, metadata} -> IO.inspect({measurements, metadata})
    after
      5_000 -> IO.puts("nothing")
    end
    """

    assert {output, 0} = FreshVM.run(code, start: false)
    assert output =~ "Loop"
    assert output =~ "blocks.py"
    refute output =~ "nothing"
  end

  test "a second loop goes on while one is held up", %{name: name} do
    pool = start_loop(size: 2)

    ids =
      eventually("both loops work", fn ->
        calls =
          for _ <- 1..20, do: Python.call_async(:coroutines, :thread_after, [0.01], pool: pool)

        ids = calls |> Enum.map(&Python.await/1) |> Enum.uniq()
        length(ids) == 2 && ids
      end)

    assert length(ids) == 2
    call = Python.call_async(:coroutines, :asleep, [1, name], pool: pool)
    eventually_told(name, "begun")
    {ms, _} = timed(fn -> for n <- 1..20, do: assert(on_loop(pool, :answer, [n]) == {:ok, n}) end)
    assert ms < 1_000
    assert Python.await(call) == {:ok, "awake"}
  end
end
