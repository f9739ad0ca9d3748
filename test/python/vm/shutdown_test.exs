defmodule Python.VM.ShutdownTest do
  # The end of the application and of the VM, whatever Python is at.
  use Python.TestCase, async: true

  alias Python.FreshVM

  # Everything that Python can be at when the application is stopped.
  @busy """
  Python.exec!(\"\"\"
  import time, threading
  def spin():
      while True: pass
  def stubborn():
      while True:
          try: time.sleep(0.01)
          except BaseException: pass
  def hold():
      lock = threading.Lock()
      lock.acquire()
      lock.acquire()
  def call(f):
      return f()
  def items():
      while True: yield 1
  \"\"\")

  {:ok, pool} = Python.Pool.start_link(name: Other, size: 16)
  Process.unlink(pool)
  me = self()

  works = [
    fn -> Python.call(:__main__, :spin, [], timeout: :infinity) end,
    fn -> Python.call(:__main__, :spin, [], pool: Other, timeout: :infinity) end,
    fn -> Python.call(:__main__, :stubborn, [], pool: Other, timeout: :infinity) end,
    fn -> Python.call(:__main__, :hold, [], pool: Other, timeout: :infinity) end,
    fn -> Python.call(:time, :sleep, [3600], pool: Other, timeout: :infinity) end,
    fn -> Python.call(:__main__, :call, [fn -> Process.sleep(:infinity) end], pool: Other, timeout: :infinity) end,
    fn -> Python.await(Python.call_async(:__main__, :spin, [], pool: Other, timeout: :infinity), :infinity) end,
    fn -> Python.map(:time, :sleep, [[3600], [3600]], pool: Other, timeout: :infinity) end,
    fn -> Python.stream(:__main__, :items, [], pool: Other, timeout: :infinity) |> Stream.run() end,
    fn ->
      {:ok, context} = Python.Context.start_link()
      Python.exec("while True: pass", context: context, timeout: :infinity)
    end
  ]

  callers =
    for {work, n} <- Enum.with_index(works) do
      {pid, _} = spawn_monitor(fn ->
        send(me, {:begins, n})
        result = try do work.() rescue error -> {:error, error} end
        send(me, {:result, n, result})
      end)
      pid
    end

  for n <- 0..(length(works) - 1), do: (receive do {:begins, ^n} -> :ok end)
  Process.sleep(500)
  """

  test "Application.stop returns while Python is busy, its callers are told, and it starts again" do
    code =
      @busy <>
        """
        :ok = Application.stop(:erlang_python)
        # Those of the default pool. The others' pools and contexts are not the application's.
        receive do {:result, 0, result} -> IO.inspect(result, label: "told") end
        IO.inspect(Python.call(:math, :sqrt, [16]), label: "stopped")
        {:ok, _} = Application.ensure_all_started(:erlang_python)
        IO.inspect(Python.call(:math, :sqrt, [16], timeout: 20_000), label: "started")
        IO.puts("callers: \#{length(callers)}")
        System.halt(0)
        """

    assert {output, 0} = FreshVM.run(code, timeout: 60_000)
    assert output =~ ~r/told: {:error,\s+%Python.StoppedError/
    assert output =~ ~r/stopped: {:error,\s+%Python.NotStartedError/
    assert output =~ "started: {:ok, 4.0}"
    assert output =~ "callers: 10"
  end

  test "Application.stop takes no longer than without anything to do, by an order of magnitude" do
    code =
      """
      stop = fn -> :timer.tc(fn -> :ok = Application.stop(:erlang_python) end) |> elem(0) end
      idle = stop.()
      {:ok, _} = Application.ensure_all_started(:erlang_python)
      """ <>
        @busy <>
        """
        IO.puts("busy \#{stop.()} idle \#{idle}")
        System.halt(0)
        """

    assert {output, 0} = FreshVM.run(code, timeout: 60_000)
    assert [busy, idle] = Regex.run(~r/busy (\d+) idle (\d+)/, output, capture: :all_but_first)
    # In µs. What it would wait for takes an hour, or has no end.
    assert String.to_integer(busy) < 3_000_000 + 10 * String.to_integer(idle)
  end

  # And what goes on making objects, terms and threads, on top of it.
  @busier """
  Python.exec!(\"\"\"
  import logging
  def talk():
      while True:
          print('a line')
          logging.getLogger('talk').debug('a line')
  def call_often(f):
      while True: f(object())
  def have_threads(f):
      def work():
          while True:
              try: f(1)
              except BaseException: pass
      for _ in range(3):
          threading.Thread(target=work, daemon=True).start()
      call_often(f)
  \"\"\")

  for work <- [
    fn -> Python.call(:__main__, :talk, [], pool: Other, timeout: :infinity) end,
    fn -> Python.call(:__main__, :call_often, [& &1], pool: Other, timeout: :infinity) end,
    fn -> Python.call(:__main__, :have_threads, [& &1], pool: Other, timeout: :infinity) end
  ] do
    {_pid, _} = spawn_monitor(work)
  end

  Process.sleep(200)
  """

  for {what, code} <- [
        {"Python code runs", "while True: pass"},
        {"a C function blocks", "__import__('time').sleep(600)"},
        {"a thread of Python's runs",
         "import threading, time; threading.Thread(target=lambda: time.sleep(600)).start()"},
        {"a thread of Python's has the GIL",
         "import threading\ndef spin():\n while True: pass\nthreading.Thread(target=spin).start()"}
      ] do
    test "the VM ends while #{what}" do
      ends =
        together(["System.stop(3)", "System.halt(3)"], fn ending ->
          code = """
          spawn(fn -> Python.exec(#{inspect(unquote(code))}) end)
          Process.sleep(200)
          #{ending}
          Process.sleep(:infinity)
          """

          FreshVM.run(code, timeout: 30_000)
        end)

      for {output, status} <- ends do
        assert status == 3
        refute output =~ "Fatal"
      end
    end
  end

  for ending <- ["System.stop(3)", "System.halt(3)", ":init.stop(3)"] do
    test "#{ending} ends the VM while Python is at everything that it can be at" do
      code = @busy <> unquote(ending) <> "\nProcess.sleep(:infinity)\n"
      assert {output, 3} = FreshVM.run(code, timeout: 45_000)
      refute output =~ "Fatal"
    end
  end

  # System.stop/1 purges our modules while threads are in Python, which only sometimes crashed the VM.
  @tag timeout: :infinity
  test "a VM that is as busy as can be ends with its status, in time, each time" do
    code =
      @busy <>
        @busier <>
        """
        IO.puts("ends \#{System.os_time(:millisecond)}")
        System.stop(0)
        Process.sleep(:infinity)
        """

    for _ <- 1..if(long?(), do: 50, else: 5) do
      # Others may have had the processors meanwhile: of some ends one is to be in time.
      assert Enum.any?(1..4, fn _ -> ends_in(code) < 15_000 end)
    end
  end

  # How many ms it took a VM to end, with its status.
  defp ends_in(code) do
    assert {output, 0} = FreshVM.run(code, timeout: 120_000)
    ended = System.os_time(:millisecond)
    assert [began] = Regex.run(~r/ends (\d+)/, output, capture: :all_but_first)
    refute output =~ "Fatal"
    ended - String.to_integer(began)
  end

  test "a pool that is stopped with its supervisor tells its callers, and the others go on" do
    pool = start_pool(size: 2)
    spin = define("def NAME():\n    while True: pass")
    runs = Python.call_async(:time, :sleep, [30], pool: pool)
    spins = Python.call_async(:__main__, spin, [], pool: pool)
    eventually_busy(pool, 2)
    waits = Python.call_async(:math, :sqrt, [4], pool: pool)
    {ms, :ok} = timed(fn -> stop_supervised!(pool) end)
    assert ms < 10_000

    for async <- [runs, spins, waits] do
      assert {:error, %Python.StoppedError{}} = Python.await(async)
    end

    assert Python.call(:math, :sqrt, [16]) == {:ok, 4.0}
    assert messages() == []
  end
end
