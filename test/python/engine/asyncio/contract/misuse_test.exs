defmodule Python.Engine.Asyncio.Contract.MisuseTest do
  # What code does to a loop that it should not: the loop, or another one, goes on.
  use Python.LoopCase, async: true

  alias Python.{Error, Pool}

  setup do
    {:ok, pool: start_loop()}
  end

  defp run(pool, code, options \\ []), do: Python.exec(code, [pool: pool] ++ options)

  defp works(pool) do
    assert on_loop(pool, :after, [0.001, 1], timeout: 20_000) == {:ok, 1}
    assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
    assert Python.stream(:coroutines, :numbers, [3], pool: pool) |> Enum.to_list() == [0, 1, 2]
    eventually_no_tasks(pool)
    assert %{workers: 1} = Pool.stats(pool)
  end

  @loop "import asyncio\nloop = asyncio.get_running_loop()\n"

  for {title, code} <- [
        {"stopped", "loop.stop()"},
        {"stopped in between", "loop.stop()\nawait coroutines.after(0.01)"},
        {"stopped by a timer", "loop.call_later(0.01, loop.stop)"},
        {"stopped from a thread",
         "import threading\nthreading.Thread(target=loop.call_soon_threadsafe, args=(loop.stop,)).start()"},
        {"ended by SystemExit of a callback", "loop.call_soon(__import__('sys').exit, 3)"},
        {"ended by SystemExit of a task",
         "async def f(): raise SystemExit(3)\ncoroutines.keep(asyncio.ensure_future(f()))"},
        {"ended by KeyboardInterrupt of a task",
         "async def f():\n    await coroutines.answer()\n    raise KeyboardInterrupt()\ncoroutines.keep(asyncio.ensure_future(f()))"},
        {"ended by BaseException of a callback",
         "class E(BaseException): pass\ndef f(): raise E()\nloop.call_soon(f)"},
        {"hidden", "asyncio.set_event_loop(None)"},
        {"replaced", "asyncio.set_event_loop(asyncio.new_event_loop())"},
        {"not marked as running", "asyncio._set_running_loop(None)"},
        {"in debug mode", "loop.set_debug(True)"},
        {"given a task factory",
         "loop.set_task_factory(lambda loop, coro, **k: asyncio.Task(coro, loop=loop, **k))"},
        {"robbed of its task factory", "loop.set_task_factory(None)"},
        {"given an exception handler that raises",
         "def f(*a): raise ValueError()\nloop.set_exception_handler(f)\nloop.call_soon(f)"},
        {"robbed of its executor",
         "import concurrent.futures as c\nloop.set_default_executor(c.ThreadPoolExecutor(1))"},
        {"given a signal handler",
         "import signal\ntry: loop.add_signal_handler(signal.SIGUSR1, print)\nexcept (ValueError, RuntimeError): pass"}
      ] do
    test "a loop that is #{title} goes on, with the calls that wait", %{pool: pool} do
      waiting = for n <- 1..10, do: Python.call_async(:coroutines, :after, [0.1, n], pool: pool)
      _ = on_loop(pool, :answer)

      log =
        ExUnit.CaptureLog.capture_log(fn ->
          result = run(pool, @loop <> unquote(code), timeout: 20_000)
          assert result == :ok or match?({:error, %Error{}}, result)

          for {call, n} <- Enum.zip(waiting, 1..10),
              do: assert(Python.await(call, 20_000) == {:ok, n})

          works(pool)
        end)

      assert is_binary(log)
    end
  end

  test "closing the running loop is an error", %{pool: pool} do
    assert {:error, %Error{type: "RuntimeError"}} = run(pool, @loop <> "loop.close()")
    works(pool)
  end

  test "a loop that was closed behind its back is replaced, or refuses to be", %{pool: pool} do
    result =
      run(
        pool,
        @loop <> "loop.stop()\nloop.call_soon(lambda: None)\nasyncio._set_running_loop(None)"
      )

    assert result == :ok or match?({:error, %Error{}}, result)
    works(pool)
  end

  test "another loop cannot be run on it, which Python says", %{pool: pool} do
    for code <- [
          "asyncio.run(coroutines.answer())",
          "asyncio.new_event_loop().run_until_complete(coroutines.answer())",
          "loop.run_until_complete(coroutines.answer())",
          "loop.run_forever()"
        ] do
      assert {:error, %Error{type: "RuntimeError"} = error} = run(pool, @loop <> code)
      assert Exception.message(error) =~ "running"
    end

    function = define("def NAME():\n    import asyncio\n    asyncio.run(coroutines.answer())")

    assert {:error, %Error{type: "RuntimeError"}} =
             Python.call(:__main__, function, [], pool: pool)

    works(pool)
  end

  test "on a thread that a task is given, another loop runs", %{pool: pool} do
    code = """
    await loop.run_in_executor(None, lambda: asyncio.run(coroutines.answer(5)))
    """

    assert run(pool, @loop <> code) == :ok

    code =
      "await coroutines.asyncio.get_running_loop().run_in_executor(None, " <>
        "lambda: coroutines.asyncio.run(coroutines.answer(5)))"

    assert Python.eval(code, pool: pool) == {:ok, 5}
  end

  test "the current loop is the pool's, and other threads hand in work", %{pool: pool} do
    assert Python.eval(
             "coroutines.asyncio.get_event_loop() is coroutines.asyncio.get_running_loop()",
             pool: pool
           ) == {:ok, true}

    function =
      define("""
      async def NAME():
          loop = coroutines.asyncio.get_running_loop()
          def on_thread():
              return coroutines.asyncio.run_coroutine_threadsafe(coroutines.answer(7), loop).result(10)
          return await loop.run_in_executor(None, on_thread)
      """)

    assert Python.call(:__main__, function, [], pool: pool) == {:ok, 7}
    works(pool)
  end

  @tag python: "3.12"
  test "an eager task factory is as good", %{pool: pool} do
    assert run(pool, @loop <> "loop.set_task_factory(asyncio.eager_task_factory)") == :ok
    works(pool)
    test = self()

    function =
      define("""
      async def NAME(f):
          return await coroutines.asyncio.create_task(coroutines.answer(await f(erlang.self())))
      """)

    assert Python.call(:__main__, function, [& &1], pool: pool) == {:ok, test}
    assert {:error, %Python.TimeoutError{}} = on_loop(pool, :after, [1000], timeout: 100)
    works(pool)
  end

  test "a result that cannot be converted is the error of its call", %{pool: pool} do
    code = "await coroutines.answer(['ok', chr(0xD800)])"
    assert {:error, %Python.DecodeError{}} = Python.eval(code, pool: pool)
    assert {:error, %Python.EncodeError{}} = on_loop(pool, :answer, [<<1::3>>])
    assert {:ok, %Python.Object{}} = Python.eval("await coroutines.answer(object())", pool: pool)
    works(pool)
  end

  test "an awaitable that is none is the error of its call", %{pool: pool} do
    function =
      define("""
      class NAME:
          class Bad:
              def __await__(self): return 5
          class Raising:
              def __await__(self): raise ValueError("no")
          class Wrong:
              def __await__(self): yield 5
          class Never:
              def __await__(self): yield self
          def make(name): return getattr(NAME, name)()
      """)

    for {kind, type} <- [
          {"Bad", "TypeError"},
          {"Raising", "ValueError"},
          {"Wrong", "RuntimeError"},
          {"Never", "RuntimeError"}
        ] do
      assert {^kind, {:error, %Error{type: ^type}}} =
               {kind, Python.call(:__main__, "#{function}.make", [kind], pool: pool)}
    end

    coroutine = on_loop!(pool, :answer, [1], return: :object)
    assert Python.eval("await c", %{c: coroutine}, pool: pool) == {:ok, 1}

    assert {:error, %Error{type: "RuntimeError"}} =
             Python.eval("await c", %{c: coroutine}, pool: pool)

    works(pool)
  end

  test "a future of another loop is Python's error", %{pool: pool} do
    other = start_loop()
    code = "coroutines.asyncio.get_running_loop().create_future()"
    future = Python.eval!(code, %{}, pool: other, return: :object)
    assert {:error, %Error{}} = Python.eval("await f", %{f: future}, pool: pool)
    works(pool)
  end

  test "deep recursion of coroutines is a RecursionError", %{pool: pool} do
    function = define("async def NAME(n): return await NAME(n + 1)")

    assert {:error, %Error{type: "RecursionError"}} =
             Python.call(:__main__, function, [0], pool: pool)

    works(pool)
  end

  test "a task that is destroyed while it waits is logged, and no more", %{pool: pool} do
    log =
      ExUnit.CaptureLog.capture_log(fn ->
        run(
          pool,
          @loop <>
            "async def f(): await asyncio.get_running_loop().create_future()\nasyncio.ensure_future(f())"
        )

        on_loop(pool, :collect)
        on_loop(pool, :collect)
        works(pool)
      end)

    assert is_binary(log)
  end
end
