Code.require_file("support/suite.exs", __DIR__)

defmodule Bench.Map do
  @moduledoc false

  # Many tiny calls in one crossing, against the same calls made by a loop inside Python.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.Measure

  @calls 10_000

  def run do
    calls = for number <- 1..@calls, do: [number * 1.0]
    roots = for [number] <- calls, do: :math.sqrt(number)
    Measure.check({:ok, roots}, fn -> Python.map(:math, :sqrt, calls) end)

    sqrt = Python.getattr!(Python.import!(:math), :sqrt)
    inside = fn -> Python.call!(:bench_work, :time_calls, [sqrt, calls]) end

    times =
      Measure.rounds(size(41, 2),
        map: fn -> Measure.once(fn -> {:ok, _} = Python.map(:math, :sqrt, calls) end) end,
        inside: inside
      )

    per_call = fn name -> Enum.map(times[name], &(&1 / @calls)) end

    [
      line(
        work: "map of 10,000 tiny calls, a call above what it costs inside Python",
        unit: "µs",
        figures: Enum.zip_with(per_call.(:map), per_call.(:inside), &(&1 - &2)),
        floors: per_call.(:inside),
        floor_name: "the same calls in a Python loop",
        excess: true,
        target: {:at_most, 0.6}
      )
    ]
  end
end

Bench.Suite.run(Bench.Map)
