defmodule Python.Engine.Process.CrashesTest do
  # What a call gets whose worker ends by itself, in every way that there is.
  use Python.TestCase, async: true

  alias Python.{CrashedError, Pool}

  @moduletag :capture_log

  setup_all do
    folder = Path.join(System.tmp_dir!(), unique("crashes"))
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    {:ok, folder: folder}
  end

  setup context do
    {:ok, pool: start_pool([engine: :process, size: 1] ++ Map.get(context, :pool, []))}
  end

  # What was asked before and after is answered.
  defp crash(pool, code, options \\ []) do
    before = for n <- 1..3, do: Python.call_async(:operator, :add, [n, 1], pool: pool)
    crash = Python.eval_async(code, %{}, [pool: pool] ++ options)
    later = for n <- 1..5, do: Python.call_async(:operator, :add, [n, 1], pool: pool)
    crashed = Python.await(crash)
    assert for(call <- before, do: Python.await(call)) == for(n <- 1..3, do: {:ok, n + 1})
    assert for(call <- later, do: Python.await(call)) == for(n <- 1..5, do: {:ok, n + 1})
    crashed
  end

  for {code, signal} <- [
        {"__import__('ctypes').string_at(0)", :sigsegv},
        {"__import__('os').abort()", :sigabrt},
        {"__import__('os').kill(__import__('os').getpid(), 9)", :sigkill},
        {"__import__('os').kill(__import__('os').getpid(), 4)", :sigill},
        {"__import__('os').kill(__import__('os').getpid(), 7)", :sigbus},
        {"__import__('os').kill(__import__('os').getpid(), 8)", :sigfpe},
        {"__import__('signal').raise_signal(15)", :sigterm},
        {"__import__('ctypes').memset(1, 0, 1)", :sigsegv}
      ] do
    @tag code: code, signal: signal
    test "#{signal}: #{code}", %{pool: pool, code: code, signal: signal} do
      assert {:error, %CrashedError{exit_status: nil} = error} = crash(pool, code)
      assert error.signal == signal
      assert Exception.message(error) =~ signal |> Atom.to_string() |> String.upcase()

      if signal in [:sigsegv, :sigabrt, :sigill, :sigbus, :sigfpe] do
        assert error.traceback =~ "Fatal Python error"
      end
    end
  end

  test "the report says where Python code was", %{pool: pool} do
    :ok =
      Python.exec(
        "import ctypes\ndef deep(n):\n    return deep(n - 1) if n else ctypes.string_at(0)",
        pool: pool
      )

    assert {:error, %CrashedError{traceback: report}} =
             Python.call(:__main__, :deep, [3], pool: pool)

    assert report =~ "Segmentation fault"
    assert length(Regex.scan(~r/line 3 in deep/, report)) >= 4
  end

  test "a status", %{pool: pool} do
    assert {:error, %CrashedError{signal: nil, exit_status: 3, traceback: nil}} =
             crash(pool, "__import__('os')._exit(3)")

    assert {:error, %CrashedError{signal: nil, exit_status: 0}} =
             crash(pool, "__import__('os')._exit(0)")

    code = "__import__('os').execv('/bin/sh', ['sh', '-c', 'exit 5'])"
    assert {:error, %CrashedError{signal: nil, exit_status: 5}} = crash(pool, code)
  end

  test "sys.exit in a call is an exception like others", %{pool: pool} do
    assert {:error, %Python.Error{type: "SystemExit"}} = crash(pool, "__import__('sys').exit(3)")

    # In a thread it ends that, in a child this.
    code = """
    import os, sys, threading
    thread = threading.Thread(target=sys.exit, args=(4,)); thread.start(); thread.join()
    pid = os.fork()
    if pid == 0:
        sys.exit(6)
    status = os.WEXITSTATUS(os.waitpid(pid, 0)[1])
    """

    assert Python.exec(code, pool: pool) == :ok
    assert Python.eval("status", pool: pool) == {:ok, 6}
  end

  test "a stack that overflows in C", %{pool: pool} do
    # A structure that frees what is in it, and so on.
    code = """
    import ctypes
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    def recurse(n):
        import sys
        sys.setrecursionlimit(10**9)
        qsort = ctypes.CDLL(None).qsort
        @compare
        def back(a, b):
            # Two, so that each level compares once: where the recursion ends by itself, it ends soon.
            qsort((ctypes.c_int * 2)(1, 0), 2, 4, back)
            return 0
        return back(None, None)
    """

    :ok = Python.exec(code, pool: pool)

    result = Python.call(:__main__, :recurse, [1], pool: pool)

    assert match?({:error, %CrashedError{signal: :sigsegv}}, result) or
             match?({:error, %Python.Error{}}, result) or match?({:ok, _}, result)

    assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
  end

  @tag pool: [limits: [memory: 1_500_000_000]]
  test "memory that C code finds none of", %{pool: pool} do
    code = "__import__('ctypes').memset(__import__('ctypes').CDLL(None).malloc(2**31), 1, 2**31)"
    assert {:error, error} = crash(pool, code)
    assert error.__struct__ in [CrashedError, Python.Error]
  end

  test "a signal from outside while it is at a call", %{pool: pool} do
    os_pid = Python.call!(:os, :getpid, [], pool: pool)
    call = Python.call_async(:time, :sleep, [60], pool: pool)
    eventually_busy(pool)
    System.cmd("kill", ["-KILL", "#{os_pid}"])
    assert {:error, %CrashedError{signal: :sigkill}} = Python.await(call)
  end

  test "nested calls, streams and bodies of with end with it", %{pool: pool} do
    me = self()

    back = fn ->
      send(me, {:inner, Python.eval("__import__('os')._exit(3)", pool: pool)})
    end

    assert {:error, %CrashedError{exit_status: 3}} = Python.eval("f()", %{f: back}, pool: pool)
    assert_receive {:inner, {:error, %CrashedError{exit_status: 3}}}, 5_000

    :ok = Python.exec("import os\ndef items():\n    yield 1\n    os._exit(4)", pool: pool)
    stream = Python.stream(:__main__, :items, [], pool: pool)
    assert_raise CrashedError, fn -> Enum.to_list(stream) end
    assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
  end

  test "the caller knows it as soon as the process has ended", %{pool: pool} do
    ms =
      for _ <- 1..15 do
        :ok = Python.exec("import os, time", pool: pool)
        # Until the end, by the same clock.
        code = "(print(end=''), os._exit(3))"
        {ms, {:error, %CrashedError{}}} = timed(fn -> Python.eval(code, pool: pool) end)
        ms
      end

    assert Enum.min(ms) <= 15
  end

  describe "workers that die at once" do
    test "in sitecustomize: calls get the reason, the supervisor lives", %{folder: folder} do
      File.write!(Path.join(folder, "sitecustomize.py"), "import os; os._exit(9)")
      name = String.to_atom(unique("Supervised"))
      children = [{Pool, name: name, engine: :process, size: 2, env: %{"PYTHONPATH" => folder}}]
      {:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one, max_restarts: 0)
      pid = Process.whereis(name)

      for _ <- 1..10 do
        assert {:error, %Python.NotStartedError{} = error} = Python.eval("1", pool: name)
        assert Exception.message(error) =~ "status 9"
        Process.sleep(20)
      end

      assert Process.whereis(name) == pid
      File.rm!(Path.join(folder, "sitecustomize.py"))
      eventually("it works", fn -> Python.eval("1 + 1", pool: name) == {:ok, 2} end)
      Supervisor.stop(supervisor)
    end

    test "in the :init of a replacement: the reason is the exception", %{folder: folder} do
      flag = Path.join(folder, unique("flag"))
      File.write!(flag, "")
      pool = start_pool(engine: :process, size: 1, init: "open(#{inspect(flag)}).close()")
      assert Python.eval("1", pool: pool) == {:ok, 1}
      File.rm!(flag)
      assert {:error, %CrashedError{}} = Python.call(:os, :abort, [], pool: pool)

      eventually("the reason is told", fn ->
        match?({:error, %Python.Error{type: "FileNotFoundError"}}, Python.eval("1", pool: pool))
      end)

      File.write!(flag, "")
      eventually("it works", fn -> Python.eval("1 + 1", pool: pool) == {:ok, 2} end)
    end

    test "by a signal in the :init" do
      Process.flag(:trap_exit, true)
      options = [name: NoSuchPool, engine: :process, size: 1, init: "__import__('os').abort()"]
      assert {:error, error} = Pool.start_link(options)
      assert Exception.message(error) =~ "SIGABRT"
    end
  end
end
