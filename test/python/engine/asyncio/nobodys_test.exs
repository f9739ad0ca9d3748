defmodule Python.Engine.Asyncio.NobodysTest do
  # Code that holds a loop up and belongs to no call: callbacks of the loop, tasks whose call is over.
  use Python.LoopCase, async: false

  import ExUnit.CaptureLog

  alias Python.{Pool, StoppedError, TimeoutError}

  setup do
    Python.exec!("import holding")
    {:ok, pool: start_loop()}
  end

  defp hold(pool, function, args), do: Python.call!(:holding, function, args, pool: pool)

  # Gives up calls until one is answered.
  defp eventually_answers(pool) do
    eventually("the pool answers", fn -> on_loop(pool, :answer, [1], timeout: 100) == {:ok, 1} end)
  end

  describe "calls that had to be given up have it interrupted" do
    test "in a callback, though no call was there when it began", %{pool: pool, name: name} do
      id = on_loop!(pool, :loop_id)
      hold(pool, :in_callback, ["spin", name])
      eventually_told(name, "begun")

      log =
        capture_log(fn ->
          eventually_answers(pool)
          # It is told a moment later.
          Process.sleep(200)
        end)

      assert log =~ "holding.py"
      assert log =~ "in spin"
      assert log =~ "interrupted"
      assert events(name) == ["begun", "interrupted"]
      assert on_loop!(pool, :loop_id) == id
      eventually_no_tasks(pool)
    end

    test "in a task that a call has left behind, whose finally blocks run", %{
      pool: pool,
      name: name
    } do
      id = on_loop!(pool, :loop_id)
      hold(pool, :in_task, [name, "spin", name])
      eventually_told(name, "begun")
      eventually_answers(pool)
      eventually_told(name, "finally")
      assert events(name) == ["begun", "interrupted", "finally"]
      assert on_loop!(pool, :loop_id) == id
      eventually_no_tasks(pool)
    end

    test "in a context, too", %{name: name} do
      {:ok, context} = Python.Context.start_link(engine: :asyncio)
      on_context = &Python.call(:holding, &1, &2, [context: context] ++ &3)
      {:ok, id} = on_context.(:loop_id, [], [])
      {:ok, nil} = on_context.(:in_callback, ["spin", name], [])
      eventually_told(name, "begun")

      eventually("it answers", fn -> on_context.(:loop_id, [], timeout: 100) == {:ok, id} end)
      assert events(name) == ["begun", "interrupted"]
      Python.Context.stop(context)
    end

    test "again, where it catches that", %{pool: pool, name: name} do
      hold(pool, :in_callback, ["stubborn", name])
      eventually_told(name, "begun")
      {:error, %TimeoutError{}} = on_loop(pool, :answer, [1], timeout: 50)
      eventually("it was caught again", fn -> Enum.count(events(name), &(&1 == "caught")) > 1 end)
      eventually_answers(pool)
      open_gate(name)
      eventually_told(name, "end")
    end
  end

  test "the others go on, with their answers, and none is struck in its place", %{pool: pool} do
    for seconds <- [1.0, 1.02, 1.05, 1.1] do
      waiting = for n <- 1..50, do: Python.call_async(:coroutines, :after, [0.02, n], pool: pool)
      hold(pool, :sleep_in_callback, [seconds])
      more = for n <- 51..99, do: Python.call_async(:coroutines, :answer, [n], pool: pool)
      {:error, %TimeoutError{}} = on_loop(pool, :after, [100], timeout: 30)

      for {call, n} <- Enum.zip(waiting ++ more, 1..99),
          do: assert(Python.await(call) == {:ok, n})

      for n <- 1..20, do: assert(on_loop(pool, :answer, [n]) == {:ok, n})
    end

    eventually_no_tasks(pool)
    assert %{workers: 1, stuck: 0} = Pool.stats(pool)
  end

  describe "it is not interrupted" do
    test "if it ends soon, though calls are given up meanwhile", %{pool: pool, name: name} do
      hold(pool, :in_callback, ["compute", name, 0.5])
      eventually_told(name, "begun")
      for _ <- 1..5, do: on_loop(pool, :answer, [1], timeout: 20)
      eventually_told(name, "end")
      eventually_answers(pool)
    end

    test "if nobody had to be given up", %{pool: pool, name: name} do
      hold(pool, :in_callback, ["compute", name, 1.5])
      eventually_told(name, "begun")
      assert on_loop(pool, :answer, [1], timeout: 20_000) == {:ok, 1}
      assert events(name) == ["begun", "end"]
    end

    test "if it is a call that somebody waits for", %{pool: pool, name: name} do
      call = Python.call_async(:holding, :compute_until_open, [name], pool: pool, timeout: 40_000)

      eventually_told(name, "begun")
      for _ <- 1..20, do: {:error, %TimeoutError{}} = on_loop(pool, :answer, [1], timeout: 100)
      open_gate(name)
      assert Python.await(call) == {:ok, "computed"}
      assert on_loop(pool, :answer, [1]) == {:ok, 1}
    end
  end

  describe "when the pool stops, it is interrupted" do
    test "at once, and what it is in has time to end", %{pool: pool, name: name} do
      hold(pool, :in_task, [name, "spin", name])
      eventually_told(name, "begun")
      call = Python.call_async(:coroutines, :after, [1000], pool: pool, timeout: :infinity)
      stop_supervised!(pool)
      assert {:error, %StoppedError{}} = Python.await(call)
      assert events(name) == ["begun", "interrupted", "finally"]
    end

    test "in a callback, and the tasks beside it have time to end", %{pool: pool, name: name} do
      other = name <> "2"
      call = Python.call_async(:coroutines, :held, [other], pool: pool, timeout: :infinity)
      eventually_told(other, "begun")
      hold(pool, :in_callback, ["spin", name])
      eventually_told(name, "begun")
      stop_supervised!(pool)
      assert {:error, %StoppedError{}} = Python.await(call)
      assert events(name) == ["begun", "interrupted"]
      assert "finally" in events(other)
    end

    test "when the time is over, if it began as it was cancelled", %{pool: pool, name: name} do
      Python.call_async(:holding, :spin_when_cancelled, [name], pool: pool)
      eventually_told(name, "begun")
      stop_supervised!(pool)
      eventually_told(name, "interrupted")
    end
  end
end
