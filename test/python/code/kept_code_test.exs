defmodule Python.Code.KeptCodeTest do
  # What is kept of code that was run. Alone: it counts what Python keeps.
  use Python.EngineCase

  # The first time fills what is kept on purpose. What is kept may go up and down by `slack` blocks.
  defp assert_bounded(count, slack, fun) do
    run = fn from -> elsewhere(fn -> Enum.each(from..(from + count), fun) end) end
    run.(1)
    before = blocks()
    run.(10_000_000)
    eventually("Python keeps no more than before", fn -> blocks() - before < slack end)
  end

  # Runs in a process of its own, whose heap goes with it.
  defp elsewhere(fun), do: fun |> Task.async() |> Task.await(:infinity)

  # Without the lines of code that is gone, which stay until a sweep. When the next one comes depends on what other
  # tests have kept; `pieces` says that it does come.
  defp blocks do
    {total, alive, blocks} =
      Python.eval!("""
      (lambda gc, sys, lines: (
          gc.collect(), sum(map(len, lines._pieces.values())), lines._sweep(),
          sum(map(len, lines._pieces.values())))[1::2] + (sys.getallocatedblocks(),)
      )(__import__('gc'), __import__('sys'), __import__('erlang._lines')._lines)
      """)

    # As many again as were alive at the last sweep: the kept code, and that of others.
    assert total <= 2 * (alive + 1_024) + 256
    blocks
  end

  describe "what is kept of code" do
    test "is bounded, however many different texts there are" do
      assert_bounded(times(6_000, 100_000), 12_000, fn n -> Python.eval!("#{n} + x", %{x: n}) end)
    end

    test "is bounded, however many different names are called" do
      name = define("class NAME:\n    def __getattr__(self, name): return int")
      object = Python.call!(:__main__, name)

      assert_bounded(times(20_000, 400_000), 2_000, fn n ->
        {:ok, 0} = Python.call(object, "f#{n}")
        {:ok, 0} = Python.call(object, :f, [], kwargs: %{})
        {:error, _} = if rem(n, 20) == 0, do: Python.call("no_such_#{n}", "f"), else: {:error, 0}
      end)
    end

    test "does not mix up texts that run as an expression and as statements" do
      assert Python.eval("1") == {:ok, 1}
      assert Python.exec("1") == :ok
      assert Python.eval("1") == {:ok, 1}
    end

    test "does not mix up variables that are named differently" do
      assert Python.eval("a_", %{a_: 1, b_: 2}) == {:ok, 1}
      assert Python.eval("a_", %{b_: 1, a_: 2}) == {:ok, 2}
      assert {:error, %{type: "NameError"}} = Python.eval("a_", %{b_: 1})
      assert {:error, %{type: "NameError"}} = Python.eval("a_")
    end
  end
end
