defmodule Python.Engine.Asyncio.LostTest do
  # Loops that are held up in C code that nobody can interrupt: others take their place.
  use Python.LoopCase, async: false

  import ExUnit.CaptureLog

  alias Python.{OverloadedError, Pool, TimeoutError}

  setup %{name: name} do
    Python.exec!("import holding")
    # Whatever becomes of the test, no thread is left behind.
    on_exit(fn -> Python.call(:holding, :release, [name]) end)
    {:ok, pool: start_loop()}
  end

  defp release(name), do: Python.call!(:holding, :release, [name])

  # Has a call hold the loop up that is given up.
  defp lose(pool, name) do
    {:error, %TimeoutError{}} = Python.call(:holding, :acquire, [name], pool: pool, timeout: 100)
    eventually_replaced(pool)
  end

  defp eventually_replaced(pool) do
    eventually("another loop is there", fn ->
      Pool.stats(pool).stuck > 0 and on_loop(pool, :answer, [1], timeout: 200) == {:ok, 1}
    end)
  end

  defp eventually_back(pool) do
    eventually("nothing is stuck", fn -> Pool.stats(pool).stuck == 0 end)
    eventually("one loop is left", fn -> length(loops()) == 1 end)
  end

  defp step(next) do
    with {:suspended, items, next} <- next.({:cont, []}), do: {items, next}, else: (_ -> nil)
  end

  defp loops do
    for task <- File.ls!("/proc/self/task"),
        {:ok, "py_loop_" <> _} <- [File.read("/proc/self/task/#{task}/comm")],
        do: task
  end

  describe "a loop that a call holds up for good" do
    test "is replaced, counts as stuck, and ends should it come back", %{pool: pool, name: name} do
      id = on_loop!(pool, :loop_id)
      log = capture_log(fn -> lose(pool, name) end)
      assert log =~ "holding.py"
      assert log =~ "in acquire"
      assert log =~ "another event loop"

      assert on_loop!(pool, :loop_id) != id
      assert %{workers: 1, stuck: 1, stuck_at: [place]} = Pool.stats(pool)
      assert %{function: "acquire", ms: ms} = place
      assert ms > 0
      assert [%{busy: false}] = Pool.workers(pool)

      release(name)
      eventually_told(name, "through")
      eventually_back(pool)
      assert %{workers: 1, stuck: 0, stuck_at: []} = Pool.stats(pool)
      assert on_loop(pool, :answer, [2]) == {:ok, 2}
    end

    test "in a coroutine, in a callback, and in a task that was left behind", %{name: name} do
      for {function, args} <- [
            acquire_in_coroutine: [],
            in_own_callback: ["acquire"],
            in_callback: ["acquire"],
            in_task: ["", "acquire"]
          ] do
        name = "#{name}_#{function}"
        on_exit(fn -> Python.call(:holding, :release, [name]) end)
        pool = start_loop()
        args = Enum.map(args, &if(&1 == "", do: name, else: &1)) ++ [name]
        Python.call(:holding, function, args, pool: pool, timeout: 200)
        eventually_told(name, "begun")
        {:error, %TimeoutError{}} = on_loop(pool, :answer, [1], timeout: 20)
        eventually_replaced(pool)
        # Those that were given up meanwhile hold nothing up.
        assert %{workers: 1, stuck: 1, stuck_at: [%{function: "acquire"}]} = Pool.stats(pool)
        release(name)
        eventually("nothing is stuck", fn -> Pool.stats(pool).stuck == 0 end)
        stop_supervised!(pool)
      end
    end

    test "gives the other calls their answers when it comes back", %{pool: pool, name: name} do
      calls = for n <- 1..20, do: Python.call_async(:coroutines, :after, [0.5, n], pool: pool)

      endless = Python.call_async(:coroutines, :after, [0.5, 0], pool: pool, timeout: :infinity)

      late = Python.call_async(:coroutines, :after, [0.5, 0], pool: pool, timeout: 700)
      lose(pool, name)
      assert {:error, %TimeoutError{}} = Python.await(late)
      assert on_loop(pool, :answer, [1]) == {:ok, 1}
      # The one that holds it up, and none that waits for it.
      assert %{stuck: 1} = Pool.stats(pool)

      release(name)
      for {call, n} <- Enum.zip(calls, 1..20), do: assert(Python.await(call) == {:ok, n})
      assert Python.await(endless) == {:ok, 0}
      eventually_back(pool)
    end

    test "cancels what calls have left behind there, when it comes back", %{
      pool: pool,
      name: name
    } do
      other = name <> "2"
      on_loop!(pool, :leave_task, [other])
      lose(pool, name)
      release(name)
      eventually_told(other, "finally")
      assert "cancelled" in events(other)
      eventually_back(pool)
    end

    test "goes on with its streams when it comes back, and ends with them", %{
      pool: pool,
      name: name
    } do
      items = Python.stream(:holding, :items, [40], pool: pool, max_chunk: 1, prefetch: 0)
      {:suspended, _, next} = Enumerable.reduce(items, {:cont, []}, &{:suspend, [&1 | &2]})
      lose(pool, name)
      # A new one is made in the new loop.
      assert Python.stream(:holding, :items, [3], pool: pool) |> Enum.to_list() == [0, 1, 2]

      reader =
        Task.async(fn ->
          next |> Stream.unfold(&step/1) |> Enum.to_list() |> Enum.map(&hd/1)
        end)

      refute Task.yield(reader, 100)
      release(name)
      eventually("nothing is stuck", fn -> Pool.stats(pool).stuck == 0 end)
      assert Task.await(reader, 20_000) == Enum.to_list(1..39)
      eventually_back(pool)
    end

    test "ends, should its streams be closed", %{pool: pool, name: name} do
      items = Python.stream(:holding, :items, [40], pool: pool, max_chunk: 1, prefetch: 0)
      {:suspended, _, next} = Enumerable.reduce(items, {:cont, []}, &{:suspend, [&1 | &2]})
      lose(pool, name)
      release(name)
      eventually("nothing is stuck", fn -> Pool.stats(pool).stuck == 0 end)
      assert on_loop(pool, :answer, [1]) == {:ok, 1}
      assert length(loops()) == 2
      {:halted, _} = next.({:halt, []})
      eventually_back(pool)
    end

    test "again and again", %{pool: pool, name: name} do
      names = for n <- 1..8, do: "#{name}_#{n}"
      on_exit(fn -> for name <- names, do: Python.call(:holding, :release, [name]) end)
      for name <- names, do: lose(pool, name)
      assert %{workers: 1, stuck: 8} = Pool.stats(pool)
      for name <- names, do: release(name)
      eventually_back(pool)
    end

    test "of two", %{name: name} do
      pool = start_loop(size: 2)
      lose(pool, name)
      assert %{workers: 2, stuck: 1} = Pool.stats(pool)

      eventually("both loops work", fn ->
        calls =
          for _ <- 1..20, do: Python.call_async(:coroutines, :thread_after, [0.01], pool: pool)

        calls |> Enum.map(&Python.await/1) |> Enum.uniq() |> length() == 2
      end)

      release(name)
      eventually("nothing is stuck", fn -> Pool.stats(pool).stuck == 0 end)
    end
  end

  test "a pool with max_stuck of them refuses calls, and says where they are", %{name: name} do
    pool = start_loop(max_stuck: 1)
    Python.call(:holding, :acquire, [name], pool: pool, timeout: 50)
    eventually("it is stuck", fn -> Pool.stats(pool).stuck == 1 end)
    assert {:error, %OverloadedError{} = error} = on_loop(pool, :answer, [1])
    assert Exception.message(error) =~ "holding.py"
    release(name)
    eventually("it answers", fn -> on_loop(pool, :answer, [1]) == {:ok, 1} end)
  end

  test "what was made in it says so, when it is used in the next one", %{pool: pool, name: name} do
    session = Python.call!(:holding, :session, [], pool: pool)
    assert Python.call(session, :get, []) == {:ok, "got"}
    lose(pool, name)

    assert {:error, error} = Python.call(session, :get, [])
    assert error.type == "RuntimeError"
    assert Exception.message(error) =~ "held up for good, at "
    assert Exception.message(error) =~ "holding.py"
    assert Exception.message(error) =~ "make it again"

    if python_version() >= {3, 10} do
      assert {:error, error} = Python.call(session, :crowd, [])
      assert Exception.message(error) =~ "replaced"
    end

    session = Python.call!(:holding, :session, [], pool: pool)
    assert Python.call(session, :get, []) == {:ok, "got"}
  end

  test "a pool that stops meanwhile leaves nothing behind", %{pool: pool, name: name} do
    lose(pool, name)
    {ms, _} = timed(fn -> stop_supervised!(pool) end)
    assert ms < 10_000
    release(name)
    eventually("its thread ends", fn -> loops() == [] end)
  end

  test "a context waits for it: it is its thread", %{name: name} do
    {:ok, context} = Python.Context.start_link(engine: :asyncio)
    {:ok, id} = Python.call(:holding, :loop_id, [], context: context)

    {:error, %TimeoutError{}} =
      Python.call(:holding, :acquire, [name], context: context, timeout: 50)

    {:error, %TimeoutError{}} =
      Python.call(:holding, :loop_id, [], context: context, timeout: 600)

    release(name)
    assert Python.call(:holding, :loop_id, [], context: context, timeout: 20_000) == {:ok, id}
    Python.Context.stop(context)
  end
end
