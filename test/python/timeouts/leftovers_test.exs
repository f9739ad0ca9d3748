defmodule Python.Timeouts.LeftoversTest do
  # Alone: an interrupt that is pending changes how all code runs, up to Python 3.12.
  use Python.EngineCase

  alias Python.TimeoutError

  # So that the interrupt is pending when the C function ends.
  defp time_out_in_c(options) do
    options = Keyword.merge([timeout: 100], options)
    assert {:error, %TimeoutError{}} = Python.call(:time, :sleep, [0.3], options)
  end

  defp a_context do
    context = start_context()
    # All on one thread.
    [context: context, timeout: 20_000]
  end

  @profiled "__import__('cProfile').Profile().runcall(lambda: sum(i for i in range(1000)))"

  describe "after a timeout in a C function, on the same thread," do
    test "code can be profiled" do
      options = a_context()
      time_out_in_c(context: options[:context])
      assert Python.eval(@profiled, options) == {:ok, 499_500}
    end

    test "code can be traced" do
      options = a_context()
      time_out_in_c(context: options[:context])

      Python.exec!(
        """
        import sys
        seen = []
        def trace(frame, event, arg):
            seen.append(event)
            return trace
        def traced():
            total = 0
            for i in range(3):
                total += i
            return total
        sys.settrace(trace)
        try:
            result = traced()
        finally:
            sys.settrace(None)
        """,
        options
      )

      assert Python.eval("(result, seen.count('line') > 6)", options) == {:ok, {3, true}}
    end

    # Up to 3.10 no documented function keeps them out of code of ours, in which the interrupt strikes.
    # In a process the sleep itself is interrupted, and the interrupt may strike in these functions: Python removes them.
    @tag native: :layouts, engine: :main
    test "a profile and a trace function that were left on go on" do
      options = a_context()

      Python.exec!(
        """
        import sys
        profiled, traced = [], []
        def profile(frame, event, arg):
            if frame.f_code is f.__code__:
                profiled.append(event)
        def trace(frame, event, arg):
            if frame.f_code is f.__code__:
                traced.append(event)
        def f():
            return 1
        sys.settrace(trace)
        sys.setprofile(profile)
        """,
        options
      )

      for _ <- 1..3, do: time_out_in_c(context: options[:context])
      assert Python.eval("f()", options) == {:ok, 1}

      assert Python.eval("sys.getprofile() is profile and sys.gettrace() is trace", options) ==
               {:ok, true}

      Python.exec!("sys.setprofile(None)\nsys.settrace(None)", options)
      assert Python.eval("(profiled, traced)", options) == {:ok, {["call", "return"], ["call"]}}
    end

    test "the next code is not interrupted" do
      options = a_context()

      for _ <- 1..3 do
        time_out_in_c(context: options[:context])
        assert Python.eval("sum(i for i in range(100_000))", options) == {:ok, 4_999_950_000}
      end
    end
  end

  # One thread more of the same interpreter: a process has one main thread, and is ended if it does not come back.
  describe "while a call that has timed out blocks in a C function" do
    @describetag engine: :main
    test "code can be profiled on other threads" do
      {read, write} = Python.call!(:os, :pipe)
      pool = start_pool()
      blocked = [read, 1]

      assert {:error, %TimeoutError{}} =
               Python.call(:os, :read, blocked, pool: pool, timeout: 100)

      for _ <- 1..3 do
        assert Python.eval(@profiled, pool: pool, timeout: 20_000) == {:ok, 499_500}
      end

      Python.call!(:os, :write, [write, {:bytes, "x"}])
      eventually_idle(pool)
      for end_ <- [read, write], do: Python.call!(:os, :close, [end_])
    end
  end

  describe "an interrupt that comes too late" do
    @tag blocks: "a plain function waits for Elixir"
    test "for a call of a callback does not hit the code that called Elixir" do
      pool = start_pool(size: 1)
      name = define("def NAME(f):\n    return [f() for _ in range(3)] + [sum(range(100_000))]")

      sleep = fn ->
        assert {:error, %TimeoutError{}} =
                 Python.call(:time, :sleep, [0.15], pool: pool, timeout: 30)

        :slept
      end

      assert Python.call(:__main__, name, [sleep], pool: pool, timeout: 20_000) ==
               {:ok, ["slept", "slept", "slept", 4_999_950_000]}
    end

    test "for a call that has no stack left does not hit the next" do
      options = a_context()

      # Each level sleeps on its way back, with nothing of the stack left at first.
      Python.exec!(
        """
        import time
        def deep():
            try:
                deep()
            except RecursionError:
                time.sleep(0.3)
        """,
        options
      )

      assert {:error, %TimeoutError{}} =
               Python.call(:__main__, :deep, [], context: options[:context], timeout: 100)

      assert Python.eval("sum(i for i in range(100_000))", options) == {:ok, 4_999_950_000}
    end
  end
end
