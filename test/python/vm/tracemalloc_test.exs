defmodule Python.VM.TracemallocTest do
  use Python.TestCase, async: true

  alias Python.FreshVM

  test "tracing is stopped while threads come into Python" do
    code = """
    Python.exec!(\"\"\"
    import tracemalloc

    def turn():
        tracemalloc.start()
        kept = [bytearray(1000) for _ in range(100)]
        tracemalloc.stop()
        return len(kept)
    \"\"\")

    stop_at = System.monotonic_time(:millisecond) + 2_000
    over? = fn -> System.monotonic_time(:millisecond) > stop_at end

    repeat = fn work ->
      Task.async(fn -> fn -> work.() && over?.() end |> Stream.repeatedly() |> Enum.find(& &1) end)
    end

    turning = repeat.(fn -> 100 = Python.call!(:__main__, :turn) end)

    coming =
      for _ <- 1..4 do
        repeat.(fn ->
          {:ok, context} = Python.Context.start_link()
          {:ok, 2} = Python.eval("1 + 1", context: context)
          :ok = Python.Context.stop(context)
        end)
      end

    Task.await_many([turning | coming], 30_000)
    IO.puts("whole")
    """

    assert {output, 0} = FreshVM.run(code)
    assert output =~ "whole"
  end

  test "a child that was forked stops tracing by itself" do
    code = """
    Python.exec!(\"\"\"
    import os, tracemalloc
    tracemalloc.start()
    child = os.fork()
    if child == 0:
        tracemalloc.stop()
        os._exit(7 if not tracemalloc.is_tracing() else 1)
    _, status = os.waitpid(child, 0)
    tracemalloc.stop()
    \"\"\")
    7 = Python.eval!("os.WEXITSTATUS(status)")
    false = Python.eval!("tracemalloc.is_tracing()")
    IO.puts("whole")
    """

    assert {output, 0} = FreshVM.run(code)
    assert output =~ "whole"
  end
end
