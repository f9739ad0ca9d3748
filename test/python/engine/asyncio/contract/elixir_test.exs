defmodule Python.Engine.Asyncio.Contract.ElixirTest do
  # Coroutines wait for Elixir without holding their loop.
  use Python.LoopCase, async: true

  alias Python.{Error, TimeoutError}

  setup do
    {:ok, pool: start_loop()}
  end

  describe "erlang.acall" do
    test "awaits a function, and a registered one by its name", %{pool: pool} do
      name = unique("function")
      Python.register(name, fn a, b -> a + b end)
      on_exit(fn -> Python.unregister(name) end)
      assert Python.eval("await erlang.acall(n, 1, 2)", %{n: name}, pool: pool) == {:ok, 3}
      assert Python.eval("await erlang.acall(f, 3)", %{f: &(&1 * 2)}, pool: pool) == {:ok, 6}
      assert Python.eval("erlang.acall(f, 3)", %{f: &(&1 * 2)}, pool: pool) == {:ok, 6}

      keywords = fn n, %{"k" => k} -> {n, k} end

      assert Python.eval("await erlang.acall(f, 1, k=2)", %{f: keywords}, pool: pool) ==
               {:ok, {1, 2}}
    end

    test "is what a function is, and a registered one", %{pool: pool} do
      assert Python.eval("await f(3)", %{f: &(&1 * 2)}, pool: pool) == {:ok, 6}
      name = unique("function")
      Python.register(name, fn a -> a + 1 end)
      on_exit(fn -> Python.unregister(name) end)
      assert Python.eval("await erlang.#{name}(3)", pool: pool) == {:ok, 4}

      assert Python.exec("from erlang import #{name}\nn_#{name} = await #{name}(4)", pool: pool) ==
               :ok

      assert Python.eval("n_#{name}", pool: pool) == {:ok, 5}
      assert Python.call(:coroutines, :plain, [3], pool: pool) == {:ok, 3}
    end

    test "holds nobody up: a thousand wait at the same time", %{pool: pool} do
      test = self()

      ask = fn n ->
        send(test, {:asked, self()})
        receive(do: (:go -> n * 2))
      end

      code = "await coroutines.asyncio.gather(*[erlang.acall(f, n) for n in range(1000)])"
      call = Python.eval_async(code, %{f: ask}, pool: pool)

      asked =
        for _ <- 1..1000,
            do: receive(do: ({:asked, pid} -> pid), after: (15_000 -> flunk("asked by fewer")))

      assert on_loop(pool, :answer, [5]) == {:ok, 5}
      for pid <- asked, do: send(pid, :go)
      assert Python.await(call) == {:ok, for(n <- 0..999, do: n * 2)}
      eventually_no_tasks(pool)
    end

    test "raises what the function raises, throws and exits with", %{pool: pool} do
      code = """
      async def NAME(f):
          try:
              await erlang.acall(f)
          except erlang.Error as error:
              return (error.kind, error.type, error.reason)
      """

      function = define(code)
      ask = &Python.call!(:__main__, function, [&1], pool: pool)
      assert {"error", "RuntimeError", reason} = ask.(fn -> raise "no" end)
      assert reason =~ "no"
      assert {"throw", _, ":ball"} = ask.(fn -> throw(:ball) end)
      assert {"exit", _, ":gone"} = ask.(fn -> exit(:gone) end)

      assert {:error, %Error{type: "Error", module: "erlang"} = error} =
               Python.eval("await erlang.acall(f)", %{f: fn -> raise ArgumentError, "bad" end},
                 pool: pool
               )

      assert Exception.message(error) =~ "bad"

      assert {:error, %Error{type: "AttributeError"}} =
               Python.eval("await erlang.acall('nobody_of_that_name')", pool: pool)
    end

    test "whose function is killed is an error", %{pool: pool} do
      kill = fn -> Process.exit(self(), :kill) end

      assert {:error, %Error{type: "Error"}} =
               Python.eval("await erlang.acall(f)", %{f: kill}, pool: pool)
    end

    test "has values of all kinds there and back", %{pool: pool} do
      for value <- [nil, 5, 1.5, "text", [1, [2]], {1, 2}, %{"a" => 1}, MapSet.new([1]), self()] do
        assert Python.eval("await erlang.acall(f, v)", %{f: & &1, v: value}, pool: pool) ==
                 {:ok, value}
      end

      assert {:ok, {%Python.Object{}, 1}} =
               Python.eval("await erlang.acall(f, object())", %{f: &{&1, 1}}, pool: pool)
    end

    test "is cancelled with its task, and its function's answer is nobody's", %{pool: pool} do
      test = self()

      slow = fn ->
        send(test, {:asked, self()})
        receive(do: (:go -> :late))
      end

      assert {:error, %TimeoutError{}} =
               Python.eval("await erlang.acall(f)", %{f: slow}, pool: pool, timeout: 200)

      assert_receive {:asked, pid}, 15_000
      send(pid, :go)
      assert on_loop(pool, :answer, [1]) == {:ok, 1}

      code = "await coroutines.asyncio.wait_for(erlang.acall(f), 0.1)"
      assert {:error, %Error{type: "TimeoutError"}} = Python.eval(code, %{f: slow}, pool: pool)
      assert on_loop(pool, :answer, [1]) == {:ok, 1}
      eventually_no_tasks(pool)
    end

    test "in tasks and after the answer of the call that has started them", %{pool: pool} do
      test = self()

      function =
        define("""
        async def NAME_later(f):
            await coroutines.after(0.05)
            await erlang.acall(f, "later")

        async def NAME(f):
            coroutines.keep(coroutines.asyncio.ensure_future(NAME_later(f)))
            return await coroutines.asyncio.ensure_future(coroutines.answer(await f("now")))
        """)

      tell = fn what -> send(test, {:told, what}) && what end
      assert Python.call(:__main__, function, [tell], pool: pool) == {:ok, "now"}
      assert_receive {:told, "now"}, 15_000
      assert_receive {:told, "later"}, 15_000
      eventually_no_tasks(pool)
    end

    test "calls Python on the same loop, a hundred deep", %{pool: pool} do
      function =
        define("""
        async def NAME(n, f):
            return n if n == 0 else 1 + await f(n - 1, f)
        """)

      # A function of its own for each level.
      deep = fn n, f -> Python.call!(:__main__, function, [n, f], pool: pool) end
      assert Python.call(:__main__, function, [100, deep], pool: pool) == {:ok, 100}
      eventually_no_tasks(pool)
    end

    test "that is cancelled ends the calls of its function", %{pool: pool, name: name} do
      nested = fn -> on_loop(pool, :held, [name], timeout: :infinity) end

      assert {:error, %TimeoutError{}} =
               Python.eval("await erlang.acall(f)", %{f: nested}, pool: pool, timeout: 500)

      assert "begun" in events(name)
      eventually_told(name, "finally")
      eventually_no_tasks(pool)
    end

    test "has the process of its caller in $callers, and its group leader", %{pool: pool} do
      test = self()
      {:ok, device} = StringIO.open("")

      Task.async(fn ->
        Process.group_leader(self(), device)
        see = fn -> {hd(Process.get(:"$callers")) == self(), Process.group_leader() == device} end
        send(test, {:seen, Python.eval!("await erlang.acall(f)", %{f: see}, pool: pool)})
      end)
      |> Task.await()

      assert_receive {:seen, {_, true}}
    end

    test "works from other engines' coroutines too, or says what to use" do
      code = """
      import asyncio
      async def NAME(f): return await erlang.acall(f, 2)
      def NAME_run(f): return asyncio.run(NAME(f))
      """

      function = define(code)

      case Python.call(:__main__, function <> "_run", [&(&1 * 3)]) do
        {:ok, value} -> assert value == 6
        {:error, error} -> assert Exception.message(error) =~ "erlang.call"
      end
    end
  end

  describe "the blocking forms refuse on a loop" do
    test "and name what to use", %{pool: pool} do
      for {code, remedy} <- [
            {"erlang.call(f, 1)", "acall"},
            {"erlang.receive(0.1)", "areceive"},
            {"erlang.receive()", "areceive"},
            {"(await coroutines.answer(), erlang.call(f, 1))", "acall"}
          ] do
        assert {:error, %Error{type: "RuntimeError"} = error} =
                 Python.eval(code, %{f: & &1}, pool: pool)

        assert Exception.message(error) =~ remedy
      end

      function = define("async def NAME(f):\n    return erlang.call(f, 1)")

      assert {:error, %Error{type: "RuntimeError"}} =
               Python.call(:__main__, function, [& &1], pool: pool)
    end

    test "but not on another thread", %{pool: pool} do
      function =
        define("""
        async def NAME(f):
            loop = coroutines.asyncio.get_running_loop()
            return await loop.run_in_executor(None, erlang.call, f, 4)
        """)

      name = unique("function")
      Python.register(name, &(&1 + 1))
      on_exit(fn -> Python.unregister(name) end)
      assert Python.call(:__main__, function, [name], pool: pool) == {:ok, 5}

      function =
        define("""
        async def NAME(f):
            return await coroutines.asyncio.get_running_loop().run_in_executor(None, f, 4)
        """)

      assert Python.call(:__main__, function, [&(&1 + 1)], pool: pool) == {:ok, 5}
    end
  end

  describe "erlang.areceive" do
    test "gets what is sent to its call, before and after it waits", %{pool: pool} do
      code = "[await erlang.areceive() for _ in range(3)]"
      call = Python.eval_async(code, pool: pool)
      for n <- 1..3, do: assert(Python.send(call, n) == :ok)
      assert Python.await(call) == {:ok, [1, 2, 3]}
    end

    test "holds nobody up", %{pool: pool} do
      calls = for _ <- 1..200, do: Python.eval_async("await erlang.areceive()", pool: pool)
      assert on_loop(pool, :answer, [5]) == {:ok, 5}
      for {call, n} <- Enum.with_index(calls), do: Python.send(call, n)
      for {call, n} <- Enum.with_index(calls), do: assert(Python.await(call) == {:ok, n})
    end

    test "has a timeout, as receive has", %{pool: pool} do
      function =
        define("""
        async def NAME():
            try:
                return await erlang.areceive(timeout=0.05)
            except BaseException as error:
                return type(error).__name__
        """)

      # What the blocking form gives.
      plain =
        define(
          "def NAME():\n    try:\n        return erlang.receive(timeout=0.05)\n    except BaseException as error:\n        return type(error).__name__"
        )

      assert Python.call(:__main__, function, [], pool: pool) == Python.call(:__main__, plain)

      assert Python.eval("await erlang.areceive(timeout=0.01)", pool: pool) |> elem(0) ==
               Python.eval("erlang.receive(timeout=0.01)") |> elem(0)
    end

    test "is cancelled, and loses no message by that", %{pool: pool} do
      function =
        define("""
        async def NAME(pid):
            for _ in range(20):
                try:
                    await coroutines.asyncio.wait_for(erlang.areceive(), 0.001)
                except coroutines.asyncio.TimeoutError:
                    pass
            erlang.send(pid, "given up")
            return await erlang.areceive()
        """)

      call = Python.call_async(:__main__, function, [self()], pool: pool)
      assert_receive "given up", 15_000
      Python.send(call, "kept")
      assert Python.await(call) == {:ok, "kept"}

      assert {:error, %TimeoutError{}} =
               Python.eval("await erlang.areceive()", pool: pool, timeout: 100)

      eventually_no_tasks(pool)
    end

    test "in a context, and in a task", %{name: name} do
      {:ok, context} = Python.Context.start_link(engine: :asyncio, init: "import coroutines")
      call = Python.eval_async("await erlang.areceive()", context: context)
      Python.send(context, "to the context")
      assert Python.await(call) == {:ok, "to the context"}
      assert is_binary(name)

      code = "await coroutines.asyncio.ensure_future(erlang.areceive())"
      call = Python.eval_async(code, context: context)
      Python.send(context, 2)
      assert Python.await(call) == {:ok, 2}
    end
  end

  test "erlang.send works from tasks", %{pool: pool} do
    code = "await coroutines.asyncio.ensure_future(coroutines.answer(erlang.send(pid, 'x')))"
    Python.eval!(code, %{pid: self()}, pool: pool)
    assert_receive "x", 15_000
  end

  test "an iterator of Elixir's says what to do, or is read", %{pool: pool} do
    items = Python.iterator([1, 2, 3])

    case Python.eval("list(items)", %{items: items}, pool: pool) do
      {:ok, list} -> assert list == [1, 2, 3]
      {:error, error} -> assert Exception.message(error) =~ "async"
    end

    assert Python.eval(
             "await coroutines.asyncio.get_running_loop().run_in_executor(None, list, items)",
             %{items: Python.iterator([1, 2, 3])},
             pool: pool
           ) == {:ok, [1, 2, 3]}
  end
end
