defmodule Python.Timeouts.TimeLeftTest do
  # How long code has that a function of Elixir's calls, which Python has called.
  use Python.EngineCase, async: true

  alias Python.{StoppedError, TimeoutError}

  defp left(options), do: Python.eval!("erlang.time_left()", %{}, options)

  # Calls back, which calls again, with these timeouts, and asks innermost.
  defp nested([timeout]), do: left(timeout: timeout)

  defp nested([timeout | inner]) do
    Python.eval!("f()", %{f: fn -> nested(inner) end}, timeout: timeout)
  end

  test "is the least of what all calls have that it is nested in" do
    for {timeouts, least} <- [
          {[20_000, 60_000], 20.0},
          {[60_000, 20_000], 20.0},
          {[20_000, :infinity], 20.0},
          {[:infinity, 20_000], 20.0},
          {[20_000, 60_000, 50_000], 20.0},
          {[60_000, 20_000, 50_000], 20.0},
          {[60_000, 50_000, 20_000], 20.0},
          {[20_000, :infinity, :infinity], 20.0},
          {[:infinity, 20_000, :infinity], 20.0}
        ] do
      left = nested(timeouts)
      # It was just made.
      assert left <= least and left > least - 15.0, inspect({timeouts, left})
    end

    assert nested([:infinity, :infinity]) == nil
  end

  @tag blocks: "a plain function waits for Elixir"
  test "in whatever way the call is made" do
    name = unique("left")
    Python.register(name, fn -> left(timeout: 60_000) end)
    pool = start_pool(size: 1)
    context = start_context()

    object =
      Python.eval!("type('T', (), {'left': staticmethod(erlang.time_left)})", %{}, return: :object)

    ways = [
      fn -> left(timeout: 60_000) end,
      fn -> left(timeout: 60_000, pool: pool) end,
      fn -> left(timeout: 60_000, context: context) end,
      fn -> left([]) end,
      fn ->
        Python.await(Python.eval_async("erlang.time_left()", %{}, timeout: 60_000)) |> elem(1)
      end,
      fn -> Python.call!(object, :left, [], timeout: 60_000) end,
      fn ->
        {:ok, [left]} = Python.map(object, :left, [[]], timeout: 60_000)
        left
      end,
      fn -> Python.eval!("erlang.#{name}()", %{}, timeout: 60_000) end,
      fn ->
        Python.with(
          Python.eval!("__import__('contextlib').nullcontext()", %{}, return: :object),
          fn _ -> left(timeout: 60_000) end,
          timeout: 50_000
        )
      end
    ]

    for {way, at} <- Enum.with_index(ways) do
      left = Python.eval!("f()", %{f: way}, timeout: 20_000)
      assert left <= 20.0 and left > 5.0, inspect({at, left})
    end

    # From a thread that Python has started.
    code = """
    import threading
    def NAME(f):
        seen = []
        thread = threading.Thread(target=lambda: seen.append(f()))
        thread.start()
        thread.join()
        return seen[0]
    """

    threaded = define(code)
    left = Python.call!(:__main__, threaded, [fn -> left(timeout: 60_000) end], timeout: 20_000)
    assert left <= 20.0 and left > 5.0
    Python.unregister(name)
  end

  test "the body of a with has what the with has" do
    manager = Python.eval!("__import__('contextlib').nullcontext()", %{}, return: :object)
    left = Python.with(manager, fn _ -> left(timeout: 60_000) end, timeout: 20_000)
    assert left <= 20.0 and left > 5.0
  end

  test "afterwards, and elsewhere, a call has its own" do
    assert nested([5_000, 60_000]) <= 5.0
    left = left(timeout: 60_000)
    assert left > 30.0

    # A process that the callback asks knows nothing of it.
    {:ok, agent} = Agent.start_link(fn -> nil end)
    ask = fn -> Agent.get(agent, fn _ -> left(timeout: 60_000) end) end
    pool = start_pool(size: 2)
    assert Python.eval!("f()", %{f: ask}, timeout: 20_000, pool: pool) > 30.0
  end

  @tag blocks: "a plain function waits for Elixir"
  test "and the call ends with the one that it is nested in, whatever it has itself" do
    test = self()
    pool = start_pool(size: 1)

    for inner <- [[timeout: 60_000], [timeout: :infinity], [timeout: 60_000, pool: pool]] do
      function = fn ->
        send(test, {:inner, Python.exec("while True: pass", inner)})
        1
      end

      # Long enough for the function to be called.
      assert {:error, %TimeoutError{timeout: 1_000}} =
               Python.eval("f()", %{f: function}, timeout: 1_000)

      assert_receive {:inner, {:error, %StoppedError{reason: :outer_ended}}}, 20_000
    end

    # Nothing is at work for it any more.
    eventually("the pool is at rest", fn -> Python.Pool.stats(pool).busy == 0 end, 10_000)

    # The sooner end is its own.
    function = fn ->
      {:error, %TimeoutError{timeout: 100}} = Python.exec("while True: pass", timeout: 100)
      1
    end

    assert Python.eval("f()", %{f: function}, timeout: 60_000) == {:ok, 1}
  end

  @tag blocks: "a plain function waits for Elixir"
  test "is nothing once the outer call was cancelled" do
    test = self()
    begun = unique("begun")
    told = unique("told")
    Python.register(begun, fn -> send(test, :begun) && nil end)
    Python.register(told, fn left -> send(test, {:left, left}) && nil end)

    code = """
    import time
    def NAME():
        before = erlang.time_left()
        try:
            erlang.#{begun}()
            while True:
                time.sleep(0.01)
        finally:
            erlang.#{told}([before, erlang.time_left()])
    """

    inner = define(code)
    function = fn -> Python.call(:__main__, inner, [], timeout: 60_000) end
    async = Python.eval_async("f()", %{f: function}, timeout: 60_000)
    assert_receive :begun, 20_000
    Python.cancel(async)
    assert_receive {:left, [before, after_cancelled]}, 20_000
    assert before > 30.0
    assert after_cancelled == 0.0
  end
end
