defmodule Python.VM.DescriptorSignalsTest do
  # Signals that the system would send to the VM later, in a VM of its own: it may be mistaken.
  use Python.TestCase, async: true

  alias Python.{Error, FreshVM}

  setup_all do
    vm = FreshVM.start()

    :ok =
      FreshVM.call(vm, Python, :exec, [
        """
        import array, faulthandler, fcntl, gc, os, signal, socket, struct, subprocess, sys, tempfile, termios, threading
        me = os.getpid()
        F_SETOWN_EX, FIOSETOWN, SIOCSPGRP = 15, 0x8901, 0x8902

        class Pair:
            def __init__(self):
                self.one, self.other = socket.socketpair()
                self.fd = self.one.fileno()

            def fcntl(self, *args):
                return fcntl.fcntl(self.fd, *args)

            def ioctl(self, *args):
                return fcntl.ioctl(self.fd, *args)

            def turn_on(self):
                return self.fcntl(fcntl.F_SETFL, self.fcntl(fcntl.F_GETFL) | os.O_ASYNC)

            # Would bring the signal.
            def write(self):
                self.other.send(b"x")

        # What a finalizer does is done on Python's main thread.
        seen = []
        class Finalized:
            def __init__(self, does):
                self.does = does

            def __del__(self):
                try:
                    seen.append(self.does())
                except BaseException as error:
                    seen.append(error)
        """
      ])

    %{vm: vm}
  end

  defp exec(vm, code), do: FreshVM.call(vm, Python, :exec, [code, [timeout: 20_000]])

  defp assert_refused(vm, code, text) do
    assert {:error, %Error{type: "RuntimeError", message: message}} = exec(vm, code)
    assert message =~ "is not possible inside the BEAM: it would end or stop the VM. "
    assert message =~ text
    assert message =~ "a separate process"

    assert exec(vm, "for pair in [p for p in gc.get_objects() if type(p) is Pair]: pair.write()") ==
             :ok

    assert FreshVM.alive?(vm)
  end

  test "a descriptor that has something to read sends the VM no signal, in whatever order it is asked to",
       %{vm: vm} do
    for {code, text} <- [
          {"p.fcntl(fcntl.F_SETOWN, me); p.turn_on()", "F_SETFL"},
          {"p.turn_on(); p.fcntl(fcntl.F_SETOWN, me)", "F_SETOWN,"},
          {"p.turn_on(); p.fcntl(fcntl.F_SETOWN, -os.getpgrp())", "F_SETOWN,"},
          {"p.turn_on(); p.fcntl(F_SETOWN_EX, struct.pack('ii', 1, me))", "F_SETOWN_EX"},
          {"p.turn_on(); p.fcntl(F_SETOWN_EX, struct.pack('ii', 2, os.getpgrp()))",
           "F_SETOWN_EX"},
          {"p.turn_on(); p.fcntl(F_SETOWN_EX, struct.pack('ii', 0, threading.get_native_id()))",
           "F_SETOWN_EX"},
          {"p.fcntl(fcntl.F_SETOWN, me); p.fcntl(10, signal.SIGTERM); p.turn_on()", "F_SETSIG"},
          {"p.fcntl(10, signal.SIGWINCH); p.fcntl(fcntl.F_SETOWN, me); p.turn_on(); p.fcntl(10, signal.SIGKILL)",
           "F_SETSIG"},
          {"p.fcntl(10, signal.SIGWINCH); p.fcntl(fcntl.F_SETOWN, me); p.turn_on(); p.fcntl(10, 0)",
           "F_SETSIG"},
          {"p.fcntl(10, int(signal.SIGRTMIN)); p.turn_on(); p.fcntl(fcntl.F_SETOWN, me)",
           "F_SETOWN,"},
          {"p.fcntl(fcntl.F_SETOWN, me); p.ioctl(termios.FIOASYNC, struct.pack('i', 1))",
           "FIOASYNC"},
          {"p.fcntl(fcntl.F_SETOWN, me); p.ioctl(termios.FIOASYNC, array.array('i', [1]))",
           "FIOASYNC"},
          {"p.fcntl(fcntl.F_SETOWN, me); p.ioctl(termios.FIOASYNC, array.array('i', [1]), True)",
           "FIOASYNC"},
          {"p.turn_on(); p.ioctl(FIOSETOWN, struct.pack('i', me))", "FIOSETOWN"},
          {"p.turn_on(); p.ioctl(SIOCSPGRP, struct.pack('i', -os.getpgrp()))", "SIOCSPGRP"},
          {"p.turn_on(); fcntl.fcntl(p.one, fcntl.F_SETOWN, me)", "F_SETOWN,"},
          # Python takes the lower half of a number.
          {"p.turn_on(); fcntl.fcntl(p.one, fcntl.F_SETOWN, me + 2 ** 32)", "F_SETOWN,"},
          {"p.turn_on(); fcntl.fcntl(p.one, fcntl.F_SETOWN, 2 ** 32 - os.getpgrp())", "F_SETOWN,"}
        ] do
      assert_refused(vm, "p = Pair(); " <> code, text)
    end
  end

  test "nor with a handler that may be gone by then", %{vm: vm} do
    assert exec(vm, "faulthandler.register(signal.SIGUSR2, open(os.devnull, 'w'))") == :ok
    code = "p = Pair(); p.turn_on(); p.fcntl(10, signal.SIGUSR2); p.fcntl(fcntl.F_SETOWN, me)"
    assert_refused(vm, code, "F_SETOWN,")
    assert exec(vm, "faulthandler.unregister(signal.SIGUSR2)") == :ok
  end

  test "nor does a lease, a folder that changes, or the end of a terminal", %{vm: vm} do
    for code <- [
          "f = tempfile.NamedTemporaryFile(); fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK); open(os.open(f.name, os.O_RDWR | os.O_NONBLOCK))",
          "d = tempfile.mkdtemp(); fcntl.fcntl(os.open(d, os.O_RDONLY), fcntl.F_NOTIFY, fcntl.DN_CREATE); open(d + '/f', 'w')",
          "fcntl.ioctl(os.openpty()[1], termios.TIOCSCTTY, 0)",
          "fcntl.ioctl(os.openpty()[1], termios.TIOCNOTTY)"
        ] do
      assert_refused(vm, code, "which lets the system send a signal to the VM")
    end
  end

  test "what does no harm is done", %{vm: vm} do
    assert exec(vm, """
           p = Pair()
           # The signal of urgent data is one that nobody notices.
           p.fcntl(fcntl.F_SETOWN, me)
           assert p.fcntl(fcntl.F_GETOWN) == me
           p.write()
           p.fcntl(10, signal.SIGWINCH)
           p.turn_on()
           p.write()
           p.ioctl(termios.FIOASYNC, struct.pack("i", 0))
           assert not p.fcntl(fcntl.F_GETFL) & os.O_ASYNC

           # To somebody else.
           child = subprocess.Popen(["sleep", "60"])
           p = Pair()
           p.fcntl(fcntl.F_SETOWN, child.pid)
           p.turn_on()
           p.write()
           assert child.wait(20) == -signal.SIGIO

           # In the child, for the child.
           code = "import socket, fcntl, os; a, b = socket.socketpair(); fcntl.fcntl(a, fcntl.F_SETOWN, os.getpid()); fcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC); b.send(b'x')"
           assert subprocess.call([sys.executable, "-c", code]) == -signal.SIGIO

           fcntl.fcntl(p.fd, fcntl.F_SETFL, p.fcntl(fcntl.F_GETFL) | os.O_NONBLOCK)
           fcntl.fcntl(p.fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
           with tempfile.TemporaryFile() as file:
               fcntl.flock(file, fcntl.LOCK_EX)
               fcntl.lockf(file, fcntl.LOCK_UN)
           """) == :ok
  end

  test "errors are Python's", %{vm: vm} do
    for {code, type} <- [
          {"fcntl.fcntl(999, fcntl.F_SETOWN, me)", "OSError"},
          {"fcntl.fcntl('x', fcntl.F_SETOWN, me)", "TypeError"},
          {"fcntl.fcntl(0)", "TypeError"},
          {"p = Pair(); p.fcntl(F_SETOWN_EX, b'xxxxxxxx')", "OSError"},
          {"p = Pair(); p.fcntl(fcntl.F_SETOWN, me); p.fcntl(fcntl.F_SETFL, None)", "TypeError"},
          {"fcntl.ioctl(999, termios.FIOASYNC, struct.pack('i', 1))", "OSError"},
          {"Pair().ioctl(termios.FIOASYNC, 1)", "OSError"},
          {"Pair().ioctl(termios.FIOASYNC, None)", "TypeError"}
        ] do
      assert {:error, %Error{type: ^type}} = exec(vm, code)
    end
  end

  test "a finalizer changes no handler of the VM's", %{vm: vm} do
    for does <- [
          "signal.signal(signal.SIGPIPE, signal.SIG_DFL)",
          "signal.signal(signal.SIGTERM, lambda *_: None)",
          "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
          "signal.set_wakeup_fd(-1)",
          "__import__('_signal').signal(signal.SIGPIPE, signal.SIG_DFL)"
        ] do
      assert exec(vm, "seen.clear(); Finalized(lambda: #{does})") == :ok
      # Whichever thread it is.
      assert exec(vm, """
             error, = seen
             assert type(error) is ValueError and "only works in main thread" in str(error), error
             """) == :ok

      assert exec(vm, "seen.clear(); kept = Finalized(lambda: #{does})") == :ok
      # A handle that is dropped drops its object on the main thread.
      held = """
      {:ok, _} = Python.eval("kept", %{}, return: :object)
      Python.exec!("del kept")
      """

      code = "spawn(fn -> #{held} end)"
      {_, _} = FreshVM.call(vm, Code, :eval_string, [code])

      eventually(
        "the finalizer has run",
        fn -> exec(vm, "assert len(seen) == 1") == :ok end,
        10_000
      )

      assert exec(vm, """
             error, = seen
             assert type(error) is ValueError and "signals belong to the VM" in str(error), error
             """) == :ok
    end

    {:ok, handler} = FreshVM.call(vm, Python, :eval, ["repr(signal.getsignal(signal.SIGPIPE))"])
    assert handler =~ "SIG_IGN"
  end

  test "faulthandler takes no signal that the VM handles, and hands none on that ends it", %{
    vm: vm
  } do
    for {code, text} <- [
          {"faulthandler.register(signal.SIGTERM)", "the VM has a handler for it"},
          {"faulthandler.register(signal.SIGUSR1, chain=True)", "Use another signal"},
          {"faulthandler.register(signal.SIGCHLD)", nil},
          {"faulthandler.register(signal.SIGUSR2, sys.__stderr__, True, True)",
           "Leave chain out"},
          {"faulthandler.register(signum=signal.SIGUSR2, chain=1)", "Leave chain out"}
        ] do
      case exec(vm, code) do
        {:error, %Error{type: "RuntimeError", message: message}} -> assert message =~ text
        other -> assert text == nil, inspect({code, other})
      end
    end

    assert exec(vm, """
           file = tempfile.TemporaryFile()
           faulthandler.register(signal.SIGUSR2, file)
           os.kill(me, signal.SIGUSR2)
           faulthandler.unregister(signal.SIGUSR2)
           """) == :ok
  end
end
