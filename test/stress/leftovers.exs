# `mix run --no-compile test/stress/leftovers.exs [TIMES]` in the environment `test`: kills a VM whose Python processes
# are at all that could be left behind, and tells what is left.
times = System.argv() |> List.first("20") |> String.to_integer()

failed =
  Enum.count(1..times, fn time ->
    begun = System.monotonic_time(:millisecond)
    left = Python.Leftovers.left(:kill)
    ms = System.monotonic_time(:millisecond) - begun
    IO.puts("#{time}: #{length(left)} processes left (#{ms} ms in all)")
    for line <- left, do: IO.puts("    " <> line)
    left != []
  end)

IO.puts("#{times - failed} of #{times} times nothing was left")
if failed > 0, do: System.halt(1)
