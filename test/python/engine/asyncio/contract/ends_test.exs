defmodule Python.Engine.Asyncio.Contract.EndsTest do
  # A timeout, a dead caller and `cancel` cancel the task of a call.
  use Python.LoopCase, async: true

  import Python.Lateness, only: [assert_times_out: 2]

  alias Python.{Error, OverloadedError, Pool, TimeoutError}

  setup do
    {:ok, pool: start_loop()}
  end

  describe "the task is cancelled, and its finally awaits" do
    test "at the timeout", %{pool: pool, name: name} do
      error = assert_times_out(300, fn -> on_loop(pool, :held, [name], timeout: 300) end)
      assert Exception.message(error) =~ "300 ms"
      assert eventually_told(name, "finally") == ["begun", "cancelled", "finally"]
      eventually_no_tasks(pool)
      assert %{timed_out: 1} = Pool.stats(pool)
      assert messages() == []
    end

    test "in code with await, and where it is asynchronous", %{pool: pool, name: name} do
      assert {:error, %TimeoutError{}} =
               Python.exec("await coroutines.held(#{inspect(name)})", pool: pool, timeout: 300)

      eventually_told(name, "finally")
      call = Python.call_async(:coroutines, :held, [name <> "2"], pool: pool)
      eventually_told(name <> "2", "begun")
      assert {:error, %TimeoutError{}} = Python.await(call, 50)
      eventually_told(name <> "2", "finally")
      eventually_no_tasks(pool)
    end

    test "when its caller dies", %{pool: pool, name: name} do
      caller = start(fn -> on_loop(pool, :held, [name], timeout: :infinity) end)
      eventually_told(name, "begun")
      Process.exit(caller, :kill)
      assert eventually_told(name, "finally") == ["begun", "cancelled", "finally"]
      eventually_no_tasks(pool)
    end

    test "when the owner of an asynchronous call dies", %{pool: pool, name: name} do
      owner =
        start(fn ->
          Python.call_async(:coroutines, :held, [name], pool: pool, timeout: :infinity)
          Process.sleep(:infinity)
        end)

      eventually_told(name, "begun")
      Process.exit(owner, :kill)
      eventually_told(name, "finally")
      eventually_no_tasks(pool)
    end

    test "by cancel", %{pool: pool, name: name} do
      call = Python.call_async(:coroutines, :held, [name], pool: pool)
      eventually_told(name, "begun")
      assert Python.cancel(call) == :ok
      eventually_told(name, "finally")
      eventually_no_tasks(pool)
      assert messages() == []
    end

    test "before it has begun", %{pool: pool, name: name} do
      # The loop is busy meanwhile.
      busy = Python.call_async(:coroutines, :asleep, [0.3, name], pool: pool)
      eventually_told(name, "begun")
      call = Python.call_async(:coroutines, :held, [name <> "2"], pool: pool)
      Python.cancel(call)
      assert Python.await(busy) == {:ok, "awake"}
      eventually_no_tasks(pool)
      assert events(name <> "2") == []
    end
  end

  describe "cancelled" do
    test "are all that a gather waits for", %{pool: pool, name: name} do
      names = for n <- 1..5, do: name <> "#{n}"
      assert {:error, %TimeoutError{}} = on_loop(pool, :gathered, [names], timeout: 300)
      for name <- names, do: assert(List.last(eventually_told(name, "finally")) == "finally")
      eventually_no_tasks(pool)
    end

    test "is not what is shielded", %{pool: pool, name: name} do
      assert {:error, %TimeoutError{}} = on_loop(pool, :shielded, [name], timeout: 300)
      assert on_loop(pool, :answer, [1]) == {:ok, 1}
      assert events(name) == ["begun"]
      open_gate(name)
      assert eventually_told(name, "finally") == ["begun", "through", "finally"]
      eventually_no_tasks(pool)
    end

    test "is again what goes on", %{pool: pool, name: name} do
      assert_times_out(300, fn -> on_loop(pool, :stubborn, [name, 3], timeout: 300) end)

      assert eventually_told(name, "end") ==
               ["begun", "cancelled", "cancelled", "cancelled", "end"]

      eventually_no_tasks(pool)
    end

    test "is not what was done just then: its answer is late, and nobody's", %{pool: pool} do
      for n <- 1..times(100, 2_000) do
        result = on_loop(pool, :after, [0.005, n], timeout: 5)
        assert result == {:ok, n} or match?({:error, %TimeoutError{}}, result)
      end

      eventually_no_tasks(pool)
      assert messages() == []
    end

    test "beside the others, which go on", %{pool: pool, name: name} do
      others = for n <- 1..100, do: Python.call_async(:coroutines, :after, [0.2, n], pool: pool)
      assert {:error, %TimeoutError{}} = on_loop(pool, :held, [name], timeout: 50)
      for {call, n} <- Enum.zip(others, 1..100), do: assert(Python.await(call) == {:ok, n})
    end

    @tag python: "3.11"
    test "is a task group with all its tasks", %{pool: pool, name: name} do
      assert {:error, %TimeoutError{}} = on_loop(pool, :group_held, [name], timeout: 300)
      eventually_told(name, "finally")
      eventually_no_tasks(pool)
    end
  end

  test "a task that takes no end holds up nobody, and is no worker's loss", %{
    pool: pool,
    name: name
  } do
    assert_times_out(200, fn -> on_loop(pool, :stubborn, [name], timeout: 200) end)
    eventually_told(name, "cancelled")
    assert on_loop(pool, :answer, [1]) == {:ok, 1}
    assert %{workers: 1} = Pool.stats(pool)
    assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
    open_gate(name)
    eventually_told(name, "end")
    eventually_no_tasks(pool)
  end

  describe "the error of a call" do
    test "is what a gather raises, beside tasks that go on", %{pool: pool, name: name} do
      assert {:error, %Error{type: "ValueError", message: "in a gather"}} =
               on_loop(pool, :gather_with_error, [name])

      open_gate(name)
      eventually_told(name, "finally")
      eventually_no_tasks(pool)
    end

    @tag python: "3.11"
    test "is the group of a task group's", %{pool: pool, name: name} do
      assert {:error, %Error{type: "ExceptionGroup"} = error} = on_loop(pool, :group, [name])
      assert Exception.message(error) =~ "in a group"
      assert List.last(events(name)) == "finally"
      eventually_no_tasks(pool)
    end

    test "is a CancelledError that is the code's own", %{pool: pool} do
      for function <- [:cancel_self, :raise_cancelled] do
        assert {:error, %Error{type: "CancelledError"}} = on_loop(pool, function)
      end

      assert {:error, %Error{type: "TimeoutError"}} = on_loop(pool, :limited, [0.01])
      eventually_no_tasks(pool)
    end

    test "is whatever BaseException it ends with, and the loop lives on", %{pool: pool} do
      own = define("class NAME(BaseException): pass")
      id = on_loop!(pool, :loop_id)

      for {type, raised} <- [
            {"SystemExit", "SystemExit(3)"},
            {"KeyboardInterrupt", "KeyboardInterrupt()"},
            {"GeneratorExit", "GeneratorExit()"},
            {own, "#{own}('no')"},
            {"StopAsyncIteration", "StopAsyncIteration()"}
          ],
          before <- ["pass", "await coroutines.answer()"] do
        name = define("async def NAME():\n    #{before}\n    raise #{raised}")
        waiting = Python.call_async(:coroutines, :after, [0.02, 5], pool: pool)

        assert {^type, {:error, %Error{type: ^type}}} =
                 {type, Python.call(:__main__, name, [], pool: pool)}

        assert Python.await(waiting) == {:ok, 5}
      end

      assert {:error, %Error{type: "SystemExit"}} =
               Python.exec("import sys; sys.exit(1)", pool: pool)

      assert on_loop!(pool, :loop_id) == id
      eventually_no_tasks(pool)
    end

    test "is a StopIteration as in a coroutine of Python's", %{pool: pool} do
      name = define("async def NAME(): raise StopIteration(1)")

      assert {:error, %Error{type: "RuntimeError"} = error} =
               Python.call(:__main__, name, [], pool: pool)

      assert Exception.message(error) =~ "StopIteration"
    end
  end

  test "nothing is left of ten thousand callers that were killed", %{pool: pool} do
    for _ <- 1..times(4, 10), _ <- [:round] do
      callers =
        for _ <- 1..1000, do: start(fn -> on_loop(pool, :after, [1000], timeout: :infinity) end)

      if :rand.uniform(2) == 1, do: Process.sleep(:rand.uniform(20))
      for caller <- callers, do: Process.exit(caller, :kill)
    end

    eventually_no_tasks(pool)
    assert on_loop(pool, :answer, [1]) == {:ok, 1}
    assert %{busy: 0, queued: 0, workers: 1} = Pool.stats(pool)
  end

  test "calls beyond max_queue in flight are refused", %{name: name} do
    pool = start_loop(max_queue: 10)
    calls = for _ <- 1..10, do: Python.call_async(:coroutines, :held, [name], pool: pool)
    eventually("all wait", fn -> Enum.count(events(name), &(&1 == "begun")) == 10 end)

    assert {:error, %OverloadedError{}} = on_loop(pool, :answer)
    assert {:error, %OverloadedError{}} = Python.eval("1", pool: pool)
    assert :py.call(:math, :sqrt, [4]) == {:ok, 2.0}

    assert_raise OverloadedError, fn -> Python.call_async(:math, :sqrt, [4], pool: pool) end

    open_gate(name)
    for call <- calls, do: assert(Python.await(call) == {:ok, "through"})
    assert on_loop(pool, :answer, [1]) == {:ok, 1}

    # Room comes back with those that are cancelled, too.
    calls = for _ <- 1..10, do: Python.call_async(:coroutines, :after, [1000], pool: pool)
    for call <- calls, do: Python.cancel(call)
    eventually("there is room", fn -> match?({:ok, 1}, on_loop(pool, :answer, [1])) end)
  end

  test "ten thousand calls in flight are what a pool takes without an option" do
    pool = start_loop()
    calls = for n <- 1..10_000, do: Python.call_async(:coroutines, :after, [1000, n], pool: pool)

    assert {:error, %OverloadedError{}} = on_loop(pool, :answer)
    for call <- calls, do: Python.cancel(call)
    eventually("there is room", fn -> match?({:ok, 1}, on_loop(pool, :answer, [1])) end)
    eventually_no_tasks(pool)
  end

  describe "tasks that a call has started" do
    test "live on after its answer", %{pool: pool, name: name} do
      assert on_loop(pool, :leave_task, [name]) == {:ok, "answered"}
      assert tasks(pool) == 1
      open_gate(name)
      eventually_told(name, "through")
      eventually_no_tasks(pool)
    end

    test "live on after its timeout, as in Python", %{pool: pool, name: name} do
      function =
        define("""
        async def NAME(name):
            await coroutines.leave_task(name)
            await coroutines.after(1000)
        """)

      assert {:error, %TimeoutError{}} =
               Python.call(:__main__, function, [name], pool: pool, timeout: 300)

      assert on_loop(pool, :answer, [1]) == {:ok, 1}
      open_gate(name)
      eventually_told(name, "through")
      eventually_no_tasks(pool)
    end

    test "and that nobody awaits have their exceptions in the log", %{pool: pool} do
      text = unique("nobody_awaits")

      function =
        define(
          "async def NAME(text):\n    coroutines.asyncio.ensure_future(coroutines.fail(text))"
        )

      log =
        ExUnit.CaptureLog.capture_log(fn ->
          assert Python.call(:__main__, function, [text], pool: pool) == {:ok, nil}
          eventually_no_tasks(pool)
          on_loop(pool, :collect)
          eventually("it is logged", fn -> Process.sleep(20) || true end)
        end)

      assert log =~ text
      assert log =~ "ValueError"
    end
  end

  test "asynchronous generators that are left half read are closed", %{pool: pool, name: name} do
    assert on_loop(pool, :half_read, [name]) == {:ok, nil}
    on_loop(pool, :collect)
    eventually("both are closed", fn -> Enum.count(events(name), &(&1 == "finally")) == 2 end)
    eventually_no_tasks(pool)
  end
end
