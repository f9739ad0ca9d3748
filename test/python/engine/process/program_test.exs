defmodule Python.Engine.Process.ProgramTest do
  # A worker is a Python program like any other, and leaves nothing behind.
  use Python.TestCase, async: true

  alias Python.{CrashedError, TimeoutError}

  @moduletag :capture_log

  setup do: {:ok, pool: start_pool(engine: :process, size: 1)}

  test "finds no trace of the script that it was started by", %{pool: pool} do
    code = "__import__('sys').argv, [path for path in __import__('sys').path if 'priv' in path]"
    assert Python.eval!(code, %{}, pool: pool) == {[""], []}

    names = Python.eval!("sorted(globals())", %{}, pool: pool)
    assert names -- plain("sorted(globals())") == []
    assert Python.eval!("globals().get('__file__')", %{}, pool: pool) == nil
  end

  test "runs its calls on the main thread, where signals are handled", %{pool: pool} do
    Python.exec!(
      """
      import os, signal, threading, time
      seen = []
      signal.signal(signal.SIGUSR1, lambda *_: seen.append(threading.current_thread().name))
      def kill(): os.kill(os.getpid(), signal.SIGUSR1)
      """,
      pool: pool
    )

    Python.call!(:__main__, :kill, [], pool: pool)
    assert Python.eval!("seen", %{}, pool: pool) == ["MainThread"]

    # With nothing to do.
    os_pid = Python.call!(:os, :getpid, [], pool: pool)
    System.cmd("kill", ["-USR1", "#{os_pid}"])

    eventually("the handler has run", fn ->
      Python.eval!("len(seen)", %{}, pool: pool) == 2
    end)
  end

  test "may fork, and exit there, as any program", %{pool: pool} do
    Python.exec!(
      """
      import multiprocessing, os
      def fork(status):
          pid = os.fork()
          if pid == 0: os._exit(status)
          return os.WEXITSTATUS(os.waitpid(pid, 0)[1])
      def square(queue, n): queue.put(n * n)
      def spawned(method):
          context = multiprocessing.get_context(method)
          queue = context.SimpleQueue()
          process = context.Process(target=square, args=(queue, 7))
          process.start()
          found = queue.get()
          process.join()
          return found, process.exitcode
      """,
      pool: pool
    )

    assert Python.call!(:__main__, :fork, [7], pool: pool) == 7
    assert Python.call!(:__main__, :spawned, ["fork"], pool: pool) == {49, 0}

    method = "__import__('multiprocessing').get_start_method()"
    assert Python.eval!(method, %{}, pool: pool) == plain(method)
  end

  test "is interrupted in the middle of a wait in C, and goes on with the next call", %{
    pool: pool
  } do
    os_pid = Python.call!(:os, :getpid, [], pool: pool)

    for {module, function, args} <- [
          {:time, :sleep, [60]},
          {:subprocess, :run, [["sleep", "60"]]},
          {:select, :select, [[], [], [], 60]}
        ] do
      assert {:error, %TimeoutError{}} =
               Python.call(module, function, args, pool: pool, timeout: 300)

      # It was not killed for that.
      assert Python.call(:os, :getpid, [], pool: pool) == {:ok, os_pid}
    end
  end

  test "tells what Python says of a crash", %{pool: pool} do
    assert {:error, %CrashedError{signal: :sigsegv, traceback: report}} =
             Python.call(:ctypes, :string_at, [0], pool: pool)

    assert report =~ "Segmentation fault"
    assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
  end

  @tag :tmp_dir
  test "does at its end what was to be done then", %{pool: pool, tmp_dir: folder} do
    Python.exec!(
      """
      import atexit
      def note(name): open(#{inspect(folder)} + '/' + name, 'w').close()
      atexit.register(note, 'atexit')
      class Thing:
          def __del__(self): note('del')
      thing = Thing()
      """,
      pool: pool
    )

    stop_supervised!(pool)

    eventually("all is done", fn ->
      Enum.all?(["atexit", "del"], &File.exists?(Path.join(folder, &1)))
    end)
  end

  for how <- [:stopped, :killed] do
    @tag how: how
    test "takes what it has started along when it is #{how}", %{pool: pool, how: how} do
      Python.exec!(
        """
        import os, subprocess
        def start():
            child = subprocess.Popen(['sleep', '1000'])
            other = subprocess.Popen(['sleep', '1000'], start_new_session=True)
            # A daemon, whose parent is gone.
            said = subprocess.run(['sh', '-c', 'setsid sleep 1000 >/dev/null 2>&1 & echo $!'], stdout=subprocess.PIPE)
            return [child.pid, other.pid, int(said.stdout)]
        """,
        pool: pool
      )

      pids = Python.call!(:__main__, :start, [], pool: pool)

      on_exit(fn ->
        for pid <- pids, do: System.cmd("kill", ["-9", "#{pid}"], stderr_to_stdout: true)
      end)

      assert Enum.all?(pids, &alive?/1)

      case how do
        :stopped -> stop_supervised!(pool)
        :killed -> Python.call_async(:time, :sleep, [60], pool: pool) && stop_supervised!(pool)
      end

      eventually("they are gone", fn -> not Enum.any?(pids, &alive?/1) end)
    end
  end

  defp alive?(pid) do
    case File.read("/proc/#{pid}/stat") do
      {:ok, stat} -> not String.contains?(stat, ") Z ")
      {:error, _} -> false
    end
  end

  # What plain Python gives.
  defp plain(code) do
    {:ok, %{executable: python}} = Python.Runtime.status()
    {output, 0} = System.cmd(python, ["-c", "import json; print(json.dumps(#{code}))"])
    Python.call!(:json, :loads, [output])
  end
end
