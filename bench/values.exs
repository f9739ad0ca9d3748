Code.require_file("support/suite.exs", __DIR__)

defmodule Bench.Values do
  @moduledoc false

  # Values there and back, by a call of a Python function that returns its argument. Each sample is
  # taken in a process of its own, as big values are garbage afterwards.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.{Floors, Measure, Samples}

  @megabyte 1_000_000
  @etf "external term format, both ways"

  def run do
    shapes() ++ bytes() ++ buffers()
  end

  defp identity(value), do: Python.call!(:bench_work, :identity, [value])

  defp shapes do
    values = Samples.all()
    for {_name, value} <- values, do: Measure.check(value, fn -> identity(value) end)

    subjects =
      for {name, value} <- values,
          {kind, run} <- [
            python: fn -> identity(value) end,
            floor: fn -> Floors.external_term_format(value) end
          ] do
        {{name, kind}, fn -> Measure.once(run) end}
      end

    times = Measure.rounds(size(31, 2), subjects)

    for {name, work, most} <- [
          {:ints, "list of 100,000 ints, there and back", 4.5},
          {:map, "map of 10,000 string keys, there and back", 2.5},
          {:document, "nested document of 1 MB, there and back", 4}
        ] do
      line(
        work: work,
        unit: "ms",
        figures: times[{name, :python}],
        floors: times[{name, :floor}],
        floor_name: @etf,
        target: {:ratio, most}
      )
    end
  end

  defp bytes do
    # Not UTF-8, so that it is bytes in Python.
    bytes = <<0xFF>> <> :binary.copy(<<0, 1, 2, 3>>, div(@megabyte, 4))
    Measure.check(bytes, fn -> identity(bytes) end)

    times =
      Measure.rounds(size(51, 2),
        python: fn -> Measure.once(fn -> identity(bytes) end) end,
        floor: fn -> Measure.once(fn -> Floors.copy(bytes) end) end
      )

    [
      line(
        work: "1 MB of bytes, there and back",
        unit: "µs",
        figures: times.python,
        floors: times.floor,
        floor_name: "one copy",
        target: {:ratio, 1}
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
