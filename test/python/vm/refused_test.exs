defmodule Python.VM.RefusedTest do
  # What would end, stop or replace the VM, in a VM of its own: it may be mistaken.
  use Python.TestCase, async: true

  alias Python.{Error, FreshVM}

  setup_all do
    vm = FreshVM.start()

    :ok =
      FreshVM.call(vm, Python, :exec, [
        """
        import _thread, faulthandler, os, posix, resource, signal, subprocess, sys, threading, time
        from os import execv, kill
        me = os.getpid()
        """
      ])

    %{vm: vm}
  end

  defp eval(vm, code, variables \\ %{}) do
    FreshVM.call(vm, Python, :eval, [code, variables, [timeout: 20_000]])
  end

  defp exec(vm, code), do: FreshVM.call(vm, Python, :exec, [code, [timeout: 20_000]])

  defp assert_refused(vm, code, text) do
    assert {:error, %Error{type: "RuntimeError", message: message}} = eval(vm, code)
    assert message =~ "is not possible inside the BEAM: "
    assert message =~ text
    assert eval(vm, "1 + 1") == {:ok, 2}
  end

  test "a program does not take the place of the VM", %{vm: vm} do
    for code <- [
          "os.execv('/bin/true', ['true'])",
          "os.execve('/bin/true', ['true'], {})",
          "os.execvp('true', ['true'])",
          "os.execvpe('true', ['true'], {})",
          "os.execl('/bin/true', 'true')",
          "os.execle('/bin/true', 'true', {})",
          "os.execlp('true', 'true')",
          "os.execlpe('true', 'true', {})",
          "os.execve(os.open('/bin/true', os.O_RDONLY), ['true'], {})",
          "posix.execv('/bin/true', ['true'])",
          "posix.execve('/bin/true', ['true'], {})",
          "os.execv(path='/bin/true', argv=['true'])",
          "execv('/bin/true', ['true'])",
          "__import__('importlib').reload(os).execv('/bin/true', ['true'])"
        ] do
      assert_refused(vm, code, "Use subprocess")
    end
  end

  test "nothing ends it with its own status", %{vm: vm} do
    assert_refused(vm, "os._exit(0)", "Raise SystemExit")
    assert_refused(vm, "posix._exit(0)", "Raise SystemExit")
    assert_refused(vm, "os.abort()", "it would end the VM")

    for code <- ["signal.alarm(0)", "signal.setitimer(0, 0)"] do
      assert {:error, %Error{type: type, message: message}} = eval(vm, code)
      assert type in ["RuntimeError", "OSError"]
      assert message =~ "BEAM"
    end

    assert_refused(vm, "faulthandler.dump_traceback_later(1, exit=True)", "it would end the VM")
    assert_refused(vm, "faulthandler.dump_traceback_later(1, 0, sys.stderr, 1)", "Leave exit out")
    assert {:error, %Error{type: "SystemExit"}} = eval(vm, "sys.exit(3)")
    assert eval(vm, "faulthandler.dump_traceback_later(600)") == {:ok, nil}
    assert eval(vm, "faulthandler.cancel_dump_traceback_later()") == {:ok, nil}
  end

  test "a signal that would end or stop it is refused, whatever it is sent with", %{vm: vm} do
    for signal <- ~w(SIGTERM SIGKILL SIGUSR1 SIGUSR2 SIGHUP SIGQUIT SIGINT SIGALRM SIGSTOP SIGTSTP
                     SIGABRT SIGSEGV SIGXCPU SIGPROF) do
      assert_refused(vm, "os.kill(me, signal.#{signal})", signal)
      assert_refused(vm, "signal.pthread_kill(_thread.get_ident(), signal.#{signal})", signal)
      assert_refused(vm, "signal.raise_signal(signal.#{signal})", signal)
    end

    for code <- [
          "kill(me, 15)",
          "posix.kill(me, 9)",
          "os.kill(0, 15)",
          "os.kill(-1, 15)",
          "os.kill(-os.getpgrp(), 15)",
          "os.killpg(os.getpgrp(), 15)",
          "os.killpg(os.getpgid(0), 15)",
          "os.kill(threading.get_native_id(), 9)",
          "os.kill(me, int(signal.SIGRTMIN))"
        ] do
      assert_refused(vm, code, "end or stop the VM")
    end
  end

  test "a signal by a file descriptor is refused", %{vm: vm} do
    if eval(vm, "hasattr(signal, 'pidfd_send_signal') and hasattr(os, 'pidfd_open')") ==
         {:ok, true} do
      assert_refused(vm, "signal.pidfd_send_signal(os.pidfd_open(me), 15)", "SIGTERM")
      assert eval(vm, "signal.pidfd_send_signal(os.pidfd_open(me), 0)") == {:ok, nil}
    end
  end

  test "the process that starts the VM's programs is not ended", %{vm: vm} do
    code = """
    def is_helper(pid):
        try:
            with open("/proc/%s/stat" % pid) as file:
                name, rest = file.read().rsplit(")", 1)
        except OSError:
            return False
        return name.endswith("(erl_child_setup") and int(rest.split()[1]) == me
    helper = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_helper(pid)][0]
    """

    assert exec(vm, code) == :ok
    assert_refused(vm, "os.kill(helper, 9)", "that process starts programs for the VM")
    assert eval(vm, "os.kill(helper, 0)") == {:ok, nil}
    assert FreshVM.call(vm, System, :cmd, ["echo", ["x"]]) == {"x\n", 0}
  end

  test "signals that do no harm are sent", %{vm: vm} do
    for signal <- ~w(0 signal.SIGWINCH signal.SIGCHLD signal.SIGURG signal.SIGCONT signal.SIGPIPE) do
      assert eval(vm, "os.kill(me, #{signal})") == {:ok, nil}
    end

    # Somebody's own handler.
    assert exec(vm, """
           import tempfile
           file = tempfile.TemporaryFile()
           faulthandler.register(signal.SIGUSR2, file)
           os.kill(me, signal.SIGUSR2)
           faulthandler.unregister(signal.SIGUSR2)
           file.seek(0)
           assert b"most recent call first" in file.read()
           """) == :ok

    assert_refused(vm, "os.kill(me, signal.SIGUSR2)", "SIGUSR2")
  end

  test "others may be signalled, and errors are Python's", %{vm: vm} do
    assert exec(vm, """
           for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1):
               for send in (lambda p: os.kill(p.pid, number), lambda p: p.send_signal(number),
                            lambda p: os.killpg(p.pid, number)):
                   process = subprocess.Popen(["sleep", "60"], start_new_session=True)
                   send(process)
                   assert process.wait(20) == -number
           """) == :ok

    for {code, type} <- [
          {"os.kill('x', 1)", "TypeError"},
          {"os.kill(me)", "TypeError"},
          {"os.kill(me, 'x')", "TypeError"},
          {"os.kill(me, 4000)", "OSError"},
          {"os.kill(2 ** 70, 9)", "OverflowError"},
          {"os.kill(2 ** 22 + 1, 9)", "ProcessLookupError"},
          {"os._exit()", "RuntimeError"}
        ] do
      assert {:error, %Error{type: ^type}} = eval(vm, code)
    end
  end

  test "the main thread is nobody's to interrupt", %{vm: vm} do
    assert_refused(vm, "_thread.interrupt_main()", "Give the call a timeout")

    assert exec(
             vm,
             "import weakref; class_ = type('C', (), {'__del__': lambda s: None}); class_()"
           ) == :ok
  end

  test "the VM stays in its group and session, and its terminal with it", %{vm: vm} do
    assert {:ok, before} = eval(vm, "(os.getpgrp(), os.getsid(0))")

    for code <- [
          "os.setsid()",
          "posix.setsid()",
          "os.setpgrp()",
          "os.setpgid(0, os.getppid())",
          "os.setpgid(me, 1)",
          "os.setpgid(threading.get_native_id(), 1)"
        ] do
      assert_refused(vm, code, "leave the foreground of its terminal")
    end

    assert eval(vm, "os.setpgid(0, os.getpgrp())") == {:ok, nil}
    assert {:error, %Error{type: "OSError"}} = eval(vm, "os.tcsetpgrp(0, 1)")
    assert {:error, %Error{type: "TypeError"}} = eval(vm, "os.setpgid('x', 1)")
    assert {:error, %Error{type: "ProcessLookupError"}} = eval(vm, "os.setpgid(2 ** 22 + 1, 1)")
    assert eval(vm, "(os.getpgrp(), os.getsid(0))") == {:ok, before}

    # In a process that is started they are as ever.
    code = """
    [process.wait(20) for process in (
        subprocess.Popen(["true"], preexec_fn=os.setsid),
        subprocess.Popen(["true"], preexec_fn=os.setpgrp),
        subprocess.Popen(["true"], start_new_session=True),
    )]
    """

    assert eval(vm, code) == {:ok, [0, 0, 0]}
  end

  test "the VM stays in the foreground of its terminal" do
    code = """
    {:error, error} = Python.eval("__import__('os').tcsetpgrp(0, 1)")
    true = Exception.message(error) =~ "leave the foreground of its terminal"
    {:ok, nil} = Python.eval("(lambda os: os.tcsetpgrp(0, os.getpgrp()))(__import__('os'))")
    System.halt(7)
    """

    spawn = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    assert {_, 7} = FreshVM.run(code, by: [Python.info().executable, "-c", spawn])
  end

  test "limits of the process are not lowered", %{vm: vm} do
    for name <- ~w(CPU AS NOFILE DATA FSIZE) do
      assert_refused(vm, "resource.setrlimit(resource.RLIMIT_#{name}, (10, 10))", "preexec_fn")
    end

    assert_refused(vm, "resource.prlimit(0, resource.RLIMIT_CPU, (1, 1))", "preexec_fn")
    assert {:ok, {soft, hard}} = eval(vm, "resource.prlimit(0, resource.RLIMIT_NOFILE)")
    keep = "resource.setrlimit(resource.RLIMIT_NOFILE, (#{soft}, #{hard}))"
    assert eval(vm, keep) == {:ok, nil}
    assert eval(vm, "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))") == {:ok, nil}

    # In a process that is started they are as ever.
    code = """
    subprocess.check_output(["sh", "-c", "ulimit -n"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    """

    assert eval(vm, code) == {:ok, "64\n"}
  end

  test "the VM's descriptors stay open", %{vm: vm} do
    assert_refused(vm, "os.closerange(3, 1000)", "belongs to the VM")

    if eval(vm, "hasattr(os, 'login_tty')") == {:ok, true} do
      assert_refused(vm, "os.login_tty(0)", "the terminal")
    end

    assert exec(vm, """
           own = os.open("/dev/null", os.O_RDONLY)
           os.closerange(own, own + 1)
           try:
               os.fstat(own)
           except OSError:
               pass
           else:
               assert False
           """) == :ok
  end
end
