Code.require_file("support/suite.exs", __DIR__)
Code.require_file("support/round_trips.exs", __DIR__)

defmodule Bench.Values do
  @moduledoc false

  # Values there and back, by a call of a Python function that returns its argument. Each sample is
  # taken in a process of its own, as big values are garbage afterwards.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.{Floors, Measure, RoundTrips, Samples}

  @megabyte 1_000_000
  @large 10_000_000

  def run do
    shapes() ++ bytes() ++ buffers()
  end

  defp length_of(value), do: Python.call!(:builtins, :len, [value])
  defp identity(value), do: Python.call!(:bench_work, :identity, [value])

  defp shapes do
    RoundTrips.lines(Python.Pool, "",
      ints: {:ratio, 2},
      map: {:ratio, 2.2},
      document: {:ratio, 2.2}
    )
  end

  defp bytes do
    bytes = Samples.megabyte()
    large = :binary.copy(<<7>>, @large)
    Measure.check(bytes, fn -> identity(bytes) end)

    times =
      Measure.rounds(size(51, 2),
        python: fn -> Measure.once(fn -> identity(bytes) end) end,
        floor: fn -> Measure.once(fn -> Floors.copy(bytes) end) end,
        large: fn -> Measure.once(fn -> @large = length_of({:bytes, large}) end) end,
        large_floor: fn -> Measure.once(fn -> Floors.copy(large) end) end
      )

    [
      line(
        work: "1 MB of bytes, there and back",
        unit: "µs",
        figures: times.python,
        floors: times.floor,
        floor_name: "one copy",
        target: {:ratio, 1.2}
      ),
      line(
        work: "10 MB of bytes in, their length back",
        unit: "µs",
        figures: times.large,
        floors: times.large_floor,
        floor_name: "one copy",
        target: {:ratio, 1.2}
      )
    ]
  end

  defp buffers do
    big = :binary.copy(<<7>>, 100 * @megabyte)
    length = fn value -> {:ok, _} = Python.call(:builtins, :len, [value]) end
    Measure.check({:ok, 100 * @megabyte}, fn -> length.(Python.buffer(big)) end)
    Measure.check({:ok, 4.0}, fn -> Python.call(:math, :sqrt, [16]) end)

    times =
      Measure.rounds(
        size(15, 2),
        for {name, run} <- [
              buffer: fn -> length.(Python.buffer(big)) end,
              tiny: fn -> Python.call(:math, :sqrt, [16]) end
            ] do
          {name, fn -> Measure.batches(run, size(20, 3), 100) end}
        end
      )

    [
      line(
        work: "100 MB binary by Python.buffer, len() back",
        unit: "µs",
        figures: times.buffer,
        floors: times.tiny,
        floor_name: "call math.sqrt",
        target: {:ratio, 2}
      )
    ]
  end
end

Bench.Suite.run(Bench.Values)
