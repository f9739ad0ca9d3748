defmodule Python.Engine.Asyncio.ContextsTest do
  # A context with an event loop: names of its own, and calls beside each other.

  use Python.TestCase, async: true

  alias Python.{Context, StoppedError}

  defp context(options \\ []) do
    {:ok, context} = Context.start_link([engine: :asyncio, timeout: 20_000] ++ options)
    context
  end

  test "it has a loop and names of its own" do
    [one, other] = [context(), context(init: "import asyncio\nawait asyncio.sleep(0)\nx = 1")]

    Python.exec!(
      "import asyncio\nx = 5\nasync def f(y):\n    await asyncio.sleep(0.01)\n    return x + y",
      context: one
    )

    assert Python.call(:__main__, :f, [1], context: one) == {:ok, 6}
    assert Python.eval("await f(2)", %{}, context: one) == {:ok, 7}
    assert Python.eval("x", %{}, context: other) == {:ok, 1}
    assert {:error, %Python.Error{type: "NameError"}} = Python.eval("f", %{}, context: other)
    loop = "id(asyncio.get_running_loop())"
    assert Python.eval!(loop, %{}, context: one) == Python.eval!(loop, %{}, context: one)
    assert Python.eval!(loop, %{}, context: one) != Python.eval!(loop, %{}, context: other)
  end

  test "its calls go on beside each other" do
    context = context()
    calls = for n <- 1..50, do: Python.call_async(:asyncio, :sleep, [0.1, n], context: context)
    {time, results} = timed(fn -> Enum.map(calls, &Python.await/1) end)
    assert results == for(n <- 1..50, do: {:ok, n})
    assert time < 4_000
  end

  test "messages that are sent to it are received by its calls" do
    context = context()
    Python.exec!("async def receives(): return await erlang.areceive()", context: context)
    call = Python.call_async(:__main__, :receives, [], context: context)
    Python.send(context, {:hello, 1})
    assert Python.await(call) == {:ok, {"hello", 1}}
  end

  test "handles, streams and bodies of with are at home there" do
    context = context()

    Python.exec!(
      """
      class Session:
          def __init__(self): self.log = []
          async def get(self, n): return n
          async def items(self):
              for n in range(3): yield n
          async def __aenter__(self): self.log.append("in"); return self
          async def __aexit__(self, *error): self.log.append("out")
      """,
      context: context
    )

    session = Python.call!(:__main__, :Session, [], context: context)
    assert Python.call(session, :get, [3]) == {:ok, 3}
    assert Enum.to_list(Python.stream(session, :items, [])) == [0, 1, 2]
    assert Python.with(session, &Python.call!(&1, :get, [4])) == 4
    assert Python.getattr(session, :log) == {:ok, ["in", "out"]}
  end

  test "its end cancels what runs" do
    context = context()

    Python.exec!(
      """
      import asyncio, builtins
      async def waits():
          try:
              await asyncio.sleep(60)
          finally:
              builtins.asyncio_context_ended = True
      """,
      context: context
    )

    call = Python.call_async(:__main__, :waits, [], context: context)
    Python.eval!("await asyncio.sleep(0.01)", %{}, context: context)
    assert Context.stop(context) == :ok
    assert {:error, %StoppedError{}} = Python.await(call)
    assert Python.eval("__import__('builtins').asyncio_context_ended") == {:ok, true}
    assert {:error, %StoppedError{}} = Python.eval("1", %{}, context: context)
  end
end
