defmodule Python.Imports.TimeoutsTest do
  # A timeout in the middle of an import.
  use Python.TestCase, async: true

  alias Python.{FreshVM, TimeoutError}

  # What a module has told, and an event that lets it end.
  setup do
    folder = Path.join(System.tmp_dir!(), unique("imports"))
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)

    %{
      pool: start_pool(),
      folder: folder,
      told: define("NAME = []"),
      gate: define("import threading; NAME = threading.Event()")
    }
  end

  # A module that tells when it begins and when it ends, and runs Python code until it may.
  defp module(%{folder: folder, told: told, gate: gate}, more \\ "") do
    write_module(folder, """
    import __main__
    __main__.#{told}.append("begun")
    while not __main__.#{gate}.is_set():
        pass
    #{more}
    __main__.#{told}.append("ended")
    whole = True
    """)
  end

  defp told(%{told: told}), do: Python.eval!(told)
  defp open(%{gate: gate}), do: Python.call!(:__main__, "#{gate}.set")

  defp assert_times_out(code, options) do
    assert {:error, %TimeoutError{}} = Python.exec(code, [timeout: 50] ++ options)
  end

  # Starts code, and returns when the module that it imports has begun.
  defp begin(%{pool: pool} = test, code) do
    async = Python.exec_async(code, pool: pool, timeout: :infinity)
    eventually("it has begun", fn -> told(test) == ["begun"] end)
    async
  end

  describe "an import that is under way at the deadline" do
    test "comes to its end, and the module is whole", %{pool: pool} = test do
      module = module(test)
      assert_times_out("import #{module}", pool: pool)
      # Its caller is not kept waiting, nor is the next call.
      assert Python.eval!("1", pool: pool) == 1
      assert told(test) == ["begun"]
      open(test)
      eventually("it has ended", fn -> told(test) == ["begun", "ended"] end)
      assert Python.eval!("__import__('#{module}').whole", pool: pool)
      assert told(test) == ["begun", "ended"]
      eventually("no call is left", fn -> Python.Pool.stats(pool).stuck == 0 end)
    end

    test "is waited for by other calls that import it", %{pool: pool} = test do
      module = module(test)
      assert_times_out("import #{module}", pool: pool)
      other = Python.eval_async("__import__('#{module}').whole", timeout: 10_000)
      open(test)
      assert Python.await(other) == {:ok, true}
      assert told(test) == ["begun", "ended"]
    end

    test "prints, warns and calls Elixir after the deadline", %{pool: pool} = test do
      name = unique("of_elixir")
      Python.register(name, fn -> 7 end)
      on_exit(fn -> Python.unregister(name) end)
      more = "import erlang, warnings; print(); warnings.warn('late'); seven = erlang.#{name}()"
      module = module(test, more)

      ExUnit.CaptureIO.capture_io(:stderr, fn ->
        ExUnit.CaptureIO.capture_io(fn ->
          assert_times_out("import #{module}", pool: pool)
          open(test)
          eventually("it has ended", fn -> told(test) == ["begun", "ended"] end)
        end)
      end)

      assert Python.eval!("__import__('#{module}').seven") == 7
    end

    test "is followed by the interrupt", %{pool: pool} = test do
      module = module(test)

      code =
        "try:\n    import #{module}\n    while True: pass\nfinally:\n    #{test.told}.append('left')"

      assert_times_out(code, pool: pool)
      open(test)
      eventually("it is left", fn -> told(test) == ["begun", "ended", "left"] end)
      eventually_idle(pool)
    end

    test "comes to its end when its caller dies, and when it is cancelled",
         %{pool: pool} = test do
      for {cancel, n} <- [{&Python.cancel/1, 1}, {fn _ -> :ok end, 2}] do
        module = module(test)

        Task.await(
          Task.async(fn ->
            async = Python.exec_async("import #{module}", pool: pool, timeout: :infinity)
            eventually("it has begun", fn -> length(told(test)) == 2 * n - 1 end)
            cancel.(async)
          end)
        )

        Process.sleep(50)
        open(test)
        eventually("it has ended", fn -> length(told(test)) == 2 * n end)
        assert Python.eval!("__import__('#{module}').whole")
        Python.call!(:__main__, "#{test.gate}.clear")
      end
    end

    test "does not keep the calls of its callbacks from being interrupted",
         %{pool: pool} = test do
      name = unique("of_elixir")
      me = self()

      Python.register(name, fn ->
        {took, answer} = timed(fn -> Python.exec("while True: pass", timeout: 100) end)
        send(me, {:nested, took, answer})
        # It runs on the thread of the import, which goes on after that.
        :ok
      end)

      on_exit(fn -> Python.unregister(name) end)
      open(test)
      module = module(test, "import erlang; erlang.#{name}()")
      assert Python.exec("import #{module}", pool: pool, timeout: 8_000) == :ok
      assert_receive {:nested, _took, {:error, %TimeoutError{}}}
      assert told(test) == ["begun", "ended"]
    end
  end

  describe "an import that does not end" do
    @tag timeout: 120_000
    test "is interrupted in the end, and can be made again", %{pool: pool} = test do
      module = module(test)
      package = unique("package")
      File.mkdir_p!(Path.join(test.folder, package))
      File.write!(Path.join([test.folder, package, "first.py"]), "value = 1")
      init = "from . import first\nimport #{module}\nfrom .first import *\nfirst.value\n"
      File.write!(Path.join([test.folder, package, "__init__.py"]), init)
      assert_times_out("import #{package}", pool: pool)
      eventually("it is interrupted", fn -> Python.Pool.stats(pool).stuck == 0 end, 60_000)
      assert told(test) == ["begun"]
      open(test)
      assert Python.eval!("__import__('#{package}').value", pool: pool) == 1
      assert Python.eval!("__import__('#{package}').#{module}.whole", pool: pool)
    end
  end

  describe "a module whose code catches the interrupt" do
    @tag timeout: 120_000
    test "is whole if it goes on, as one that catches a KeyboardInterrupt",
         %{pool: pool} = test do
      module =
        write_module(test.folder, """
        import __main__
        __main__.#{test.told}.append("begun")
        try:
            while True:
                for _ in range(9): pass
        except BaseException as error:
            caught = type(error).__name__
        whole = True
        __main__.#{test.told}.append("ended")
        """)

      begin(test, "import #{module}") |> Python.cancel()
      eventually("it has ended", fn -> told(test) == ["begun", "ended"] end, 60_000)
      assert Python.eval!("__import__('#{module}').caught", pool: pool) == "Interrupt"
      assert Python.eval!("__import__('#{module}').whole", pool: pool)
    end

    @tag timeout: 120_000
    test "again and again holds up only the code that imports it", %{pool: pool} = test do
      module =
        write_module(test.folder, """
        import __main__
        __main__.#{test.told}.append("begun")
        times = 0
        while not __main__.#{test.gate}.is_set():
            try:
                while not __main__.#{test.gate}.is_set(): pass
            except BaseException:
                times += 1
        """)

      begin(test, "import #{module}") |> Python.cancel()
      assert Python.eval!("1", pool: pool) == 1
      times = "getattr(__import__('sys').modules.get('#{module}'), 'times', 0)"
      eventually("it is interrupted", fn -> Python.eval!(times, pool: pool) > 1 end, 60_000)
      assert %{stuck: 1, workers: 1} = Python.Pool.stats(pool)
      open(test)
      eventually("it has ended", fn -> Python.Pool.stats(pool).stuck == 0 end, 60_000)
      assert Python.eval!("__import__('#{module}').times > 1", pool: pool)
    end

    @tag timeout: 120_000
    test "of another import leaves that to the next one", %{pool: pool} = test do
      slow = module(test)

      module =
        write_module(test.folder, """
        import __main__
        try:
            import #{slow}
        except BaseException:
            __main__.#{test.told}.append("caught")
        """)

      begin(test, "import #{module}") |> Python.cancel()
      eventually("it has ended", fn -> told(test) == ["begun", "caught"] end, 60_000)
      open(test)
      assert Python.eval!("__import__('#{slow}').whole", pool: pool)
    end
  end

  test "no timeout breaks the packages that calls import" do
    for package <- ["asyncio", "concurrent.futures", "multiprocessing.pool", "unittest"] do
      vm = FreshVM.start()

      for timeout <- 0..20 do
        code = "import #{package}"
        FreshVM.call(vm, Python, :exec, [code, [timeout: timeout]])
      end

      last = "__import__('sys').modules['#{package}'].__all__ != []"
      assert FreshVM.call(vm, Python, :exec, ["import #{package}", [timeout: 30_000]]) == :ok
      assert FreshVM.call(vm, Python, :eval, [last, []]) == {:ok, true}
      FreshVM.stop(vm)
    end
  end
end
