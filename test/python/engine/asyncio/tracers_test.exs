defmodule Python.Engine.Asyncio.TracersTest do
  # Trace and profile functions that a coroutine sets are its call's, on whatever thread it is with others.
  use Python.LoopCase, async: false

  setup do
    code = """
    import asyncio, sys

    class NAME:
        seen = []

        def noting(frame, event, argument):
            if event == "call" and frame.f_code.co_name.startswith("traced_"):
                NAME.seen.append(frame.f_code.co_name)

        def failing(frame, event, argument):
            if frame.f_code.co_name != "set":
                raise KeyError("traced")

        def now():
            return [sys.gettrace() is not None, sys.getprofile() is not None]

        async def sees():
            await asyncio.sleep(0)
            return NAME.now()

        async def sets(kind, function, gate=None):
            getattr(sys, "set" + kind)(getattr(NAME, function))
            first = NAME.now()
            await asyncio.sleep(0.01)
            def traced_later(): pass
            traced_later()
            task = await asyncio.ensure_future(NAME.sees())
            return [first, NAME.now(), task]

        async def sets_and_fails(kind):
            getattr(sys, "set" + kind)(NAME.noting)
            await asyncio.sleep(0)
            raise ValueError("failed")

        async def takes_back(kind):
            getattr(sys, "set" + kind)(NAME.noting)
            await asyncio.sleep(0)
            getattr(sys, "set" + kind)(None)
            await asyncio.sleep(0)
            return NAME.now()

        async def gives(kind):
            getattr(sys, "set" + kind)(NAME.noting)
            yield 1
            await asyncio.sleep(0)
            yield 2

        def sets_and_returns(kind):
            getattr(sys, "set" + kind)(NAME.noting)
            return NAME.sees()

        async def profiled():
            import cProfile
            profile = cProfile.Profile()
            profile.enable()
            await asyncio.sleep(0)
            profile.disable()
            return "profiled"
    """

    name = define(code)
    {:ok, tracing: name, pool: start_loop()}
  end

  defp ask(name, function, args, pool) do
    Python.call(:__main__, "#{name}.#{function}", args, pool: pool, timeout: 20_000)
  end

  for kind <- ["trace", "profile"] do
    @expected if(kind == "trace", do: [true, false], else: [false, true])

    test "a #{kind} function is in force until the call ends, and in its tasks", context do
      %{tracing: name, pool: pool} = context
      own = @expected
      assert ask(name, :sets, [unquote(kind), "noting"], pool) == {:ok, [own, own, own]}
      assert Python.eval!("#{name}.seen") == ["traced_later"]
      assert ask(name, :sees, [], pool) == {:ok, [false, false]}
      assert ask(name, :now, [], pool) == {:ok, [false, false]}
    end

    test "a #{kind} function is not that of the calls beside it", context do
      %{tracing: name, pool: pool} = context
      options = [pool: pool]

      calls =
        for n <- 1..40 do
          {function, args} =
            if rem(n, 2) == 0, do: {"sees", []}, else: {"sets", [unquote(kind), "noting"]}

          {rem(n, 2), Python.call_async(:__main__, "#{name}.#{function}", args, options)}
        end

      for {set, call} <- calls do
        expected = if set == 1, do: List.duplicate(@expected, 3), else: [false, false]
        assert Python.await(call) == {:ok, expected}
      end

      assert ask(name, :now, [], pool) == {:ok, [false, false]}
    end

    test "a #{kind} function ends with a call that fails, times out or is a stream", context do
      %{tracing: name, pool: pool} = context
      assert {:error, %{type: "ValueError"}} = ask(name, :sets_and_fails, [unquote(kind)], pool)
      assert ask(name, :sees, [], pool) == {:ok, [false, false]}

      # Where it strikes is Python's affair.
      ask(name, :sets, [unquote(kind), "failing"], pool)
      assert ask(name, :sees, [], pool) == {:ok, [false, false]}
      assert on_loop(pool, :answer, [1]) == {:ok, 1}

      items = Python.stream(:__main__, "#{name}.gives", [unquote(kind)], pool: pool, max_chunk: 1)
      assert Enum.to_list(items) == [1, 2]
      assert ask(name, :sees, [], pool) == {:ok, [false, false]}
      assert Enum.take(items, 1) == [1]
      assert ask(name, :sees, [], pool) == {:ok, [false, false]}
    end

    test "a #{kind} function that a call takes back is gone", context do
      %{tracing: name, pool: pool} = context
      assert ask(name, :takes_back, [unquote(kind)], pool) == {:ok, [false, false]}
    end

    test "a #{kind} function that a plain function sets traces what that gives", context do
      %{tracing: name, pool: pool} = context
      assert ask(name, :sets_and_returns, [unquote(kind)], pool) == {:ok, @expected}
      assert ask(name, :sees, [], pool) == {:ok, [false, false]}
    end
  end

  test "a profiler in C profiles up to the next await", %{tracing: name, pool: pool} do
    for _ <- 1..3, do: assert(ask(name, :profiled, [], pool) == {:ok, "profiled"})
    assert ask(name, :sees, [], pool) == {:ok, [false, false]}
  end
end
