defmodule Python.Engine.Asyncio.StreamsTest do
  # Streams and bodies of `with` in event loops: what is asynchronous is awaited there, and nothing holds the loop up.

  use Python.TestCase, async: true

  alias Python.{Pool, TimeoutError}

  setup_all do
    name =
      define("""
      class NAME:
          import asyncio, contextvars, time

          variable = contextvars.ContextVar("variable", default=0)
          log = []

          async def numbers(n):
              try:
                  for i in range(n):
                      await NAME.asyncio.sleep(0)
                      yield i
              finally:
                  await NAME.asyncio.sleep(0)
                  NAME.log.append("closed")

          def sync_numbers(n):
              try:
                  yield from range(n)
              finally:
                  NAME.log.append("closed")

          async def makes(n): return NAME.numbers(n)

          async def same_task(n):
              task, loop = NAME.asyncio.current_task(), NAME.asyncio.get_running_loop()
              for i in range(n):
                  NAME.variable.set(NAME.variable.get() + 1)
                  yield NAME.asyncio.current_task() is task and NAME.variable.get() == i + 1
                  await NAME.asyncio.sleep(0)

          ends = False

          async def turns():
              while not NAME.ends:
                  NAME.time.sleep(0.005)
                  await NAME.asyncio.sleep(0)

          async def slow(pause):
              for i in range(3):
                  yield i
                  await NAME.asyncio.sleep(pause)

          async def never():
              try:
                  yield 1
                  await NAME.asyncio.sleep(60)
              finally:
                  NAME.log.append("never")

          async def fails():
              yield 1
              raise ValueError("of a generator")

          def computes():
              until = NAME.time.monotonic() + 1
              while NAME.time.monotonic() < until:
                  yield None

          class Manager:
              def __init__(self, swallows=False):
                  self.log, self.swallows = [], swallows
              async def __aenter__(self):
                  await NAME.asyncio.sleep(0.001)
                  NAME.variable.set(7)
                  self.log.append("enter")
                  return self
              async def __aexit__(self, kind, error, _):
                  await NAME.asyncio.sleep(0.001)
                  self.log.append(kind and getattr(error, "type", kind.__name__))
                  return self.swallows
              async def get(self, x):
                  await NAME.asyncio.sleep(0.001)
                  return x, NAME.variable.get()
              def __enter__(self): raise TypeError("use async with")
              def __exit__(self, *error): pass

          class Sync:
              def __init__(self): self.log = []
              def __enter__(self): self.log.append("enter"); return 5
              def __exit__(self, *error): self.log.append("exit")
      """)

    %{name: name, pool: start_pool(engine: :asyncio, timeout: 20_000)}
  end

  defp stream(name, pool, function, args, options \\ []) do
    Python.stream(:__main__, "#{name}.#{function}", args, [pool: pool] ++ options)
  end

  defp log(name), do: Python.eval!("#{name}.log")

  test "iterators of both kinds are streams, to their end", %{name: name, pool: pool} do
    for function <- [:numbers, :sync_numbers, :makes], count <- [0, 1, 10, 5_000] do
      assert Enum.to_list(stream(name, pool, function, [count])) ==
               Enum.to_list(0..(count - 1)//1)
    end

    assert Enum.to_list(Python.stream(:builtins, :range, [10], pool: pool)) == Enum.to_list(0..9)

    assert Enum.to_list(
             Python.stream_eval("[i async for i in #{name}.numbers(3)]", %{}, pool: pool)
           ) == [0, 1, 2]

    chunks = stream(name, pool, :numbers, [100], max_chunk: 1, prefetch: 0)
    assert Enum.to_list(chunks) == Enum.to_list(0..99)
  end

  test "a stream that is not read to its end is closed", %{pool: pool} do
    name =
      define("""
      class NAME:
          import asyncio
          log = []
          async def numbers():
              try:
                  while True: yield 1
              finally:
                  await NAME.asyncio.sleep(0)
                  NAME.log.append("closed")
          def sync_numbers():
              try:
                  while True: yield 1
              finally:
                  NAME.log.append("closed")
      """)

    for {function, n} <- [{:numbers, 1}, {:sync_numbers, 2}] do
      assert Enum.take(stream(name, pool, function, []), 3) == [1, 1, 1]
      eventually("it is closed", fn -> length(log(name)) == n end)
    end

    # With its consumer.
    test = self()

    consumer =
      spawn(fn ->
        for _ <- stream(name, pool, :numbers, []), do: send(test, :item) && Process.sleep(1)
      end)

    assert_receive :item, 5_000
    Process.exit(consumer, :kill)
    eventually("it is closed", fn -> length(log(name)) == 3 end)
    eventually("nothing is left", fn -> Pool.stats(pool).busy == 0 end)
  end

  test "all items are made in one task, with its context variables", %{name: name, pool: pool} do
    items = stream(name, pool, :same_task, [50], max_chunk: 3)
    assert Enum.uniq(items) == [true]
    assert Python.eval("#{name}.variable.get()", %{}, pool: pool) == {:ok, 0}
  end

  test "an item comes when it is made", %{name: name, pool: pool} do
    first = stream(name, pool, :slow, [5]) |> Enum.take(1)
    assert first == [0]
    assert Enum.to_list(stream(name, pool, :slow, [0.05])) == [0, 1, 2]
  end

  test "many streams are read at the same time, beside calls", %{name: name, pool: pool} do
    readers =
      for _ <- 1..50, do: Task.async(fn -> Enum.sum(stream(name, pool, :numbers, [300])) end)

    assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
    assert Enum.uniq(Task.await_many(readers, 20_000)) == [44_850]
  end

  # The time of a chunk counts from when its making begins: thousands of other tasks may come before it.
  test "a loop that is busy with others does not cut chunks into pieces", %{name: name} do
    pool = start_pool(engine: :asyncio)

    turns = Python.call_async(:__main__, "#{name}.turns", [], pool: pool)

    for _ <- 1..10 do
      %{source: source, options: options} = stream(name, pool, :sync_numbers, [15])
      assert {:ok, open} = Python.Stream.open(source, options)
      # What has not come after 1 ms is asked for again and again.
      assert Python.Stream.chunk(open, options) == {:done, Enum.to_list(0..14)}
    end

    Python.exec!("#{name}.ends = True")
    assert Python.await(turns) == {:ok, nil}
  end

  test "errors and timeouts end the stream, and its finally runs", %{name: name, pool: pool} do
    assert_raise Python.Error, ~r/of a generator/, fn ->
      Enum.to_list(stream(name, pool, :fails, []))
    end

    late = fn ->
      assert_raise TimeoutError, fn ->
        Enum.to_list(stream(name, pool, :never, [], timeout: 100))
      end
    end

    # The place comes in time, or not at all.
    eventually("the place is told", fn ->
      match?(%{function: "never", code: "await " <> _}, late.().location)
    end)

    eventually("it is over", fn -> "never" in log(name) end)
  end

  test "a generator that computes lets the loop go on", %{name: name, pool: pool} do
    reader = Task.async(fn -> Enum.count(stream(name, pool, :computes, [])) end)
    eventually("it is read", fn -> Pool.stats(pool).busy > 0 end)
    for _ <- 1..20, do: assert(Python.call(:asyncio, :sleep, [0.001, 1], pool: pool) == {:ok, 1})
    assert Task.yield(reader, 0) == nil or Task.await(reader) > 0
    assert Task.await(reader, 20_000) > 0
  end

  describe "with" do
    test "an asynchronous manager is entered and left in the loop, which goes on", %{
      name: name,
      pool: pool
    } do
      manager = Python.call!(:__main__, "#{name}.Manager", [], pool: pool)

      result =
        Python.with(manager, fn entered ->
          assert Python.call(:asyncio, :sleep, [0, 1], pool: pool) == {:ok, 1}

          {Python.call!(entered, :get, [3]),
           Python.eval!("#{name}.variable.get()", %{}, pool: pool)}
        end)

      assert result == {{3, 7}, 7}
      assert Python.getattr(manager, :log) == {:ok, ["enter", nil]}
      assert Python.eval("#{name}.variable.get()", %{}, pool: pool) == {:ok, 0}
    end

    test "others are entered and left as well", %{name: name, pool: pool} do
      manager = Python.call!(:__main__, "#{name}.Sync", [], pool: pool)
      assert Python.with(manager, &(&1 + 1)) == 6
      assert Python.getattr(manager, :log) == {:ok, ["enter", "exit"]}
    end

    test "the manager is told of errors, and may swallow them", %{name: name, pool: pool} do
      manager = Python.call!(:__main__, "#{name}.Manager", [], pool: pool)
      assert_raise RuntimeError, "body", fn -> Python.with(manager, fn _ -> raise "body" end) end
      assert Python.getattr(manager, :log) == {:ok, ["enter", "RuntimeError"]}
      swallows = Python.call!(:__main__, "#{name}.Manager", [true], pool: pool)
      assert Python.with(swallows, fn _ -> raise "body" end) == nil
    end

    test "it is left at the deadline, and when the caller dies", %{name: name, pool: pool} do
      manager = Python.call!(:__main__, "#{name}.Manager", [], pool: pool)

      assert_raise TimeoutError, fn ->
        Python.with(manager, fn _ -> Process.sleep(:infinity) end, timeout: 100)
      end

      eventually("it is left", fn ->
        Python.getattr!(manager, :log) == ["enter", "Python.TimeoutError"]
      end)

      manager = Python.call!(:__main__, "#{name}.Manager", [], pool: pool)
      caller = spawn(fn -> Python.with(manager, fn _ -> Process.sleep(:infinity) end) end)
      eventually("it is entered", fn -> Python.getattr!(manager, :log) == ["enter"] end)
      Process.exit(caller, :kill)
      eventually("it is left", fn -> length(Python.getattr!(manager, :log)) == 2 end)
    end

    test "thousands of bodies go on at the same time", %{name: name, pool: pool} do
      manager = Python.call!(:__main__, "#{name}.Manager", [], pool: pool)
      test = self()

      bodies =
        for n <- 1..500 do
          Task.async(fn ->
            Python.with(manager, fn _ ->
              send(test, :entered)
              receive do: (:go -> n)
            end)
          end)
        end

      for _ <- bodies, do: assert_receive(:entered, 10_000)
      for body <- bodies, do: send(body.pid, :go)
      assert Task.await_many(bodies) == Enum.to_list(1..500)
    end
  end
end
