defmodule Python.Engine.Process.LeftoversTest do
  # What Python code has started ends with its worker, its pool and its VM, whatever it is at and however that ends.
  # test/stress/leftovers.exs does it many times.
  use Python.TestCase, async: true

  alias Python.Leftovers

  for {how, what} <- [
        kill: "the VM is killed",
        halt: "the VM halts",
        stop: "the VM stops",
        pool: "the pool stops",
        workers: "workers are killed"
      ] do
    @tag how: how
    test "no process is left behind when #{what}", %{how: how} do
      assert Leftovers.left(how) == []
    end
  end

  for how <- [:kill, :halt, :pool] do
    @tag how: how
    test "no process is left behind of workers that were forked (#{how})", %{how: how} do
      assert Leftovers.left(how, 10_000, preload: ["leftovers"]) == []
    end
  end

  describe "a worker" do
    setup do
      {:ok, pool: start_pool(engine: :process, size: 1)}
    end

    test "that crashes takes its daemons with it", %{pool: pool} do
      :ok = Python.exec("import os", pool: pool)
      code = "import subprocess; p = subprocess.Popen(['sleep', '1000'], start_new_session=True)"
      :ok = Python.exec(code, pool: pool)
      child = Python.eval!("p.pid", pool: pool)
      assert Python.FakeWorker.alive?(child)
      assert {:error, %Python.CrashedError{}} = Python.eval("os.abort()", pool: pool)
      # The end of the worker is told after that of what it has started.
      refute Python.FakeWorker.alive?(child)
    end

    test "has the children that any program would have, and no others", %{pool: pool} do
      :ok = Python.exec("import os", pool: pool)

      :ok =
        Python.exec(
          """
          pid = os.fork()
          if pid == 0:
              if os.fork() == 0:
                  os._exit(0)
              os._exit(7)
          waited, status = os.waitpid(pid, 0)
          try:
              os.waitpid(-1, 0)
              left = True
          except ChildProcessError:
              left = False
          """,
          pool: pool
        )

      assert Python.eval!("(waited == pid, os.WEXITSTATUS(status), left)", pool: pool) ==
               {true, 7, false}
    end

    test "may kill its own group", %{pool: pool} do
      code = "(__import__('signal').signal(15, 1), __import__('os').kill(0, 15))[1]"
      assert Python.eval(code, pool: pool) == {:ok, nil}
      assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
    end

    test "in a sandbox takes its daemons with it" do
      command = ~w(bwrap --die-with-parent --unshare-pid --bind / / --dev /dev --proc /proc)

      # Not everywhere is there one, and not everybody may use it.
      if System.find_executable("bwrap") && run?(command ++ ["true"]) do
        mark = unique("mark")
        options = [engine: :process, size: 1, command: command, env: %{"MARK" => mark}]
        pool = start_pool(options)
        code = "__import__('subprocess').Popen(['sleep', '1000'], start_new_session=True).pid"
        assert {:ok, _pid} = Python.eval(code, pool: pool)
        assert length(marked(mark)) >= 2

        assert {:error, %Python.CrashedError{}} =
                 Python.eval("__import__('os')._exit(3)", pool: pool)

        assert {:ok, _pid} = Python.eval(code, pool: pool)
        stop_supervised!(pool)
        eventually("nothing is left", fn -> marked(mark) == [] end)
      end
    end

    defp run?([program | arguments]),
      do: match?({_, 0}, System.cmd(program, arguments, stderr_to_stdout: true))

    defp marked(mark) do
      for path <- Path.wildcard("/proc/[0-9]*/environ"),
          {:ok, environment} <- [File.read(path)],
          environment =~ "MARK=#{mark}",
          do: path
    end

    test "ends when its guard is killed, and is replaced", %{pool: pool} do
      os_pid = Python.eval!("__import__('os').getpid()", pool: pool)

      code =
        "__import__('os').kill(__import__('os').getppid(), 9) or __import__('time').sleep(60)"

      assert {:error, %Python.CrashedError{signal: :sigkill}} = Python.eval(code, pool: pool)
      eventually("it has ended", fn -> not Python.FakeWorker.alive?(os_pid) end)
      assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
    end
  end
end
