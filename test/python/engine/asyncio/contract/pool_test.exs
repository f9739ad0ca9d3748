defmodule Python.Engine.Asyncio.Contract.PoolTest do
  # Pools of loops: their options, their numbers, and their end.
  use Python.LoopCase, async: false

  alias Python.{FreshVM, Pool, StoppedError}

  describe "options" do
    test "that make no sense are refused, with what is allowed" do
      Process.flag(:trap_exit, true)

      for {option, allowed} <- [
            {[loop: :trio], ":uvloop"},
            {[loop: "auto"], ":uvloop"},
            {[size: 0], "from 1 to 1024"},
            {[max_queue: -1], "max_queue"},
            {[block_warning: -1], "block_warning"},
            {[kill_after: 5], "kill_after"}
          ] do
        error =
          assert_raise ArgumentError, fn ->
            Pool.start_link(
              [name: String.to_atom(unique("Elixir.Bad")), engine: :asyncio] ++ option
            )
          end

        assert Exception.message(error) =~ allowed
      end

      error = assert_raise ArgumentError, fn -> Pool.start_link(name: :main_pool, loop: :auto) end
      assert Exception.message(error) =~ "loop"
    end

    test "the loop is asyncio's own where that is asked for" do
      pool = start_loop(loop: :asyncio)
      code = "type(coroutines.asyncio.get_running_loop()).__module__"
      assert Python.eval!(code, pool: pool) == "asyncio.unix_events"
    end

    test "uvloop that is not there is named by the error" do
      if Python.eval!("__import__('importlib.util').util.find_spec('uvloop') is None") do
        Process.flag(:trap_exit, true)
        options = [name: String.to_atom(unique("Elixir.Uv")), engine: :asyncio, loop: :uvloop]

        ExUnit.CaptureLog.capture_log(fn ->
          case Pool.start_link(options) do
            {:error, error} ->
              assert error.reason == :init_failed
              message = Exception.message(error)
              executable = Python.eval!("__import__('sys').executable")
              assert message =~ "the package uvloop is not installed for #{executable}"
              assert message =~ "set loop: :asyncio"

            {:ok, _} ->
              assert Exception.message(elem(Python.eval("1", pool: options[:name]), 1)) =~
                       "uvloop"
          end
        end)
      end
    end

    test "as many loops as there are to be, each on a thread of its own" do
      pool = start_loop(size: 3)
      assert %{workers: 3} = Pool.stats(pool)

      seen =
        eventually("all three work", fn ->
          calls =
            for _ <- 1..12, do: Python.call_async(:coroutines, :thread_after, [0.02], pool: pool)

          seen = calls |> Enum.map(&Python.await/1) |> Enum.uniq()
          length(seen) == 3 && seen
        end)

      assert length(seen) == 3
    end
  end

  test "what a pool does is in its numbers", %{name: name} do
    pool = start_loop()
    assert %{workers: 1, busy: 0, queued: 0, done: 0, failed: 0} = Pool.stats(pool)
    assert [%{os_pid: nil, busy: false, calls: calls}] = Pool.workers(pool)
    assert is_integer(calls)
    call = Python.call_async(:coroutines, :held, [name], pool: pool)
    eventually_told(name, "begun")
    assert %{busy: 1, queued: 0} = Pool.stats(pool)
    assert [%{busy: true}] = Pool.workers(pool)
    open_gate(name)
    Python.await(call)
    on_loop(pool, :fail, ["no"])
    assert %{busy: 0, done: 1, failed: 1} = Pool.stats(pool)
  end

  describe "when a pool stops" do
    test "its tasks are cancelled, and their finally blocks run", %{name: name} do
      pool = start_loop()

      calls =
        for n <- 1..10, do: Python.call_async(:coroutines, :held, ["#{name}#{n}"], pool: pool)

      on_loop!(pool, :leave_task, [name])
      for n <- 1..10, do: eventually_told("#{name}#{n}", "begun")
      stop_supervised!(pool)
      for call <- calls, do: assert({:error, %StoppedError{}} = Python.await(call))

      for name <- [name | for(n <- 1..10, do: "#{name}#{n}")],
          do: assert("finally" in eventually_told(name, "finally"))
    end

    test "asynchronous generators are closed, and the executor is shut down", %{name: name} do
      pool = start_loop()

      function =
        define("""
        async def NAME(name):
            global NAME_items
            NAME_items = coroutines.numbers(10, name)
            await NAME_items.__anext__()
            loop = coroutines.asyncio.get_running_loop()
            return await loop.run_in_executor(None, coroutines.threading.current_thread)
        """)

      {:ok, thread} = Python.call(:__main__, function, [name], pool: pool)
      assert Python.call!(:builtins, :getattr, [thread, "name"])
      stop_supervised!(pool)
      eventually_told(name, "finally")

      if python_version() >= {3, 9} do
        eventually("its thread ends", fn ->
          not Python.call!(thread, :is_alive, [], pool: Python.Pool)
        end)
      end
    end

    test "a task that takes no end is left behind in time", %{name: name} do
      pool = start_loop()
      call = Python.call_async(:coroutines, :stubborn, [name], pool: pool)
      eventually_told(name, "begun")
      {ms, _} = timed(fn -> stop_supervised!(pool) end)
      assert ms < 10_000
      assert {:error, %StoppedError{}} = Python.await(call)
      open_gate(name)
    end

    test "a task that keeps the loop busy is interrupted", %{name: name} do
      pool = start_loop()
      call = Python.call_async(:coroutines, :spin, [name], pool: pool, timeout: :infinity)
      eventually_told(name, "begun")
      {ms, _} = timed(fn -> stop_supervised!(pool) end)
      assert ms < 10_000
      assert {:error, %StoppedError{}} = Python.await(call)
      eventually_told(name, "finally")
    end

    test "no descriptor and no thread is left", %{name: _name} do
      for _ <- 1..3, do: loop_once()
      {descriptors, threads} = {descriptors(), threads()}
      for _ <- 1..20, do: loop_once()

      eventually("as many descriptors as before", fn -> descriptors() <= descriptors end)
      eventually("as many threads as before", fn -> threads() <= threads end)
    end
  end

  defp loop_once do
    pool = start_loop()
    assert on_loop(pool, :answer, [1]) == {:ok, 1}
    stop_supervised!(pool)
  end

  # Of loops: other tests open files meanwhile.
  defp descriptors do
    Enum.count(File.ls!("/proc/self/fd"), fn fd ->
      case File.read_link("/proc/self/fd/#{fd}") do
        {:ok, path} -> path =~ "eventpoll" or path =~ "eventfd"
        _ -> false
      end
    end)
  end

  defp threads do
    Enum.count(File.ls!("/proc/self/task"), fn task ->
      case File.read("/proc/self/task/#{task}/comm") do
        {:ok, "py_" <> _} -> true
        _ -> false
      end
    end)
  end

  test "a pool that is killed and started again by its supervisor works", %{name: name} do
    pool = start_loop()
    start(fn -> on_loop(pool, :held, [name]) end)
    eventually_told(name, "begun")
    pid = Process.whereis(pool)
    Process.exit(pid, :kill)
    eventually("there is another one", fn -> Process.whereis(pool) not in [nil, pid] end)

    eventually("it works", fn -> on_loop(pool, :answer, [1]) == {:ok, 1} end)
    eventually_told(name, "finally")
  end

  test "the default pool may be one, and the application starts again" do
    vm =
      FreshVM.start(
        settings: [engine: :asyncio, paths: [Python.Checkout.path("test/support/python")]]
      )

    FreshVM.call(vm, :logger, :set_primary_config, [:level, :error])

    for _ <- 1..3 do
      assert FreshVM.call(vm, Python, :call, [:coroutines, :answer, [1]]) == {:ok, 1}

      assert {:ok, %Python.Async{}} =
               {:ok, FreshVM.call(vm, Python, :call_async, [:coroutines, :after, [100]])}

      assert FreshVM.call(vm, Application, :stop, [:erlang_python]) == :ok
      assert FreshVM.call(vm, Application, :start, [:erlang_python]) == :ok
    end

    FreshVM.stop(vm)
  end

  test "the VM ends while tasks run, with its status, and their finally blocks have run" do
    code = """
    Python.exec!("\""
    import asyncio
    async def f(n):
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0.01)
            print("ended", n, flush=True)
    async def spin():
        while True: await asyncio.sleep(0)
    "\"")
    for n <- 1..3, do: Python.call_async(:__main__, :f, [n], timeout: :infinity)
    Python.call_async(:__main__, :spin, [], timeout: :infinity)
    {:ok, 1} = Python.eval("await asyncio.sleep(0.01, 1)")
    System.stop(5)
    Process.sleep(:infinity)
    """

    assert {output, 5} = FreshVM.run(code, settings: [engine: :asyncio])
    for n <- 1..3, do: assert(output =~ "ended #{n}")
  end

  test "a VM that halts does not wait for tasks" do
    code = """
    {:ok, _} = Python.Pool.start_link(name: Loop, engine: :asyncio)
    Python.exec!("async def f():\\n    while True: pass")
    Python.call_async(:__main__, :f, [], pool: Loop, timeout: :infinity)
    Process.sleep(200)
    System.halt(3)
    """

    assert {_, 3} = FreshVM.run(code)
  end
end
