defmodule Python.Timeouts.InfinityTest do
  # Calls without a deadline, which run in their caller's own process if the pool is at rest.
  use Python.EngineCase, async: true

  import Python.Notes

  alias Python.{Pool, StoppedError}

  setup_all do: Python.SupportModules.find()

  @infinity [timeout: :infinity]

  test "give what calls with a deadline give" do
    pool = start_pool()
    options = [pool: pool] ++ @infinity

    for {source, vars} <- [
          {"[1, 2.5, 'ä', None, (True, {'a': b'\\xff'})]", %{}},
          {"{i: str(i) for i in range(2_000)}", %{}},
          {"sum(values)", %{values: Enum.to_list(1..10_000)}},
          {"1 / zero", %{zero: 0}},
          {"v", %{v: {:bytes, "x"}}},
          {"open('/no/such/file')", %{}},
          {"'\\ud800'", %{}}
        ] do
      assert comparable(Python.eval(source, vars, options)) ==
               comparable(Python.eval(source, vars, pool: pool))
    end

    assert Python.call("os.path", :join, ["a", "b"], options) == {:ok, "a/b"}
    assert Python.call(:builtins, :dict, [], [kwargs: [a: 1]] ++ options) == {:ok, %{"a" => 1}}
    assert {:ok, %Python.Object{}} = Python.eval("object()", %{}, [return: :object] ++ options)
    assert {:error, %Python.EncodeError{}} = Python.eval("v", %{v: <<1::3>>}, options)
    assert Python.exec("pass", options) == :ok
    assert Python.map(:math, :sqrt, [[4], [9]], options) == {:ok, [2.0, 3.0]}
    stream = Python.stream_eval("iter(range(5))", %{}, options)
    assert Enum.to_list(stream) == [0, 1, 2, 3, 4]
    assert Python.eval("f(1)", %{f: &(&1 + Python.eval!("2", %{}, options))}, options) == {:ok, 3}
    assert Python.eval("__import__('erlang').self()", %{}, options) == {:ok, self()}
    eventually_idle(pool)
    assert messages() == []
  end

  test "take as long as they take" do
    assert Python.call(:time, :sleep, [0.1], @infinity) == {:ok, nil}
  end

  test "print to the group leader" do
    pool = start_pool()

    printed =
      ExUnit.CaptureIO.capture_io(fn ->
        Python.eval!("print('from here')", %{}, [pool: pool] ++ @infinity)
      end)

    assert printed == "from here\n"
  end

  test "are counted" do
    pool = start_pool()
    for _ <- 1..3, do: Python.eval!("1", %{}, [pool: pool] ++ @infinity)
    Python.eval("1 / 0", %{}, [pool: pool] ++ @infinity)
    eventually_idle(pool)
    assert %{done: 3, failed: 1} = Pool.stats(pool)
  end

  test "end when their caller is killed, whose death is not held up" do
    pool = start_pool(size: 1)
    name = new_name()

    {caller, monitor} =
      spawn_monitor(fn ->
        Python.exec(
          """
          from notes import note
          try:
              note(#{inspect(name)}, 'begun')
              while True: pass
          finally:
              note(#{inspect(name)}, 'ended')
          """,
          [pool: pool] ++ @infinity
        )
      end)

    eventually("this is so", fn -> events(name) == ["begun"] end)
    Process.exit(caller, :kill)
    assert_receive {:DOWN, ^monitor, _, _, :killed}, 5_000
    eventually("this is so", fn -> events(name) == ["begun", "ended"] end)
    assert Python.eval("1", %{}, pool: pool) == {:ok, 1}

    eventually("this is so", fn -> match?(%{busy: 0, queued: 0, workers: 1}, Pool.stats(pool)) end)
  end

  @tag engine: :main
  test "that cannot be interrupted are replaced when their caller is killed" do
    pool = start_pool_of_processes(size: 1)
    name = unique("lock")
    Python.exec!("import threading; #{name} = threading.Lock(); #{name}.acquire()")

    caller =
      spawn(fn -> Python.eval("#{name}.acquire(True, 20)", %{}, [pool: pool] ++ @infinity) end)

    eventually("this is so", fn -> match?(%{busy: 1}, Pool.stats(pool)) end)
    Process.exit(caller, :kill)
    assert Python.eval("1", %{}, pool: pool, timeout: 10_000) == {:ok, 1}
    Python.exec!("#{name}.release()")

    eventually("this is so", fn -> match?(%{busy: 0, queued: 0, workers: 1}, Pool.stats(pool)) end)

    assert Python.eval("1", %{}, [pool: pool] ++ @infinity) == {:ok, 1}
  end

  test "end with their pool" do
    pool = start_pool(size: 1)
    task = Task.async(fn -> Python.exec("while True: pass", [pool: pool] ++ @infinity) end)
    eventually("this is so", fn -> match?(%{busy: 1}, Pool.stats(pool)) end)
    stop_supervised!(pool)
    assert {:error, %StoppedError{}} = Task.await(task)
  end

  @tag engine: :main
  test "end when the worker is killed in whose place they run" do
    pool = start_pool_of_processes(size: 1)
    task = Task.async(fn -> Python.exec("while True: pass", [pool: pool] ++ @infinity) end)
    eventually("this is so", fn -> match?(%{busy: 1}, Pool.stats(pool)) end)
    {:links, links} = Process.info(Process.whereis(pool), :links)

    [worker] =
      for pid <- links, initial_call(pid) == {Python.Engine.Main.Worker, :init, 3}, do: pid

    Process.exit(worker, :kill)
    assert {:error, %StoppedError{}} = Task.await(task)
    assert Python.eval("1", %{}, [pool: pool] ++ @infinity) == {:ok, 1}
    assert Python.eval("1", %{}, pool: pool) == {:ok, 1}
  end

  test "of many callers at once, with and without a deadline, are all answered" do
    pool = start_pool(size: 2)

    1..200
    |> Task.async_stream(
      fn n ->
        for m <- 1..50 do
          options = if rem(n + m, 3) == 0, do: [], else: @infinity
          assert Python.eval("(n, m)", %{n: n, m: m}, [pool: pool] ++ options) == {:ok, {n, m}}
        end
      end,
      max_concurrency: 200,
      timeout: :infinity
    )
    |> Stream.run()

    eventually("this is so", fn ->
      match?(%{busy: 0, queued: 0, workers: 2, done: 10_000}, Pool.stats(pool))
    end)
  end

  defp initial_call(pid) do
    with {:dictionary, dictionary} <- Process.info(pid, :dictionary),
         do: dictionary[:"$initial_call"]
  end

  defp comparable({:ok, value}), do: {:ok, value}
  defp comparable({:error, error}), do: {error.__struct__, Exception.message(error)}
end
