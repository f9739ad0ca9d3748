defmodule Python.Engine.Asyncio.Contract.AwaitingTest do
  # A call whose result is awaitable is awaited on the loop of its pool.
  use Python.LoopCase, async: true

  alias Python.{Context, Error, Pool}

  setup do
    {:ok, pool: start_loop()}
  end

  describe "a call" do
    test "of an async function gives what that returns", %{pool: pool} do
      assert on_loop(pool, :answer, [3]) == {:ok, 3}
      assert on_loop(pool, :nothing, [%{"a" => [1, {2, nil}]}]) == {:ok, %{"a" => [1, {2, nil}]}}
      assert on_loop(pool, :answer) == {:ok, nil}
      assert on_loop(pool, :answer, [3], timeout: :infinity) == {:ok, 3}
      assert on_loop(pool, :after, [0.02], kwargs: %{value: 5}) == {:ok, 5}
      assert on_loop!(pool, :answer, [3]) == 3
      assert :py.call(:coroutines, :answer, [3]) |> elem(1) |> is_struct(Python.Object)
      assert %{done: 6, failed: 0} = Pool.stats(pool)
    end

    test "gives the value of everything that can be awaited", %{pool: pool} do
      for kind <- ~w(future task custom partial generator method __call__ shielded waited) do
        assert {kind, on_loop(pool, "awaitables.#{kind}", [7])} == {kind, {:ok, 7}}
      end

      assert on_loop(pool, "awaitables.gathered", [7]) == {:ok, [7, 7]}
      assert on_loop(pool, "awaitables", [7]) == {:ok, 7}
    end

    test "of a plain function runs as on any engine", %{pool: pool} do
      assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
      assert on_loop(pool, :plain, [[1, "two", 3.0]]) == {:ok, [1, "two", 3.0]}
      assert {:error, %Error{type: "ZeroDivisionError"}} = Python.eval("1 / 0", pool: pool)
      assert Python.map(:math, :sqrt, [[16], [4]], pool: pool) == {:ok, [4.0, 2.0]}
    end

    test "with return: :object leaves what can be awaited, for another call", %{pool: pool} do
      assert {:ok, %Python.Object{} = coroutine} = on_loop(pool, :answer, [3], return: :object)

      assert Python.type(coroutine) == "coroutine"
      assert Python.eval("await c", %{c: coroutine}, pool: pool) == {:ok, 3}

      {:ok, task} = on_loop(pool, "awaitables.task", [4], return: :object)
      for _ <- 1..3, do: assert(Python.eval("await t", %{t: task}, pool: pool) == {:ok, 4})
      {:ok, future} = on_loop(pool, "awaitables.future", [5], return: :object)
      calls = for _ <- 1..5, do: Python.eval_async("await f", %{f: future}, pool: pool)
      for call <- calls, do: assert(Python.await(call) == {:ok, 5})
    end

    test "awaits its result, and not what is in it", %{pool: pool} do
      assert {:ok, [1, %Python.Object{} = inner]} =
               Python.eval("[1, coroutines.answer(2)]", pool: pool)

      assert Python.eval("await c", %{c: inner}, pool: pool) == {:ok, 2}
    end

    test "has the error that was raised, with the lines of the coroutines", %{pool: pool} do
      assert {:error, %Error{type: "ValueError", message: "no"} = error} =
               on_loop(pool, :fail, ["no"])

      assert %{function: "fail", code: "raise ValueError(text)"} = List.last(error.frames)
      assert Exception.message(error) =~ "coroutines.py"
      refute Exception.message(error) =~ "asyncio/base_events"
      assert %{failed: 1} = Pool.stats(pool)

      assert {:error, %Error{type: "RuntimeError", cause: %Error{type: "ValueError"}}} =
               Python.exec(
                 """
                 try:
                     await coroutines.fail("inside")
                 except ValueError as error:
                     raise RuntimeError("outside") from error
                 """,
                 pool: pool
               )
    end

    test "can be asynchronous", %{pool: pool} do
      calls = for n <- 1..500, do: Python.call_async(:coroutines, :answer, [n], pool: pool)
      for {call, n} <- Enum.zip(calls, 1..500), do: assert(Python.await(call) == {:ok, n})
      assert Python.await(Python.exec_async("await coroutines.answer()", pool: pool)) == :ok
      assert messages() == []
    end

    test "knows the time that it has left", %{pool: pool} do
      code = "(await coroutines.answer(), erlang.time_left())[1]"
      assert {:ok, left} = Python.eval(code, pool: pool, timeout: 20_000)
      assert left > 10 and left <= 20
      assert Python.eval(code, pool: pool, timeout: :infinity) == {:ok, nil}
    end

    test "on a method, and on a handle by its home", %{pool: pool} do
      {:ok, object} = Python.eval("coroutines.Awaitables()", pool: pool)
      assert Python.call(object, :method, [8]) == {:ok, 8}
      assert Python.apply(object, [9]) == {:ok, 9}
    end
  end

  test "a thousand calls of as many processes wait at the same time", %{pool: pool} do
    meeting = on_loop!(pool, :meeting, [1000])

    1..1000
    |> Task.async_stream(&Python.call!(meeting, :come, [&1]), max_concurrency: 1000)
    |> Enum.zip(1..1000)
    |> Enum.each(fn {{:ok, value}, n} -> assert value == n end)

    assert %{done: done, busy: 0} = Pool.stats(pool)
    assert done >= 1000
    assert messages() == []
  end

  test "objects that belong to a loop are used by calls of all processes", %{pool: pool} do
    {:ok, queue} = Python.eval("await make()", %{}, pool: pool) |> defined(pool)
    getters = for _ <- 1..50, do: Task.async(fn -> Python.call!(queue, :get) end)
    for n <- 1..50, do: Python.call!(queue, :put, [n])
    assert getters |> Task.await_many() |> Enum.sort() == Enum.to_list(1..50)
    assert on_loop!(pool, :loop_id) == on_loop!(pool, :loop_id)
    assert on_loop!(pool, :thread_id) == on_loop!(pool, :thread_id)
  end

  # Up to 3.9 a queue belongs to the loop that is current where it is made.
  defp defined(_error, pool) do
    name = define("async def NAME(): return coroutines.asyncio.Queue()")
    Python.call(:__main__, name, [], pool: pool)
  end

  describe "code" do
    test "has await at its top level", %{pool: pool} do
      assert Python.eval("await coroutines.answer(3)", pool: pool) == {:ok, 3}

      assert Python.eval(
               "(await coroutines.answer(a)) + (await coroutines.answer(b))",
               %{a: 1, b: 2},
               pool: pool
             ) == {:ok, 3}

      assert Python.eval("[n async for n in coroutines.numbers(4)]", pool: pool) ==
               {:ok, [0, 1, 2, 3]}

      assert Python.eval("[await coroutines.answer(n * k) for n in (1, 2)]", %{k: 5}, pool: pool) ==
               {:ok, [5, 10]}

      assert Python.eval("coroutines.answer(6)", pool: pool) == {:ok, 6}
      assert Python.eval("(lambda: coroutines.answer(k))()", %{k: 7}, pool: pool) == {:ok, 7}
    end

    test "defines names, before and after it has waited", %{pool: pool} do
      {a, b, f} = {unique("a"), unique("b"), unique("f")}

      assert Python.exec(
               """
               #{a} = 1
               def #{f}(): return #{a} + #{b}
               #{b} = await coroutines.answer(2)
               async for n in coroutines.numbers(3): #{a} += n
               async with coroutines.asyncio.Lock(): pass
               """,
               pool: pool
             ) == :ok

      assert Python.call(:__main__, f, [], pool: pool) == {:ok, 6}
      assert Python.eval(a, pool: pool) == {:ok, 4}
      # All pools of the VM's interpreter share it.
      assert Python.eval(b) == {:ok, 2}
    end

    test "does not leak the variables of an expression", %{pool: pool} do
      v = unique("v")
      assert Python.eval("await coroutines.answer(#{v})", %{v => 1}, pool: pool) == {:ok, 1}
      assert {:error, %Error{type: "NameError"}} = Python.eval(v, pool: pool)
    end

    test "has the variables of its own call while it waits", %{pool: pool} do
      calls =
        for n <- 1..100 do
          {n, Python.eval_async("(await coroutines.after(0.01), v)[1]", %{v: n}, pool: pool)}
        end

      for {n, call} <- calls, do: assert(Python.await(call) == {:ok, n})
    end

    test "has its file and line in errors", %{pool: pool} do
      assert {:error, error} =
               Python.exec("x = 1\nawait coroutines.fail('no')",
                 pool: pool,
                 file: "lib/shop.ex",
                 line: 40
               )

      assert [%{file: "lib/shop.ex", line: 41} | _] = error.frames

      assert {:error, %Error{type: "SyntaxError"}} = Python.eval("await await", pool: pool)
    end

    test "that awaits nothing runs in one go", %{pool: pool} do
      assert Python.exec("#{unique()} = 1", pool: pool) == :ok
      assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
    end
  end

  describe "elsewhere" do
    test "a coroutine stays a handle" do
      assert {:ok, %Python.Object{} = coroutine} = Python.call(:coroutines, :answer, [1])
      assert Python.type(coroutine) == "coroutine"
      Python.call!(coroutine, :close)
    end

    test "what was meant to be awaited is an error that names the engine" do
      assert {:error, %Error{type: "SyntaxError"} = error} =
               Python.eval("await coroutines.answer(1)")

      assert Exception.message(error) =~ ":asyncio"

      coroutine = Python.call!(:coroutines, :answer, [1])

      for work <- [
            fn -> Enum.to_list(coroutine) end,
            fn -> Python.stream(:coroutines, :answer, [1]) |> Enum.to_list() end
          ] do
        assert Exception.message(catch_error(work.())) =~ ":asyncio"
      end

      Python.call!(coroutine, :close)
    end
  end

  describe "map" do
    test "awaits its calls together, and keeps their order", %{pool: pool} do
      meeting = on_loop!(pool, :meeting, [200])
      args = for n <- 1..200, do: [n]
      assert Python.map(meeting, :come, args) == {:ok, Enum.to_list(1..200)}

      args = for n <- 1..20, do: [0.02 * rem(n * 7, 20) / 20, n]
      assert Python.map(:coroutines, :after, args, pool: pool) == {:ok, Enum.to_list(1..20)}
      assert Python.map(:coroutines, :answer, [], pool: pool) == {:ok, []}
    end

    test "names the index of the call that fails, and cancels the others", %{
      pool: pool,
      name: name
    } do
      function =
        define("""
        async def NAME(name, number):
            if number == 2:
                await coroutines.answer()
                raise ValueError("two")
            return await coroutines.held(name)
        """)

      args = for n <- 0..4, do: [name, n]
      assert {:error, error} = Python.map(:__main__, function, args, pool: pool)
      assert Exception.message(error) =~ "two"
      assert Exception.message(error) =~ ~r/\b2\b/

      eventually("the others are cancelled", fn ->
        Enum.count(events(name), &(&1 == "finally")) == 4
      end)

      assert Enum.count(events(name), &(&1 == "cancelled")) == 4
      eventually_no_tasks(pool)
    end

    test "is cancelled as a whole", %{pool: pool, name: name} do
      args = for _ <- 1..5, do: [name]

      assert {:error, %Python.TimeoutError{}} =
               Python.map(:coroutines, :held, args, pool: pool, timeout: 200)

      eventually("all have ended", fn -> Enum.count(events(name), &(&1 == "finally")) == 5 end)
      eventually_no_tasks(pool)
    end
  end

  describe "with" do
    test "enters and leaves an asynchronous manager on the loop", %{pool: pool, name: name} do
      {:ok, manager} = on_loop(pool, :Entered, [name])
      assert Python.with(manager, fn entered -> Python.call!(entered, :value) end) == 42
      assert events(name) == ["enter", "exit None"]

      assert_raise RuntimeError, fn -> Python.with(manager, fn _ -> raise "no" end) end
      assert eventually_told(name, "exit Error") |> length() == 4
    end

    test "does not hold the loop while its body runs", %{pool: pool, name: name} do
      {:ok, manager} = on_loop(pool, :Entered, [name])

      assert Python.with(manager, fn _ ->
               Task.async(fn -> on_loop!(pool, :answer, [5]) end) |> Task.await()
             end) == 5
    end
  end

  describe "a context" do
    test "has a loop and a namespace of its own" do
      {:ok, context} = Context.start_link(engine: :asyncio, init: "import coroutines; n = 5")
      {:ok, other} = Context.start_link(engine: :asyncio)
      assert Python.eval("await coroutines.answer(n)", context: context) == {:ok, 5}
      assert {:error, %Error{type: "NameError"}} = Python.eval("n", context: other)

      id = "id(__import__('asyncio').get_running_loop())"
      assert Python.eval!(id, context: context) == Python.eval!(id, context: context)
      assert Python.eval!(id, context: context) != Python.eval!(id, context: other)
      assert Python.exec("m = await coroutines.answer(n + 1)", context: context) == :ok
      assert Python.eval("m", context: context) == {:ok, 6}
      assert {:error, %Error{type: "NameError"}} = Python.eval("m")
      for context <- [context, other], do: assert(Context.stop(context) == :ok)
    end

    test "keeps its namespace where several calls wait at the same time" do
      {:ok, context} = Context.start_link(engine: :asyncio, init: "import coroutines\nk = 'own'")
      {:ok, other} = Context.start_link(engine: :asyncio, init: "import coroutines\nk = 'other'")

      Python.exec!("async def f(n):\n    await coroutines.after(0.005)\n    return (n, k)",
        context: context
      )

      Python.exec!("async def f(n):\n    await coroutines.after(0.005)\n    return (n, k)",
        context: other
      )

      calls =
        for n <- 1..50, {place, k} <- [{context, "own"}, {other, "other"}] do
          {{n, k}, Python.call_async(:__main__, :f, [n], context: place)}
        end

      for {expected, call} <- calls, do: assert(Python.await(call) == {:ok, expected})
    end

    test "ends with its owner, and its tasks are cancelled", %{name: name} do
      test = self()

      owner =
        start(fn ->
          {:ok, context} = Context.start_link(engine: :asyncio, init: "import coroutines")
          call = Python.call_async(:coroutines, :held, [name], context: context)
          send(test, {:started, context, call})
          Process.sleep(:infinity)
        end)

      assert_receive {:started, context, _call}, 15_000
      eventually_told(name, "begun")
      Process.exit(owner, :kill)
      eventually_told(name, "finally")
      eventually("it has ended", fn -> not Process.alive?(context.pid) end)
    end
  end
end
