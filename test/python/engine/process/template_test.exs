defmodule Python.Engine.Process.TemplateTest do
  # Workers that are forked without anybody asking for it: when that makes no difference but time and memory.
  use Python.TestCase, async: true

  import ExUnit.CaptureLog

  alias Python.EachWorker

  @moduletag :tmp_dir
  @moduletag skip: :os.type() != {:unix, :linux} && "workers are forked on Linux only"

  # What the command line of a template and of those that are forked from it has.
  @forked "'package:' in open('/proc/self/cmdline').read()"

  defp pool(context, options) do
    if code = context[:at_each_start],
      do: File.write!(Path.join(context.tmp_dir, "sitecustomize.py"), code)

    env = %{"PYTHONPATH" => context.tmp_dir}
    start_pool([engine: :process, env: env] ++ options)
  end

  test "several are forked, and so are those that follow", context do
    pool = pool(context, size: 3)
    assert EachWorker.eval(pool, @forked) == [true, true, true]
    EachWorker.crash_one(pool)
    assert EachWorker.eval(pool, @forked) == [true, true, true]

    os = "__import__('os')"
    main = "__import__('threading').main_thread()"
    assert Python.eval!("#{main}.native_id == #{os}.getpid()", pool: pool)

    # Neither what it was started with nor the package of this library is to be seen as anybody's else.
    assert Python.eval!("__import__('sys').argv", pool: pool) == [""]
    assert Python.eval!("__import__('os').getpgrp() == __import__('os').getpid()", pool: pool)
    assert Python.eval!("f(20)", %{f: &(&1 + 1)}, pool: pool) == 21
  end

  test "a single one is started by itself, and those that follow are forked", context do
    pool = pool(context, size: 1)
    refute Python.eval!(@forked, pool: pool)
    EachWorker.crash_one(pool)
    refute Python.eval!(@forked, pool: pool)
    EachWorker.crash_one(pool)
    assert Python.eval!(@forked, pool: pool)
  end

  for reason <- [:normal, :shutdown, :kill] do
    test "ends with its pool, of which nothing is left: #{reason}", %{tmp_dir: dir} do
      Process.flag(:trap_exit, true)
      name = String.to_atom(unique("Ends"))
      env = %{"PYTHONPATH" => dir}
      options = [name: name, engine: :process, size: 2, spares: 1, env: env]
      {:ok, pool} = Python.Pool.start_link(options)
      assert EachWorker.eval(name, @forked) == [true, true]
      {:links, links} = Process.info(pool, :links)
      monitors = for pid <- links, is_pid(pid) and pid != self(), do: Process.monitor(pid)
      assert length(monitors) >= 4 and length(with_path(dir)) >= 4

      if unquote(reason) == :kill,
        do: Process.exit(pool, :kill),
        else: GenServer.stop(pool, unquote(reason))

      for monitor <- monitors, do: assert_receive({:DOWN, ^monitor, :process, _, _}, 20_000)
      eventually("no process of the system is left", fn -> with_path(dir) == [] end)
      # Nothing is started anew.
      Process.sleep(300)
      assert with_path(dir) == []
    end
  end

  # The processes of the system that were started with this path.
  defp with_path(dir) do
    for environ <- Path.wildcard("/proc/[0-9]*/environ"),
        {:ok, text} <- [File.read(environ)],
        ("PYTHONPATH=" <> dir) in String.split(text, <<0>>),
        do: environ
  end

  test "a spare one is another one", context do
    pool = pool(context, size: 1, spares: 1)
    assert Python.eval!(@forked, pool: pool)
  end

  test "a command starts each by itself, unless modules are to be shared", context do
    pool = pool(context, size: 2, command: ["/usr/bin/env"])
    assert EachWorker.eval(pool, @forked) == [false, false]
    pool = pool(context, size: 2, command: ["/usr/bin/env"], preload: ["json"])
    assert EachWorker.eval(pool, @forked) == [true, true]
  end

  @tag at_each_start: "import random; random.random()"
  test "random numbers differ", context do
    pool = pool(context, size: 4)
    numbers = EachWorker.eval(pool, "__import__('random').random()")
    assert Enum.uniq(numbers) == numbers
    assert EachWorker.eval(pool, @forked) == [true, true, true, true]
  end

  for {what, code} <- [
        {"opens a file", "kept = open(__file__)"},
        {"opens a socket", "import socket; kept = socket.socket()"},
        {"shares memory", "import mmap; kept = mmap.mmap(-1, 4096)"},
        {"starts a thread",
         "import threading, time; threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()"}
      ] do
    @tag at_each_start: code
    test "code at each start that #{what} has each started by itself, and nobody is warned",
         context do
      log =
        capture_log(fn ->
          pool = pool(context, size: 2)
          send(self(), pool)
          assert EachWorker.eval(pool, @forked) == [false, false]
          EachWorker.crash_one(pool)
          refute Enum.any?(EachWorker.eval(pool, @forked))
        end)

      # That of others is in it, too.
      assert_received pool
      refute log =~ "#{inspect(pool)} are not forked"
    end
  end

  # The first start of all is that of the process to fork from.
  @tag at_each_start: """
       import os, time
       try:
           os.mkdir(os.path.join(os.path.dirname(__file__), "first"))
       except FileExistsError:
           pass
       else:
           time.sleep(1000)
       """
  test "one that does not come is not waited for", context do
    pool = pool(context, size: 2)
    assert Python.eval!(@forked, %{}, pool: pool, timeout: 30_000) == false
  end

  test "modules that are imported ahead can import the package, and reach nobody", context do
    File.write!(Path.join(context.tmp_dir, "ahead.py"), """
    import erlang

    class Point:
        pass

    erlang.register_decoder(Point, lambda point: "a point")
    said = []
    for function, arguments in [
        (erlang.call, ("f", 1)),
        (erlang.send, ("nobody", 1)),
        (erlang.receive, (0,)),
        (erlang.self, ()),
        (erlang.log, ("info", "text")),
    ]:
        try:
            function(*arguments)
        except Exception as error:
            said.append(type(error).__name__)
    """)

    pool = pool(context, size: 2, preload: ["ahead"])
    assert EachWorker.eval(pool, @forked) == [true, true]
    assert length(Python.eval!("__import__('ahead').said", pool: pool)) == 5
    assert Python.eval!("__import__('ahead').Point()", pool: pool) == "a point"
    name = unique("f")
    Python.register(name, fn x -> x + 1 end)
    assert Python.eval!("erlang.call(name, 1)", %{name: name}, pool: pool) == 2
  end
end
