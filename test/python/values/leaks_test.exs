defmodule Python.Values.LeaksTest do
  # What conversions leave behind: nothing, on either side, whether they succeed or fail. Measured in
  # VMs of their own, before and after so many of each kind (test/support/leaks.ex): bytes that Python
  # has allocated (tracemalloc), objects that its garbage collector knows, references to some of
  # them, the BEAM's memory and that of the process.

  # Alone: it keeps the processors busy, which others measure their times by.
  use Python.TestCase

  alias Python.FreshVM

  @moduletag timeout: :infinity

  test "nothing is left of any kind of conversion" do
    output =
      run("""
      Python.call!(:leaks, :start)
      for kind <- Python.Leaks.kinds(), do: Python.Leaks.measure(kind, #{times(500, 20_000)})
      IO.puts("measured")
      """)

    assert output =~ "measured"
    assert output |> String.split("\n") |> Enum.filter(&(&1 =~ "leak: ")) == []
  end

  test "memory does not grow, of the BEAM nor of the process" do
    count = times(4_000, 100_000)

    output =
      run("""
      Python.Leaks.run(1..#{count})
      before = Python.Leaks.memory()
      Python.Leaks.run(#{count + 1}..#{2 * count})
      IO.inspect({before, Python.Leaks.memory()})
      """)

    {{{beam, process}, {beam_after, process_after}}, _} = Code.eval_string(output)
    assert beam_after - beam < 20
    assert process_after - process < 60
  end

  defp run(code) do
    code = "Python.SupportModules.find()\n" <> code
    assert {output, 0} = FreshVM.run(code, timeout: :timer.hours(2))
    output
  end
end
