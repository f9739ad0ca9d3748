defmodule Python.Engine.Asyncio.Contract.StreamsTest do
  # Asynchronous iterators on the loop of their pool, and plain ones.
  use Python.LoopCase, async: true

  alias Python.{Error, Pool, TimeoutError}

  setup do
    {:ok, pool: start_loop()}
  end

  defp stream(pool, function, args, options \\ []),
    do: Python.stream(:coroutines, function, args, [pool: pool] ++ options)

  test "the items of an asynchronous generator come in order", %{pool: pool, name: name} do
    assert Enum.to_list(stream(pool, :numbers, [1000, name])) == Enum.to_list(0..999)
    assert events(name) == ["finally"]

    for options <- [[max_chunk: 1], [prefetch: 0], [max_chunk: 7, prefetch: 3]] do
      assert Enum.to_list(stream(pool, :numbers, [50], options)) == Enum.to_list(0..49)
    end

    assert Enum.to_list(stream(pool, :numbers, [0])) == []
    eventually_no_tasks(pool)
    assert messages() == []
  end

  test "so do those of a plain generator, and of what else can be iterated", %{pool: pool} do
    assert Python.stream(:itertools, :count, [10, 5], pool: pool) |> Enum.take(3) == [10, 15, 20]
    assert Python.stream_eval("[1, 2, 3]", pool: pool) |> Enum.to_list() == [1, 2, 3]
    code = "(n * k for n in range(3))"
    assert Python.stream_eval(code, %{k: 2}, pool: pool) |> Enum.to_list() == [0, 2, 4]
    code = "(n * k async for n in coroutines.numbers(3))"
    assert Python.stream_eval(code, %{k: 2}, pool: pool) |> Enum.to_list() == [0, 2, 4]
  end

  test "a coroutine that gives an iterator is awaited first", %{pool: pool} do
    function =
      define("async def NAME():\n    await coroutines.answer()\n    return coroutines.numbers(3)")

    assert Python.stream(:__main__, function, [], pool: pool) |> Enum.to_list() == [0, 1, 2]
    code = "await coroutines.answer([1, 2])"
    assert Python.stream_eval(code, pool: pool) |> Enum.to_list() == [1, 2]
  end

  test "a handle of an asynchronous generator is enumerable", %{pool: pool} do
    {:ok, items} = on_loop(pool, :numbers, [5])
    assert Enum.to_list(items) == [0, 1, 2, 3, 4]
  end

  test "an item arrives when it is made, before the pause after it", %{pool: pool, name: name} do
    function =
      define("""
      async def NAME(name):
          for number in range(3):
              yield number
          await coroutines.wait_async(name)
          yield "after the gate"
      """)

    items =
      Python.stream(:__main__, function, [name], pool: pool, timeout: 60_000)
      |> Stream.each(&if(&1 == 2, do: open_gate(name)))
      |> Enum.to_list()

    assert items == [0, 1, 2, "after the gate"]
  end

  test "a thousand streams are read at the same time", %{pool: pool} do
    1..times(300, 1000)
    |> Task.async_stream(fn n -> {n, Enum.sum(stream(pool, :numbers, [n]))} end,
      max_concurrency: 1000,
      timeout: 60_000
    )
    |> Enum.each(fn {:ok, {n, sum}} -> assert sum == div(n * (n - 1), 2) end)

    eventually_no_tasks(pool)
    assert on_loop(pool, :answer, [1]) == {:ok, 1}
  end

  test "a stream uses objects of its loop, which other calls fill", %{pool: pool} do
    function = define("async def NAME(): return coroutines.asyncio.Queue()")
    {:ok, queue} = Python.call(:__main__, function, [], pool: pool)

    items =
      define("""
      async def NAME(queue):
          while True:
              item = await queue.get()
              if item is None: return
              yield item
      """)

    reader =
      Task.async(fn -> Python.stream(:__main__, items, [queue], pool: pool) |> Enum.to_list() end)

    for n <- 1..100, do: Python.call!(queue, :put, [n])
    Python.call!(queue, :put, [nil])
    assert Task.await(reader, 20_000) == Enum.to_list(1..100)
  end

  describe "a generator is closed, and its finally awaits," do
    test "when the reader stops", %{pool: pool, name: name} do
      assert Enum.take(stream(pool, :numbers, [10 ** 6, name]), 3) == [0, 1, 2]
      assert eventually_told(name, "finally") == ["finally"]
      eventually_no_tasks(pool)
      assert messages() == []
    end

    test "when the reader raises, is killed or forgets it", %{pool: pool, name: name} do
      assert_raise RuntimeError, fn ->
        Enum.each(stream(pool, :numbers, [10 ** 6, name]), fn _ -> raise "enough" end)
      end

      test = self()

      reader =
        start(fn ->
          Enum.each(stream(pool, :numbers, [10 ** 6, name <> "2"]), fn _ ->
            send(test, :item)
            Process.sleep(:infinity)
          end)
        end)

      assert_receive :item, 15_000
      Process.exit(reader, :kill)

      start(fn ->
        Enumerable.reduce(stream(pool, :numbers, [10 ** 6, name <> "3"]), {:cont, nil}, fn item,
                                                                                           _ ->
          {:suspend, item}
        end)
      end)

      for name <- [name, name <> "2", name <> "3"], do: eventually_told(name, "finally")
      eventually_no_tasks(pool)
    end

    test "when it waits for its next item", %{pool: pool, name: name} do
      function =
        define("""
        async def NAME(name):
            yield 1
            await coroutines.held(name)
            yield 2
        """)

      reader =
        start(fn -> Python.stream(:__main__, function, [name], pool: pool) |> Enum.to_list() end)

      eventually_told(name, "begun")
      Process.exit(reader, :kill)
      assert "cancelled" in eventually_told(name, "finally")
      eventually_no_tasks(pool)
    end

    test "when its pool stops", %{name: name} do
      pool = start_loop()
      test = self()

      start(fn ->
        Enum.each(stream(pool, :numbers, [10 ** 6, name], prefetch: 0, max_chunk: 1), fn _ ->
          send(test, :item)
          Process.sleep(:infinity)
        end)
      end)

      assert_receive :item, 15_000
      stop_supervised!(pool)
      eventually_told(name, "finally")
    end
  end

  test "an item that takes too long is a timeout, and the generator is closed", %{
    pool: pool,
    name: name
  } do
    function =
      define("""
      async def NAME(name):
          yield 1
          await coroutines.held(name)
          yield 2
      """)

    items = Python.stream(:__main__, function, [name], pool: pool, timeout: 300, prefetch: 0)
    assert_raise TimeoutError, fn -> Enum.to_list(items) end
    assert "cancelled" in eventually_told(name, "finally")
    eventually_no_tasks(pool)
  end

  test "an error comes after the items before it", %{pool: pool} do
    function =
      define("""
      async def NAME():
          yield 1
          await coroutines.answer()
          yield 2
          raise ValueError("three")
      """)

    test = self()
    items = Python.stream(:__main__, function, [], pool: pool)

    assert_raise Error, ~r/ValueError: three/, fn ->
      Enum.each(items, &send(test, {:item, &1}))
    end

    assert messages() == [{:item, 1}, {:item, 2}]
  end

  test "a generator that never pauses does not keep the loop to itself", %{pool: pool} do
    function =
      define("async def NAME():\n    n = 0\n    while True:\n        yield n\n        n += 1")

    plain = define("def NAME():\n    n = 0\n    while True:\n        yield n\n        n += 1")

    for function <- [function, plain] do
      reader =
        start(fn ->
          Python.stream(:__main__, function, [], pool: pool, prefetch: 1) |> Stream.run()
        end)

      for n <- 1..20, do: assert(on_loop(pool, :after, [0.001, n]) == {:ok, n})
      Process.exit(reader, :kill)
      eventually_no_tasks(pool)
    end
  end

  test "a generator's context variables are one call's, for all items", %{pool: pool} do
    function =
      define("""
      async def NAME(value):
          coroutines.variable.set(value)
          for _ in range(20):
              await coroutines.answer()
              yield coroutines.variable.get()
      """)

    1..20
    |> Enum.map(fn n ->
      Task.async(fn ->
        {n, Python.stream(:__main__, function, [n], pool: pool, max_chunk: 1) |> Enum.uniq()}
      end)
    end)
    |> Task.await_many(60_000)
    |> Enum.each(fn {n, seen} -> assert seen == [n] end)
  end

  test "items are made in one task, so that timeouts span them", %{pool: pool} do
    function =
      define("""
      async def NAME():
          first = coroutines.asyncio.current_task()
          for _ in range(10):
              await coroutines.answer()
              yield coroutines.asyncio.current_task() is first
      """)

    assert Python.stream(:__main__, function, [], pool: pool, max_chunk: 1) |> Enum.uniq() == [
             true
           ]
  end

  test "erlang.self in it is its reader, and it awaits Elixir", %{pool: pool} do
    function =
      define("""
      async def NAME(f):
          for n in range(5):
              yield (erlang.self(), await f(n))
      """)

    expected = for n <- 0..4, do: {self(), n * 2}

    assert Python.stream(:__main__, function, [&(&1 * 2)], pool: pool) |> Enum.to_list() ==
             expected

    assert %{busy: 0} = Pool.stats(pool)
  end
end
