defmodule Python.Engine.Process.PreloadTest do
  # Workers that are forked from a process which has imported the modules of the option `:preload`.
  use Python.TestCase, async: true

  import ExUnit.CaptureLog

  alias Python.{CrashedError, EachWorker, FakeWorker, NotStartedError, Pool}

  @moduletag :tmp_dir
  @moduletag skip: :os.type() != {:unix, :linux} && "workers are forked on Linux only"

  setup %{tmp_dir: dir} = context do
    # Each import leaves a line.
    write(dir, "heavy", """
    import os, random, uuid
    with open(os.path.join(os.path.dirname(__file__), "imports"), "a") as file:
        file.write("%d\\n" % os.getpid())
    by = os.getpid()
    data = list(range(1000))
    def parent():
        return os.getppid()
    """)

    options = [engine: :process, size: 2, preload: ["heavy"], env: %{"PYTHONPATH" => dir}]
    options = Keyword.merge(options, Map.get(context, :pool, []))
    if context[:by_hand], do: {:ok, options: options}, else: {:ok, pool: start_pool(options)}
  end

  defp write(dir, name, code), do: File.write!(Path.join(dir, name <> ".py"), code)

  defp imports(dir),
    do: dir |> Path.join("imports") |> File.read!() |> String.split("\n", trim: true)

  test "are processes of their own with the modules in them", %{pool: pool, tmp_dir: dir} do
    workers =
      EachWorker.eval(
        pool,
        "(os.getpid(), __import__('heavy').by, 'heavy' in __import__('sys').modules)"
      )

    assert [template] = imports(dir)

    assert Enum.uniq(for {_, by, there} <- workers, do: {by, there}) == [
             {String.to_integer(template), true}
           ]

    os_pids = for {os_pid, _, _} <- workers, do: os_pid
    assert Enum.sort(os_pids) == pool |> FakeWorker.os_pids() |> Enum.sort()
    refute String.to_integer(template) in os_pids

    # And work as any.
    assert Python.call(:heavy, :parent, [], pool: pool) |> elem(0) == :ok

    assert Enum.to_list(Python.stream_eval("iter(__import__('heavy').data[:3])", %{}, pool: pool)) ==
             [0, 1, 2]

    assert Python.eval("f(20)", %{f: fn n -> n + 1 end}, pool: pool) == {:ok, 21}
    assert Python.eval("__import__('sys').argv", pool: pool) == {:ok, [""]}

    assert Python.eval("sorted(n for n in vars(__import__('__main__')) if n[0] != '_')",
             pool: pool
           ) == {:ok, ["each"]}

    assert Python.eval(
             "__import__('threading').current_thread() is __import__('threading').main_thread()",
             pool: pool
           ) == {:ok, true}

    assert Python.eval("__import__('subprocess').run(['true']).returncode", pool: pool) ==
             {:ok, 0}

    assert Python.eval("__import__('gc').isenabled()", pool: pool) == {:ok, true}

    assert {:error, %Python.TimeoutError{}} =
             Python.call(:time, :sleep, [5], pool: pool, timeout: 50)
  end

  test "draw random numbers of their own", %{pool: pool} do
    for code <- [
          "__import__('random').random()",
          "str(__import__('uuid').uuid4())",
          "str(__import__('uuid').uuid1())"
        ] do
      assert [one, other] = EachWorker.eval(pool, code)
      assert one != other
    end
  end

  test "that crash are forked again", %{pool: pool, tmp_dir: dir} do
    assert {:error, %CrashedError{signal: :sigsegv, traceback: report}} =
             Python.call(:faulthandler, :_sigsegv, [], pool: pool)

    assert report =~ "Segmentation fault"

    assert {:error, %CrashedError{exit_status: 3, signal: nil}} =
             Python.call(:os, :_exit, [3], pool: pool)

    assert {:error, %CrashedError{signal: :sigkill}} =
             Python.eval("__import__('os').kill(__import__('os').getpid(), 9)", pool: pool)

    assert EachWorker.eval(pool, "__import__('heavy').by") |> Enum.uniq() |> length() == 1
    assert [_template] = imports(dir)
  end

  @tag pool: [kill_after: 50]
  test "that do not end are killed", %{pool: pool} do
    before = eventually("all are ready", fn -> FakeWorker.os_pids(pool) end)

    assert {:error, %Python.TimeoutError{}} =
             Python.eval("sum(range(10**11))", pool: pool, timeout: 50)

    # Its successor has only what it has had from its own start on.
    eventually("it is killed", fn ->
      pids = FakeWorker.os_pids(pool)
      pids && Enum.any?(before, &(&1 not in pids))
    end)

    assert [_, _] = EachWorker.eval(pool, "os.getpid()")
  end

  test "live on when the template is killed, and another one is started", %{
    pool: pool,
    tmp_dir: dir
  } do
    before = EachWorker.eval(pool, "os.getpid()")
    [template] = imports(dir)
    System.cmd("kill", ["-KILL", template])
    eventually("another one has imported it", fn -> length(imports(dir)) == 2 end)
    assert Enum.sort(EachWorker.eval(pool, "os.getpid()")) == Enum.sort(before)

    [_, next] = imports(dir)

    eventually("workers are forked from it", fn ->
      {:error, %CrashedError{}} = Python.call(:os, :_exit, [3], pool: pool)
      {:ok, String.to_integer(next)} == Python.eval("__import__('heavy').by", pool: pool)
    end)

    assert length(imports(dir)) == 2
  end

  @tag :by_hand
  test "of a module that starts a thread are started by themselves, which is told", context do
    write(context.tmp_dir, "threaded", """
    import heavy, threading, time
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    """)

    log =
      capture_log(fn ->
        pool = start_pool(Keyword.put(context.options, :preload, ["heavy", "threaded"]))
        assert EachWorker.eval(pool, "__import__('heavy').by == os.getpid()") == [true, true]
        stop_supervised!(pool)
      end)

    assert log =~
             "a process with threads cannot be forked, and importing threaded has started some"

    # The template's own one too.
    assert length(imports(context.tmp_dir)) == 3
  end

  # Each is imported where workers would be forked, and forks are told to it.
  for {what, code} <- [
        {"starts a thread after the first fork",
         """
         import os, threading, time
         def late():
             threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
         os.register_at_fork(after_in_parent=late)
         """},
        {"ends the template when a worker is forked",
         """
         import os
         forks = []
         def end():
             forks.append(None)
             if len(forks) > 2: os._exit(7)
         os.register_at_fork(after_in_parent=end)
         """},
        {"ends each worker that is forked",
         """
         import os
         os.register_at_fork(after_in_child=lambda: os._exit(7))
         """}
      ] do
    @tag :by_hand
    test "of a module that #{what} are started by themselves, which is told",
         %{options: options, tmp_dir: dir} do
      write(dir, "own", unquote(code))

      pool = :"#{unique("Forked")}"

      log =
        capture_log(fn ->
          start_pool([name: pool] ++ Keyword.put(options, :preload, ["own"]))

          # Until there is no template any more.
          for _ <- 1..8 do
            assert Python.eval("1 + 1", pool: pool, timeout: 30_000) == {:ok, 2}
            EachWorker.crash_one(pool)
            Process.sleep(250)
          end
        end)

      assert log =~ "#{inspect(pool)} are not forked from a process that has imported own"
      refute log =~ "#{inspect(pool)} did not start"
    end
  end

  test "are started by themselves while the template answers nothing", %{
    pool: pool,
    tmp_dir: dir
  } do
    EachWorker.await(pool)
    [template] = imports(dir)
    System.cmd("kill", ["-STOP", template])
    for _ <- 1..2, do: {:error, %CrashedError{}} = Python.call(:os, :_exit, [3], pool: pool)
    assert Python.eval("1 + 1", pool: pool, timeout: 40_000) == {:ok, 2}
    eventually("it is ended", fn -> not FakeWorker.alive?(String.to_integer(template)) end)
  end

  @tag :by_hand
  test "collect garbage as the modules say", %{options: options, tmp_dir: dir} do
    for does <- ["disable", "enable"] do
      write(dir, "collects_#{does}", "import gc; before = gc.isenabled(); gc.#{does}()")
      pool = start_pool(Keyword.put(options, :preload, ["collects_#{does}"]))
      code = "(__import__('collects_#{does}').before, __import__('gc').isenabled())"
      assert Python.eval(code, pool: pool) == {:ok, {true, does == "enable"}}
    end
  end

  @tag :by_hand
  test "of a module whose thread has ended are forked", context do
    write(context.tmp_dir, "threaded", """
    import heavy, threading
    thread = threading.Thread(target=print)
    thread.start()
    thread.join()
    """)

    pool = start_pool(Keyword.put(context.options, :preload, [:threaded]))
    assert EachWorker.eval(pool, "__import__('heavy').by == os.getpid()") == [false, false]
  end

  @tag :by_hand
  @tag :capture_log
  test "of a module that cannot be imported do not start, and calls get the reason", context do
    for {name, code, text} <- [
          {"no_such_module", nil, "No module named 'no_such_module'"},
          {"broken", "1 / 0", "division by zero"}
        ] do
      if code, do: write(context.tmp_dir, name, code)
      pool = start_pool(Keyword.put(context.options, :preload, [name]))
      assert {:error, %NotStartedError{} = error} = Python.eval("1", pool: pool)
      assert error.message =~ text
      assert error.message =~ name
      stop_supervised!(pool)
    end
  end

  @tag pool: [
         size: 1,
         limits: [files: 50],
         cd: "/",
         command: ["nice", "-n", "5"],
         init: "import os; started = os.getpid()",
         spares: 1
       ]
  test "have the options of their pool", %{pool: pool, tmp_dir: dir} do
    assert Python.eval("__import__('resource').getrlimit(7)", pool: pool) == {:ok, {50, 50}}
    assert Python.eval("os.getcwd()", pool: pool) == {:ok, "/"}
    nice = Python.eval!("__import__('os').nice(0)")
    assert Python.eval("os.nice(0)", pool: pool) == {:ok, min(nice + 5, 19)}
    assert Python.eval("os.environ['PYTHONPATH']", pool: pool) == {:ok, dir}
    assert Python.eval("started == os.getpid()", pool: pool) == {:ok, true}
    assert {:error, %CrashedError{}} = Python.call(:os, :_exit, [3], pool: pool)

    assert Python.eval("started == os.getpid() != __import__('heavy').by", pool: pool) ==
             {:ok, true}

    assert [_template] = imports(dir)
  end

  @tag pool: [max_calls: 3, size: 1]
  test "retire and are forked again", %{pool: pool, tmp_dir: dir} do
    os_pids = for _ <- 1..12, do: Python.eval!("__import__('os').getpid()", pool: pool)
    assert os_pids |> Enum.uniq() |> length() >= 4
    assert [_template] = imports(dir)
    assert Pool.stats(pool).failed == 0
  end

  test "end with their pool, and so does what they and the template have started", %{
    pool: pool,
    tmp_dir: dir
  } do
    code = "__import__('subprocess').Popen(['sleep', '1000'], start_new_session=True).pid"
    started = EachWorker.eval(pool, code)
    os_pids = FakeWorker.os_pids(pool) ++ started ++ Enum.map(imports(dir), &String.to_integer/1)
    guards = EachWorker.eval(pool, "os.getppid()")
    all = os_pids ++ guards
    assert length(Enum.uniq(all)) == 7
    assert Enum.all?(all, &FakeWorker.alive?/1)
    stop_supervised!(pool)
    eventually("all have ended", fn -> not Enum.any?(all, &FakeWorker.alive?/1) end)
  end

  test "take what they have started with them when they crash", %{pool: pool} do
    code = "__import__('subprocess').Popen(['sleep', '1000'], start_new_session=True).pid"
    {:ok, child} = Python.eval(code, pool: pool)
    workers = eventually("all are ready", fn -> FakeWorker.os_pids(pool) end)
    for os_pid <- workers, do: System.cmd("kill", ["-KILL", "#{os_pid}"])
    eventually("it has ended", fn -> not FakeWorker.alive?(child) end)
    # A call may have come to one that was about to end.
    eventually("others run", fn -> Python.eval("1 + 1", pool: pool) == {:ok, 2} end)
  end

  @tag :by_hand
  test "end with the VM, and so does the template", %{options: options, tmp_dir: dir} do
    vm = Python.FreshVM.start()

    code = """
    spawn(fn -> {:ok, _} = Python.Pool.start_link(#{inspect(Keyword.put(options, :name, Left))}); Process.sleep(:infinity) end)
    Enum.find_value(1..2000, fn _ -> Process.sleep(5); Python.Pool.lookup(Left) end)
    for _ <- 1..8, do: Python.eval!("__import__('time').sleep(0.05)", %{}, pool: Left)
    {System.pid(), for(worker <- Python.Pool.workers(Left), do: worker.os_pid)}
    """

    {{vm_pid, os_pids}, _} = Python.FreshVM.call(vm, Code, :eval_string, [code])
    all = Enum.filter(os_pids, & &1) ++ Enum.map(imports(dir), &String.to_integer/1)
    assert length(all) >= 2 and Enum.all?(all, &FakeWorker.alive?/1)
    System.cmd("kill", ["-KILL", vm_pid])
    eventually("all have ended", fn -> not Enum.any?(all, &FakeWorker.alive?/1) end)
  end

  @tag :by_hand
  test "are asked for with names of modules", %{options: options} do
    for preload <- ["pandas", [1], [nil], ["a b"], ["a."], ["../a"], [:a | "b"], ["a\0"], %{}] do
      assert_raise ArgumentError,
                   ~r/expected the option :preload of a pool to be a list of names of modules/,
                   fn ->
                     Pool.start_link(Keyword.merge(options, name: Wrong, preload: preload))
                   end
    end

    assert_raise ArgumentError, ~r/unknown option :preload/, fn ->
      Python.Context.start_link(engine: :process, preload: ["math"])
    end
  end
end
