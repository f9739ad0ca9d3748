defmodule Python.Engine.Asyncio.CallsTest do
  # Calls of pools whose workers are event loops.

  use Python.TestCase, async: true

  alias Python.{OverloadedError, Pool, TimeoutError}

  setup_all do
    name =
      define("""
      class NAME:
          import asyncio, contextvars, threading, time, types

          async def double(x):
              await NAME.asyncio.sleep(0.001)
              return 2 * x

          async def fails():
              await NAME.asyncio.sleep(0)
              raise ValueError("of a coroutine")

          @types.coroutine
          def old():
              yield from NAME.asyncio.sleep(0).__await__()
              return "old"

          class Awaitable:
              def __await__(self):
                  yield from NAME.asyncio.sleep(0).__await__()
                  return "awaited"

          def future():
              future = NAME.asyncio.get_running_loop().create_future()
              NAME.asyncio.get_running_loop().call_later(0.001, future.set_result, "future")
              return future

          def task():
              return NAME.asyncio.create_task(NAME.double(4))

          class Session:
              def __init__(self): self.calls = 0
              async def get(self, x):
                  self.calls += 1
                  await NAME.asyncio.sleep(0.001)
                  return x

          async def exits():
              raise SystemExit(3)

          async def interrupts():
              raise KeyboardInterrupt()

          async def unconvertible():
              return {"a": [1, "\\ud800"], "b": 2}

          async def returns_coroutine():
              return NAME.double(1)

          async def where():
              return NAME.threading.current_thread().name, id(NAME.asyncio.get_running_loop())

          def now(): return id(NAME.asyncio.get_running_loop())
      """)

    %{name: name}
  end

  defp loops(options \\ []), do: start_pool([engine: :asyncio, timeout: 20_000] ++ options)

  test "what can be awaited is awaited, and all else is a value", %{name: name} do
    pool = loops()
    ask = &Python.call(:__main__, "#{name}.#{&1}", &2, pool: pool)

    assert ask.(:double, [21]) == {:ok, 42}
    assert ask.(:Awaitable, []) == {:ok, "awaited"}
    assert ask.(:old, []) == {:ok, "old"}
    assert ask.(:future, []) == {:ok, "future"}
    assert ask.(:task, []) == {:ok, 8}
    assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
    assert Python.call(:builtins, :dict, [], pool: pool, kwargs: %{a: 1}) == {:ok, %{"a" => 1}}
    # Once.
    assert {:ok, %Python.Object{} = coroutine} = ask.(:returns_coroutine, [])
    assert {:ok, nil} = Python.call(coroutine, :close, [], pool: pool)
  end

  test "a handle is to the object itself", %{name: name} do
    pool = loops()
    options = [pool: pool, return: :object]
    coroutine = Python.call!(:__main__, "#{name}.double", [1], options)
    assert Python.type(coroutine) == "coroutine"
    # What is awaited explicitly is awaited all the same.
    assert Python.eval("await c", %{c: coroutine}, pool: pool) == {:ok, 2}
    assert %Python.Object{} = list = Python.eval!("await #{name}.double([1])", %{}, options)
    assert Python.to_term(list) == {:ok, [1, 1]}
  end

  test "one object serves all calls, from all processes", %{name: name} do
    session = Python.call!(:__main__, "#{name}.Session", [], pool: loops())
    calls = for n <- 1..200, do: Task.async(fn -> Python.call!(session, :get, [n]) end)
    assert Task.await_many(calls) == Enum.to_list(1..200)
    assert Python.getattr(session, :calls) == {:ok, 200}
  end

  test "code may await outside of functions", %{name: name} do
    pool = loops()
    assert Python.eval("await #{name}.double(4)", %{}, pool: pool) == {:ok, 8}
    assert Python.eval("  await #{name}.double(x) + y", %{x: 4, y: 1}, pool: pool) == {:ok, 9}

    assert Python.eval("[await #{name}.double(i) for i in x]", %{x: [1, 2]}, pool: pool) ==
             {:ok, [2, 4]}

    assert Python.eval("(lambda: x + 1)()", %{x: 1}, pool: pool) == {:ok, 2}

    code = """
    import asyncio
    #{name}_lock = asyncio.Lock()
    async with #{name}_lock:
        #{name}_x = await #{name}.double(3)
    #{name}_y = [i async for i in #{name}_numbers()] if False else 1
    """

    assert Python.exec(code, pool: pool) == :ok
    assert Python.eval("#{name}_x + #{name}_y", %{}, pool: pool) == {:ok, 7}

    assert {:error, %Python.Error{type: "ValueError", frames: frames}} =
             Python.exec("x = 1\nawait #{name}.fails()", pool: pool)

    assert %{line: 2, code: "await " <> _} = hd(frames)
    assert {:error, %Python.Error{type: "SyntaxError"}} = Python.eval("await", %{}, pool: pool)

    assert {:error, %Python.Error{type: "SyntaxError"}} =
             Python.eval("await f(", %{x: 1}, pool: pool)

    # Elsewhere it is what it is in any Python.
    assert {:error, %Python.Error{type: "SyntaxError"}} = Python.eval("await #{name}.double(4)")
  end

  test "errors are those of the call alone", %{name: name} do
    pool = loops()
    ask = &Python.call(:__main__, "#{name}.#{&1}", [], pool: pool)

    assert {:error, %Python.Error{type: "ValueError", message: "of a coroutine", frames: frames}} =
             ask.(:fails)

    assert %{function: "fails", code: "raise " <> _} = List.last(frames)
    assert {:error, %Python.Error{type: "SystemExit"}} = ask.(:exits)
    assert {:error, %Python.Error{type: "KeyboardInterrupt"}} = ask.(:interrupts)
    assert {:error, %Python.DecodeError{path: ~s(["a"][1])}} = ask.(:unconvertible)
    loop = ask.(:now)
    assert {:error, %Python.Error{type: "AttributeError"}} = ask.(:missing)
    assert ask.(:now) == loop
  end

  test "a map awaits its calls together, and an error names its index", %{name: name} do
    pool = loops()
    calls = for n <- 1..50, do: [0.1, n]
    {time, results} = :timer.tc(fn -> Python.map(:asyncio, :sleep, calls, pool: pool) end)
    assert results == {:ok, Enum.to_list(1..50)}
    assert time < 4_000_000
    assert Python.map(:math, :sqrt, [[1], [4]], pool: pool) == {:ok, [1.0, 2.0]}
    assert Python.map("builtins", "abs", [], pool: pool) == {:ok, []}

    Python.exec!(
      """
      #{name}.ended = []
      async def #{name}_one(n):
          try:
              await #{name}.asyncio.sleep(20 if n != 2 else 0)
              raise ValueError(str(n))
          finally:
              #{name}.ended.append(n)
      """,
      pool: pool
    )

    assert {:error, %Python.Error{type: "ValueError", message: message}} =
             Python.map(:__main__, "#{name}_one", [[0], [1], [2], [3]], pool: pool)

    assert message =~ "2"
    assert Python.eval!("sorted(#{name}.ended)", %{}, pool: pool) == [0, 1, 2, 3]
  end

  test "calls wait beside each other, up to the limit of the pool" do
    pool = loops(max_queue: 20)
    calls = for _ <- 1..20, do: Python.call_async(:asyncio, :sleep, [20], pool: pool)
    eventually("all run", fn -> Pool.stats(pool).busy == 20 end)
    assert {:error, %OverloadedError{}} = Python.call(:math, :sqrt, [1], pool: pool)
    Python.cancel(hd(calls))

    eventually("there is room", fn ->
      match?({:ok, 1.0}, Python.call(:math, :sqrt, [1], pool: pool))
    end)

    Enum.each(calls, &Python.cancel/1)
    eventually("none is left", fn -> Pool.stats(pool).busy == 0 end)
    assert [%{busy: false, os_pid: nil, calls: calls}] = Pool.workers(pool)
    assert calls >= 21
  end

  test "several loops share the queue" do
    pool = loops(size: 3)
    assert length(Pool.workers(pool)) == 3
    calls = for _ <- 1..300, do: Python.call_async(:asyncio, :sleep, [0.05, 1], pool: pool)
    assert Enum.all?(calls, &(Python.await(&1) == {:ok, 1}))
    assert Pool.stats(pool).done == 300
  end

  test "the default pool can be one of loops" do
    vm = Python.FreshVM.start(settings: [engine: :asyncio])
    assert Python.FreshVM.call(vm, Python, :call, [:asyncio, :sleep, [0, 7]]) == {:ok, 7}
    assert Python.FreshVM.call(vm, Pool, :stats, [Python.Pool]).workers == 1
  end

  test "the kind of loop can be chosen" do
    pool = loops(loop: :asyncio)
    kind = "type(asyncio.get_running_loop()).__mro__"
    Python.exec!("import asyncio", pool: pool)
    assert Python.eval!("any('Selector' in c.__name__ for c in #{kind})", %{}, pool: pool)

    has_uvloop = match?({:ok, _}, Python.call(:importlib, :import_module, ["uvloop"]))
    Process.flag(:trap_exit, true)

    case Pool.start_link(name: :"#{__MODULE__}.Uvloop", engine: :asyncio, loop: :uvloop) do
      {:ok, _pid} ->
        assert has_uvloop

      {:error, error} ->
        refute has_uvloop
        assert Exception.message(error) =~ "uvloop"
    end

    assert_raise ArgumentError, ~r/:loop of a pool to be :auto, :asyncio or :uvloop/, fn ->
      Pool.start_link(name: :"#{__MODULE__}.Other", engine: :asyncio, loop: :trio)
    end
  end

  test "the :init of a pool may await, and what it sets is what calls begin with", %{name: name} do
    code = """
    import asyncio, contextvars
    #{name}_variable = contextvars.ContextVar("variable", default=0)
    await asyncio.sleep(0.01)
    #{name}_variable.set(5)
    """

    pool = loops(init: code)
    assert Python.eval("#{name}_variable.get()", %{}, pool: pool) == {:ok, 5}

    Python.exec!(
      "#{name}_variable.set(6)\nawait asyncio.sleep(0)\nassert #{name}_variable.get() == 6",
      pool: pool
    )

    assert Python.eval("#{name}_variable.get()", %{}, pool: pool) == {:ok, 5}
  end

  test "the end of a pool answers all, and lets tasks end", %{name: name} do
    Python.exec!("""
    #{name}.left = []
    async def #{name}_waits(n):
        try:
            await #{name}.asyncio.sleep(20)
        finally:
            await #{name}.asyncio.sleep(0.01)
            #{name}.left.append(n)

    async def #{name}_items():
        try:
            while True: yield 1
        finally:
            #{name}.left.append("generator")

    async def #{name}_begins():
        #{name}.kept = #{name}_items()
        await #{name}.kept.__anext__()
        #{name}.background = #{name}.asyncio.create_task(#{name}_waits("background"))
    """)

    pool = loops()
    assert {:ok, nil} = Python.call(:__main__, "#{name}_begins", [], pool: pool)
    calls = for n <- 1..5, do: Python.call_async(:__main__, "#{name}_waits", [n], pool: pool)
    eventually("all run", fn -> Pool.stats(pool).busy == 5 end)
    GenServer.stop(pool)
    assert Enum.all?(calls, &match?({:error, %Python.StoppedError{}}, Python.await(&1)))
    left = Python.eval!("#{name}.left")
    assert Enum.sort(left) == [1, 2, 3, 4, 5, "background", "generator"]
  end

  test "a timeout cancels the task, whose finally runs in time", %{name: name} do
    pool = loops()

    Python.exec!(
      """
      import time
      async def #{name}_waits():
          try:
              await #{name}.asyncio.sleep(20)
          finally:
              #{name}.cancelled = time.monotonic()
      """,
      pool: pool
    )

    late = fn -> Python.call(:__main__, "#{name}_waits", [], pool: pool, timeout: 100) end
    assert {:error, %TimeoutError{reason: :running}} = late.()
    # The place comes in time, or not at all.
    function = "#{name}_waits"

    eventually("the place is told", fn ->
      match?({:error, %TimeoutError{location: %{function: ^function}}}, late.())
    end)

    eventually("it is over", fn -> Pool.stats(pool).busy == 0 end)
    assert Python.eval!("#{name}.cancelled > 0", %{}, pool: pool)
  end
end
