defmodule Python.Engine.Asyncio.ElixirTest do
  # Elixir functions and messages in event loops: they are awaited.

  use Python.TestCase, async: true

  alias Python.{Pool, TimeoutError}

  setup_all do
    name =
      define("""
      class NAME:
          import asyncio, erlang, time

          async def by_name(x): return await NAME.erlang.acall("NAME_double", x)
          async def by_attribute(x): return await NAME.erlang.NAME_double(x)
          async def keywords(x): return await NAME.erlang.acall("NAME_keywords", x, y=2)
          async def calls(f, *args): return await f(*args)
          async def calls_by_acall(f, *args): return await NAME.erlang.acall(f, *args)
          async def together(f, n): return await NAME.asyncio.gather(*[f(i) for i in range(n)])
          async def limited(f): return await NAME.asyncio.wait_for(f(), 0.05)
          async def blocks(x): return NAME.erlang.call("NAME_double", x)
          async def blocks_for_a_message(): return NAME.erlang.receive(1)
          async def reads(): return input()
          async def in_thread(x): return await NAME.asyncio.get_running_loop().run_in_executor(None, NAME.erlang.call, "NAME_double", x)
          async def unknown(): return await NAME.erlang.acall("no_such_function")
          async def wrong(): return await NAME.erlang.acall(5)
          def elsewhere(x): return NAME.asyncio.run(NAME.by_name(x))

          async def receives(timeout=None): return await NAME.erlang.areceive(timeout)
          async def receives_many(n): return [await NAME.erlang.areceive() for _ in range(n)]
          async def receives_in_tasks(n):
              async def one(): return await NAME.erlang.areceive()
              return sorted(await NAME.asyncio.gather(*[one() for _ in range(n)]))
          async def gives_up(pid):
              lost = NAME.asyncio.ensure_future(NAME.erlang.areceive())
              await NAME.asyncio.sleep(0.01)
              lost.cancel()
              NAME.erlang.send(pid, lost.done())
              return await NAME.erlang.areceive()
          def receives_elsewhere(): return NAME.asyncio.run(NAME.receives(5))

          async def items(iterator): return [item async for item in iterator]
          def reads_items(iterator): return list(iterator)
      """)

    Python.register("#{name}_double", fn x -> 2 * x end)
    Python.register("#{name}_keywords", fn x, kwargs -> {x, kwargs} end)
    %{name: name, pool: start_pool(engine: :asyncio, timeout: 20_000)}
  end

  defp ask(name, function, args, options) do
    Python.call(:__main__, "#{name}.#{function}", args, options)
  end

  test "registered functions and those that are arguments are awaited", %{name: name, pool: pool} do
    assert ask(name, :by_name, [4], pool: pool) == {:ok, 8}
    assert ask(name, :by_attribute, [4], pool: pool) == {:ok, 8}
    assert ask(name, :keywords, [4], pool: pool) == {:ok, {4, %{"y" => 2}}}

    for function <- [:calls, :calls_by_acall],
        do: assert(ask(name, function, [&(&1 + 1), 4], pool: pool) == {:ok, 5})

    assert ask(name, :together, [&(&1 * &1), 100], pool: pool) ==
             {:ok, for(i <- 0..99, do: i * i)}

    # It is the same in any other loop.
    assert ask(name, :elsewhere, [4], []) == {:ok, 8}
  end

  test "the loop goes on while Elixir works", %{name: name, pool: pool} do
    test = self()
    slow = fn -> send(test, {:begun, self()}) && receive(do: (:go -> :done)) end
    call = Python.call_async(:__main__, "#{name}.calls", [slow], pool: pool)
    assert_receive {:begun, worker}, 5_000
    assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
    send(worker, :go)
    assert Python.await(call) == {:ok, "done"}
  end

  test "nested calls run in the same loop, to any depth", %{name: name, pool: pool} do
    down = fn down, n ->
      if n == 0,
        do: 0,
        else:
          1 + Python.call!(:__main__, "#{name}.calls", [fn -> down.(down, n - 1) end], pool: pool)
    end

    assert down.(down, 50) == 50
  end

  test "what a function asks of its pool runs in the loop that awaits it, of several", %{
    name: name
  } do
    pool = start_pool(engine: :asyncio, size: 3)
    ident = fn -> Python.call!(:threading, :get_ident, [], pool: pool) end

    # Also where it goes on in another process, and by way of a coroutine that awaits one more.
    inner = fn -> Python.call!(:__main__, "#{name}.calls_by_acall", [ident], pool: pool) end

    Python.exec!("""
    import threading
    async def #{name}_where(one, other):
        return [threading.get_ident(), await one(), await other(), threading.get_ident()]
    """)

    1..40
    |> Task.async_stream(
      fn _ ->
        idents = Python.call!(:__main__, "#{name}_where", [ident, inner], pool: pool)
        assert length(Enum.uniq(idents)) == 1
        hd(idents)
      end,
      max_concurrency: 20,
      timeout: 30_000
    )
    |> Enum.to_list()
  end

  test "errors cross both ways", %{name: name, pool: pool} do
    assert {:error, %Python.Error{type: "Error", cause: %RuntimeError{}} = error} =
             ask(name, :calls, [fn -> raise "oops" end], pool: pool)

    assert error.message =~ "oops"
    killed = fn -> Process.exit(self(), :kill) end
    assert {:error, %Python.Error{message: message}} = ask(name, :calls, [killed], pool: pool)
    assert message =~ "killed"
    assert {:error, %Python.Error{type: "AttributeError"}} = ask(name, :unknown, [], pool: pool)
    assert {:error, %Python.Error{type: "TypeError"}} = ask(name, :wrong, [], pool: pool)
  end

  test "what is not waited for any more is given up, with its calls", %{name: name, pool: pool} do
    test = self()
    slow = fn -> send(test, Python.call(:asyncio, :sleep, [20], pool: pool)) end
    assert {:error, %Python.Error{type: "TimeoutError"}} = ask(name, :limited, [slow], pool: pool)
    eventually("nothing is left", fn -> Pool.stats(pool).busy == 0 end)

    assert {:error, %TimeoutError{}} = ask(name, :calls, [slow], pool: pool, timeout: 100)
    eventually("nothing is left", fn -> Pool.stats(pool).busy == 0 end)
  end

  test "what would hold up the loop is refused, with the remedy", %{name: name, pool: pool} do
    for {function, args, remedy} <- [
          {:blocks, [1], "await erlang.acall"},
          {:blocks_for_a_message, [], "await erlang.areceive"},
          {:reads, [], "to_thread(input)"}
        ] do
      assert {:error, %Python.Error{type: "RuntimeError", message: message}} =
               ask(name, function, args, pool: pool)

      assert message =~ remedy
    end

    assert ask(name, :in_thread, [4], pool: pool) == {:ok, 8}
  end

  test "messages are awaited", %{name: name, pool: pool} do
    start = &Python.call_async(:__main__, "#{name}.#{&1}", &2, pool: pool)
    running = fn count -> eventually("they wait", fn -> Pool.stats(pool).busy == count end) end

    early = start.(:receives, [])
    Python.send(early, {:a, 1})
    assert Python.await(early) == {:ok, {"a", 1}}

    late = start.(:receives, [20])
    running.(1)
    Python.send(late, "b")
    assert Python.await(late) == {:ok, "b"}

    many = start.(:receives_many, [100])
    for n <- 1..100, do: Python.send(many, n)
    assert Python.await(many) == {:ok, Enum.to_list(1..100)}

    tasks = start.(:receives_in_tasks, [10])
    running.(1)
    for n <- 1..10, do: Python.send(tasks, n)
    assert Python.await(tasks) == {:ok, Enum.to_list(1..10)}

    given_up = start.(:gives_up, [self()])
    # It has waited, and does no more.
    assert_receive false, 20_000
    Python.send(given_up, "not lost")
    assert Python.await(given_up) == {:ok, "not lost"}

    assert {:error, %Python.Error{type: "TimeoutError", builtin: true}} =
             ask(name, :receives, [0.02], pool: pool)

    assert {:error, %Python.Error{type: "ValueError"}} =
             ask(name, :receives, [Python.eval!("float('nan')", %{}, return: :object)], pool: pool)

    calls = for n <- 1..50, do: {n, start.(:receives, [])}
    for {n, call} <- Enum.reverse(calls), do: Python.send(call, n)
    for {n, call} <- calls, do: assert(Python.await(call) == {:ok, n})

    elsewhere = Python.call_async(:__main__, "#{name}.receives_elsewhere", [])
    Python.send(elsewhere, "here too")
    assert Python.await(elsewhere) == {:ok, "here too"}
  end

  test "the items of an enumerable are awaited", %{name: name, pool: pool} do
    assert ask(name, :items, [Python.iterator(1..1_000)], pool: pool) ==
             {:ok, Enum.to_list(1..1_000)}

    assert {:error, %Python.Error{message: message}} =
             ask(name, :reads_items, [Python.iterator(1..3)], pool: pool)

    assert message =~ "async for"
  end
end
