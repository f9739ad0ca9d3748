defmodule Python.VM.OrderlyEndTest do
  # What Python does in order at the end of a program, at the end of the application.
  use Python.TestCase, async: true

  alias Python.FreshVM

  @moduletag :tmp_dir
  @moduletag timeout: 180_000

  # In a file, as the functions of processes have to be.
  @work """
  import os, signal, sys, time

  def pid(path):
      with open(path + str(os.getpid()), "w"):
          pass

  def wait(path):
      pid(path)
      time.sleep(1000)

  def outer(path):
      import multiprocessing
      multiprocessing.Process(target=wait, args=(path,)).start()
      wait(path)

  def stubborn(path):
      signal.signal(signal.SIGTERM, signal.SIG_IGN)
      wait(path)
  """

  defp paths(dir) do
    File.write!(Path.join(dir, "work_of_test.py"), @work)
    {Path.join(dir, "pid_"), "__import__('sys').path.insert(0, #{inspect(dir)})"}
  end

  # The processes that have left their numbers.
  defp pids(prefix),
    do: for(path <- Path.wildcard(prefix <> "*"), do: String.replace_prefix(path, prefix, ""))

  defp gone?(prefix) do
    Enum.all?(pids(prefix), fn pid ->
      case File.read("/proc/#{pid}/stat") do
        {:ok, stat} -> stat =~ ") Z"
        _ -> true
      end
    end)
  end

  @processes """
  Python.exec!(\"\"\"
  import work_of_test, concurrent.futures, multiprocessing, time, glob
  pool = multiprocessing.Pool(2)
  pool.map_async(work_of_test.wait, [prefix] * 2)
  daemon = multiprocessing.Process(target=work_of_test.wait, args=(prefix,), daemon=True)
  daemon.start()
  process = multiprocessing.Process(target=work_of_test.wait, args=(prefix,))
  process.start()
  executor = concurrent.futures.ProcessPoolExecutor(1)
  executor.submit(work_of_test.wait, prefix)
  server = multiprocessing.get_context("forkserver").Process(target=work_of_test.wait, args=(prefix,))
  server.start()
  outer = multiprocessing.Process(target=work_of_test.outer, args=(prefix,))
  outer.start()
  deadline = time.time() + 60
  while len(glob.glob(prefix + "*")) < 8 and time.time() < deadline:
      time.sleep(0.05)
  assert len(glob.glob(prefix + "*")) == 8
  \"\"\", timeout: 60_000)
  """

  for ending <- [
        "System.stop(3); Process.sleep(:infinity)",
        "System.halt(3)",
        "exit({:shutdown, 3})"
      ] do
    test "no process that Python has started for itself is left after #{ending}", %{tmp_dir: dir} do
      {prefix, path} = paths(dir)
      code = "Python.exec!(#{inspect(path <> "; prefix = #{inspect(prefix)}")})\n" <> @processes
      assert {_output, 3} = FreshVM.run(code <> unquote(ending), timeout: 90_000)
      assert length(pids(prefix)) == 8
      eventually("they are gone", fn -> gone?(prefix) end)
    end
  end

  # A pool looks ten times a second for workers that have ended, and starts others in their place.
  test "no worker is started in the place of one that has been ended" do
    mark = unique("ORDERLY_END")

    code = """
    Python.exec!("import os; os.environ['#{mark}'] = '1'")
    Python.exec!("import multiprocessing\\npools = [multiprocessing.Pool(2) for _ in range(4)]", timeout: 60_000)
    Python.exec!("[pool.map(abs, [1, 2]) for pool in pools]", timeout: 60_000)
    System.halt(3)
    """

    assert {_, 3} = FreshVM.run(code, timeout: 90_000)

    eventually("they are gone", fn ->
      Enum.all?(Path.wildcard("/proc/[0-9]*/environ"), fn path ->
        case File.read(path) do
          {:ok, environ} -> not String.contains?(environ, mark)
          _ -> true
        end
      end)
    end)
  end

  test "one that does not want to end is killed", %{tmp_dir: dir} do
    {prefix, path} = paths(dir)

    code = """
    Python.exec!(#{inspect(path <> "; prefix = #{inspect(prefix)}")})
    Python.exec!(\"\"\"
    import work_of_test, multiprocessing, time, glob
    process = multiprocessing.Process(target=work_of_test.stubborn, args=(prefix,), daemon=True)
    process.start()
    while not glob.glob(prefix + "*"):
        time.sleep(0.05)
    \"\"\", timeout: 60_000)
    System.stop(3)
    Process.sleep(:infinity)
    """

    assert {_, 3} = FreshVM.run(code, timeout: 90_000)
    eventually("it is gone", fn -> gone?(prefix) end)
  end

  test "Application.stop does what plain Python does at its end", %{tmp_dir: dir} do
    script = """
    import atexit, concurrent.futures, logging, tempfile, threading, time, weakref
    log = open(path, "w", 1)
    atexit.register(print, "first", file=log)
    atexit.register(print, "second", file=log)
    folder = tempfile.TemporaryDirectory()
    class Thing: pass
    thing = Thing()
    weakref.finalize(thing, print, "finalized", file=log)
    executor = concurrent.futures.ThreadPoolExecutor(1)
    for n in range(3):
        executor.submit(lambda n=n: (time.sleep(0.05), print("work", n, file=log)))
    handler = logging.FileHandler(path + ".log")
    close, handler.close = handler.close, lambda: (print("handler closed", file=log), close())
    @atexit.register
    def wrong():
        raise ValueError("wrong")
    """

    plain = Path.join(dir, "plain")

    {_, 0} =
      System.cmd(Python.info().executable, ["-c", "path = #{inspect(plain)}\n" <> script],
        stderr_to_stdout: true
      )

    ours = Path.join(dir, "ours")

    code = """
    Python.exec!(#{inspect("path = #{inspect(ours)}\n" <> script)})
    folder = Python.eval!("folder.name")
    :ok = Application.stop(:erlang_python)
    false = File.exists?(folder)
    """

    assert {output, 0} = FreshVM.run(code, timeout: 60_000)
    assert output =~ "ValueError: wrong"
    assert sorted(ours) == sorted(plain)
    assert File.read!(ours) =~ "first"
  end

  defp sorted(path), do: path |> File.read!() |> String.split("\n") |> Enum.sort()

  test "after it the application starts again, and all of it works anew", %{tmp_dir: dir} do
    {_prefix, path} = paths(dir)

    round = """
    Python.exec!(\"\"\"
    import atexit, concurrent.futures, multiprocessing, tempfile, os, weakref
    atexit.register(print, "ends", flush=True)
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        assert executor.submit(abs, -1).result() == 1
    left = concurrent.futures.ThreadPoolExecutor(1)
    assert left.submit(abs, -1).result() == 1
    processes = concurrent.futures.ProcessPoolExecutor(1)
    assert processes.submit(abs, -1).result(60) == 1
    pool = multiprocessing.Pool(1)
    assert pool.apply(abs, (-1,)) == 1
    folder = tempfile.TemporaryDirectory()
    class Thing: pass
    thing = Thing(); weakref.finalize(thing, print, "finalized", flush=True); del thing
    \"\"\", timeout: 60_000)
    folder = Python.eval!("folder.name")
    :ok = Application.stop(:erlang_python)
    IO.inspect(File.exists?(folder), label: "folder")
    {:ok, _} = Application.ensure_all_started(:erlang_python)
    """

    code = "Python.exec!(#{inspect(path)})\n" <> String.duplicate(round, 3) <> "System.halt(0)"
    assert {output, 0} = FreshVM.run(code, timeout: 120_000)
    refute output =~ "Traceback"
    assert length(String.split(output, "ends\n")) == 4
    assert length(String.split(output, "finalized\n")) == 4
    assert length(String.split(output, "folder: false")) == 4
  end

  for {name, code} <- [
        {"an executor whose work never ends",
         "import concurrent.futures, time; e = concurrent.futures.ThreadPoolExecutor(); e.submit(time.sleep, 1000)"},
        {"an atexit function that never ends",
         "import atexit, threading; atexit.register(threading.Event().wait)"},
        {"an atexit function that computes for ever",
         "import atexit\ndef spin():\n    while True: pass\natexit.register(spin)"},
        {"a thread that is no daemon",
         "import threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin).start()"}
      ] do
    test "#{name} holds up the end no longer than shutdown_timeout" do
      code = """
      Python.exec!(#{inspect(unquote(code))})
      {us, :ok} = :timer.tc(fn -> Application.stop(:erlang_python) end)
      IO.puts("took \#{div(us, 1000)}")
      {:ok, _} = Application.ensure_all_started(:erlang_python)
      {:ok, 2} = Python.eval("1 + 1")
      System.stop(3)
      Process.sleep(:infinity)
      """

      assert {output, 3} = FreshVM.run(code, timeout: 60_000, settings: [shutdown_timeout: 300])

      assert [ms] = Regex.run(~r/took (\d+)/, output, capture: :all_but_first)
      # What it would wait for takes minutes.
      assert String.to_integer(ms) < 15_000
    end
  end

  test "with a shutdown_timeout of 0 nothing of it is run" do
    code = """
    Python.exec!("import atexit; atexit.register(print, 'at exit', flush=True)")
    :ok = Application.stop(:erlang_python)
    """

    assert {output, 0} = FreshVM.run(code, settings: [shutdown_timeout: 0])
    refute output =~ "at exit"
  end

  test "a script that comes to its end runs it as well" do
    code = ~s|Python.exec!("import atexit; atexit.register(print, 'at exit', flush=True)")|
    assert {output, 0} = FreshVM.run(code)
    assert output =~ "at exit"
  end
end
