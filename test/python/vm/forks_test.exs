defmodule Python.VM.ForksTest do
  # Children that Python forks: copies of the VM, which Elixir cannot be reached from.
  use Python.TestCase, async: true

  alias Python.FreshVM

  @helpers """
  import asyncio, gc, logging, os, pty, signal, subprocess, sys, threading, time, warnings

  def run(function):
      done = subprocess.run(
          ["true"], preexec_fn=function, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20
      )
      return done.returncode, done.stdout.decode(), done.stderr.decode()

  def says(function):
      def tries():
          try:
              function()
          except BaseException as error:
              print("%s: %s" % (type(error).__name__, error), flush=True)
          else:
              print("fine", flush=True)
      return tries

  def child(function):
      "What a forked child prints, and its status."
      mine, its = os.pipe()
      pid = os.fork()
      if pid == 0:
          os.dup2(its, 1)
          os.dup2(its, 2)
          function()
          return "the child comes back"
      os.close(its)
      with os.fdopen(mine) as file:
          text = file.read()
      status = os.waitpid(pid, 0)[1]
      return text, os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)

  def raises(error):
      raise error

  def sockets():
      found = []
      for name in os.listdir("/proc/self/fd"):
          try:
              found.append(os.readlink("/proc/self/fd/" + name))
          except FileNotFoundError:
              pass
      return [path for path in found if path.startswith("socket")]
  """

  setup_all do
    vm = FreshVM.start()

    FreshVM.load(
      vm,
      defmodule Listener do
        def open do
          {:ok, listener} = :gen_tcp.listen(0, [])
          # It has to outlive the process of this call.
          pid = spawn(fn -> receive(do: (:stop -> :ok)) end)
          :ok = :gen_tcp.controlling_process(listener, pid)
          pid
        end
      end
    )

    :ok = FreshVM.call(vm, Python, :exec, [@helpers])
    %{vm: vm}
  end

  defp eval(vm, code, variables \\ %{}) do
    FreshVM.call(vm, Python, :eval, [code, variables, [timeout: 30_000]])
  end

  defp plain(code) do
    script = @helpers <> "\nprint(repr(" <> code <> "))"
    {text, 0} = System.cmd(Python.info().executable, ["-c", script], stderr_to_stdout: true)
    # Parts of the text that name where the code was.
    text |> String.trim() |> String.replace("<string>", "FILE")
  end

  describe "in a preexec_fn" do
    test "what is printed and logged goes where plain Python's goes", %{vm: vm} do
      for code <- [
            "run(lambda: print('x', flush=True))",
            "run(lambda: print('größe', 'x' * 100000, flush=True) if 0 else print('größe', flush=True))",
            "run(lambda: sys.stderr.write('text'))",
            "run(lambda: os.write(1, b'raw'))",
            "run(lambda: logging.warning('hot'))",
            "run(lambda: logging.getLogger('a.b').error('hot'))",
            "run(lambda: logging.getLogger('a.b').info('cold'))",
            "run(lambda: sys.setrecursionlimit(1500))",
            "run(lambda: gc.collect())",
            "run(lambda: os._exit(7))",
            "run(lambda: os.kill(os.getpid(), signal.SIGKILL))",
            "run(lambda: os.kill(os.getpid(), signal.SIGTERM))",
            "run(lambda: os.execvp('sh', ['sh', '-c', 'echo other']))",
            "run(says(lambda: 1 / 0))",
            "run(lambda: (threading.Thread(target=print, args=('t',)).start(), time.sleep(0.2), sys.stdout.flush()))"
          ] do
        assert {:ok, result} = eval(vm, "repr(" <> code <> ")")
        assert {code, result} == {code, plain(code)}
      end
    end

    test "warnings go to the standard error", %{vm: vm} do
      assert {:ok, {0, "", text}} = eval(vm, "run(lambda: warnings.warn('look out'))")
      assert text =~ "UserWarning: look out"

      assert {:ok, {0, "", text}} = eval(vm, "run(lambda: sys.setrecursionlimit(10 ** 6))")
      assert text =~ "RuntimeWarning: the recursion limit is set to"
    end

    test "Elixir says that it cannot be reached", %{vm: vm} do
      vars = %{f: &String.upcase/1, pid: self()}

      for code <- [
            "f('x')",
            "__import__('erlang').call('some', 1)",
            "__import__('erlang').some_name(1)",
            "__import__('erlang').send(pid, 1)",
            "__import__('erlang').whereis('init')",
            "__import__('erlang').self()",
            "__import__('erlang').receive(1)",
            "__import__('erlang').Atom('ok')"
          ] do
        assert {:ok, {0, text, ""}} = eval(vm, "run(says(lambda: #{code}))", vars)

        assert text =~
                 "RuntimeError: Elixir cannot be reached from this process, which was forked"
      end

      assert {:ok, {0, "info: text\n", ""}} =
               eval(vm, "run(lambda: __import__('erlang').log('info', 'text'))") |> swap()

      refute_received _
    end

    # The log of a child is its standard error.
    defp swap({:ok, {status, out, error}}), do: {:ok, {status, error, out}}

    test "what belongs to Elixir is let go without it", %{vm: vm} do
      assert {:ok, {0, "fine\n", ""}} =
               eval(
                 vm,
                 "run(says(lambda: (held.clear(), gc.collect())))",
                 %{held: [make_ref(), self(), fn -> 1 end, %{a: fn -> 2 end}]}
               )
    end

    test "an exception is the one that subprocess makes of it", %{vm: vm} do
      assert {:error, %Python.Error{type: "SubprocessError"}} = eval(vm, "run(lambda: 1 / 0)")
    end

    test "asyncio's subprocesses do the same", %{vm: vm} do
      :ok =
        FreshVM.call(vm, Python, :exec, [
          """
          async def start(function):
              process = await asyncio.create_subprocess_exec(
                  "echo", "done", preexec_fn=function, stdout=subprocess.PIPE
              )
              output, _ = await process.communicate()
              return output.decode(), process.returncode
          async def bounded(function):
              if sys.version_info < (3, 12) and hasattr(asyncio, "ThreadedChildWatcher"):
                  asyncio.get_event_loop_policy().set_child_watcher(asyncio.ThreadedChildWatcher())
              return await asyncio.wait_for(start(function), 20)
          """
        ])

      assert eval(vm, "asyncio.run(bounded(lambda: print('x', flush=True)))") ==
               {:ok, {"x\ndone\n", 0}}
    end

    test "many at once, beside threads that print, leave nothing behind", %{vm: vm} do
      :ok =
        FreshVM.call(vm, Python, :exec, [
          """
          from concurrent.futures import ThreadPoolExecutor
          def many(f):
              stop = threading.Event()
              def talk():
                  while not stop.is_set():
                      f("x"); logging.getLogger("quiet").debug("x"); bytes(300_000)
              talkers = [threading.Thread(target=talk) for _ in range(3)]
              for talker in talkers: talker.start()
              try:
                  with ThreadPoolExecutor(4) as executor:
                      work = lambda n: run(lambda: (print(n, flush=True), gc.collect()))
                      return sorted(executor.map(work, range(30)))
              finally:
                  stop.set()
                  for talker in talkers: talker.join()
          """
        ])

      wanted = for n <- 0..29, do: {0, "#{n}\n", ""}
      assert {:ok, results} = eval(vm, "many(f)", %{f: &String.upcase/1})
      assert Enum.sort(results) == Enum.sort(wanted)
    end
  end

  describe "os.fork" do
    test "the child may execute a program", %{vm: vm} do
      assert eval(vm, "child(lambda: os.execvp('echo', ['echo', 'hi']))") == {:ok, {"hi\n", 0}}
      assert eval(vm, "os.waitpid(os.spawnlp(os.P_NOWAIT, 'true', 'true'), 0)[1]") == {:ok, 0}
      assert eval(vm, "pty.spawn(['true'])") == {:ok, 0}
    end

    test "the child may exit as it likes", %{vm: vm} do
      assert eval(vm, "child(lambda: os._exit(3))") == {:ok, {"", 3}}
      assert eval(vm, "child(lambda: sys.exit(4))") == {:ok, {"", 4}}
      assert eval(vm, "child(lambda: sys.exit('why'))") == {:ok, {"why\n", 1}}
      assert eval(vm, "child(lambda: os.abort())") == {:ok, {"", -6}}
      assert eval(vm, "child(lambda: os.kill(os.getpid(), signal.SIGTERM))") == {:ok, {"", -15}}
    end

    test "a child that comes to the end of the call ends there", %{vm: vm} do
      assert eval(vm, "child(lambda: print('work'))") == {:ok, {"work\n", 0}}
      assert {:ok, {text, 1}} = eval(vm, "child(lambda: raises(ValueError('wrong')))")
      assert text =~ "Traceback"
      assert text =~ "ValueError: wrong"

      # By way of whatever enters Python, and in whatever place of the call.
      me = self()

      for code <- [
            "[child(lambda: None)][0]",
            "list(map(child, [lambda: None]))[0]",
            "next(child(lambda: None) for _ in range(1))"
          ] do
        assert eval(vm, code) == {:ok, {"", 0}}
      end

      assert FreshVM.call(vm, Python, :exec, ["result = child(lambda: None)"]) == :ok
      assert eval(vm, "result") == {:ok, {"", 0}}

      assert FreshVM.call(vm, Enum, :to_list, [
               FreshVM.call(vm, Python, :stream_eval, ["(child(lambda: None) for _ in range(3))"])
             ]) == [{"", 0}, {"", 0}, {"", 0}]

      assert FreshVM.call(vm, Python, :map, [:__main__, :child, [[fn -> 1 end]]]) |> elem(0) ==
               :ok

      assert eval(vm, "(f(1), child(lambda: None))[1]", %{f: &Function.identity/1}) ==
               {:ok, {"", 0}}

      assert Process.alive?(me)
    end

    test "a thread that forks is all that its child has", %{vm: vm} do
      :ok =
        FreshVM.call(vm, Python, :exec, [
          """
          def in_a_thread():
              result = []
              thread = threading.Thread(target=lambda: result.append(child(lambda: print("x"))))
              thread.start()
              thread.join()
              return result[0]
          """
        ])

      assert eval(vm, "in_a_thread()") == {:ok, {"x\n", 0}}

      :ok =
        FreshVM.call(vm, Python, :exec, [
          """
          def in_a_bare_thread():
              import _thread
              result = []
              _thread.start_new_thread(lambda: result.append(child(lambda: print("x"))), ())
              deadline = time.time() + 20
              while not result and time.time() < deadline:
                  time.sleep(0.01)
              return result[0]
          """
        ])

      assert eval(vm, "in_a_bare_thread()") == {:ok, {"x\n", 0}}
    end

    test "where the child would have nothing to do, it is refused", %{vm: vm} do
      refused = fn answer ->
        assert {:error, %Python.Error{type: "RuntimeError", message: message}} = answer
        assert message =~ "is not possible inside the BEAM: the child would be a copy of the VM"
        assert message =~ "Use subprocess"
      end

      for code <- ["os.fork()", "os.forkpty()", "pty.fork()", "(lambda: os.fork())()"] do
        refused.(eval(vm, code))
      end

      # Called by Elixir: no Python code stands around them.
      for {module, function} <- [os: :fork, os: :forkpty, posix: :fork] do
        refused.(FreshVM.call(vm, Python, :call, [module, function]))
      end
    end

    test "the child has nothing open that is the VM's, and all that is Python's", %{vm: vm} do
      listener = FreshVM.call(vm, __MODULE__.Listener, :open, [])

      assert {:ok, {text, 0}} =
               eval(
                 vm,
                 "child(lambda: print(sockets()))"
               )

      assert text == "[]\n"
      FreshVM.call(vm, :erlang, :send, [listener, :stop])
    end

    test "nor has what it executes, or os.system does", %{vm: vm} do
      listener = FreshVM.call(vm, __MODULE__.Listener, :open, [])
      list = "ls -l /proc/self/fd | grep -c socket: > "

      for {start, n} <-
            Enum.with_index([
              "os.system(command)",
              "child(lambda: os.execvp('sh', ['sh', '-c', command]))",
              "subprocess.call(command, shell=True, close_fds=False)",
              "os.waitpid(os.posix_spawn('/bin/sh', ['sh', '-c', command], os.environ), 0)[1]"
            ]) do
        file = Path.join(System.tmp_dir!(), "fds_#{System.pid()}_#{n}")
        assert {:ok, _} = eval(vm, start, %{command: list <> file})
        assert {start, File.read!(file)} == {start, "0\n"}
        File.rm!(file)
      end

      FreshVM.call(vm, :erlang, :send, [listener, :stop])
    end

    test "what Python makes inheritable is inherited", %{vm: vm} do
      :ok =
        FreshVM.call(vm, Python, :exec, [
          """
          def inherits(make):
              mine, its = os.pipe()
              make(its)
              pid = os.fork()
              if pid == 0:
                  os.execvp("sh", ["sh", "-c", "echo hi > /dev/fd/%d" % its])
              os.waitpid(pid, 0)
              os.close(its)
              with os.fdopen(mine) as file:
                  return file.read()
          """
        ])

      assert eval(vm, "inherits(lambda fd: os.set_inheritable(fd, True))") == {:ok, "hi\n"}
      assert eval(vm, "inherits(lambda fd: None)") == {:ok, ""}
    end
  end

  test "a signal to a child is none to the VM", %{vm: vm} do
    :ok =
      FreshVM.call(vm, Python, :exec, [
        """
        def signalled(number):
            pid = os.fork()
            if pid == 0:
                time.sleep(30)
                os._exit(0)
            os.kill(pid, number)
            return os.waitpid(pid, 0)[1]
        """
      ])

    for _ <- 1..20, signal <- [15, 10, 3, 2] do
      assert eval(vm, "signalled(#{signal})") == {:ok, signal}
    end

    assert eval(vm, "1 + 1") == {:ok, 2}
  end

  test "a copy of multiprocessing by fork is told of another way", %{vm: vm} do
    assert {:error, %Python.Error{type: "RuntimeError", message: message}} =
             eval(
               vm,
               "__import__('multiprocessing').get_context('fork').Process(target=print).start()"
             )

    assert message =~ "Use the start method 'spawn'"
  end
end
