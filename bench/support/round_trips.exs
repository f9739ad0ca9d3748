defmodule Bench.RoundTrips do
  @moduledoc false

  # Values that cross, there and back.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.{Floors, Measure, Samples}

  @names [
    ints: "list of 100,000 ints",
    map: "map of 10,000 string keys",
    document: "nested document of 1 MB"
  ]

  @doc "Measures them in a pool, by a call of a function that returns its argument: a line each, with its target."
  def lines(pool, prefix, targets) do
    identity = fn value -> Python.call!(:bench_work, :identity, [value], pool: pool) end
    values = [ints: Samples.ints(), map: Samples.string_keys(), document: Samples.document()]
    for {_name, value} <- values, do: Measure.check(value, fn -> identity.(value) end)

    subjects =
      for {name, value} <- values,
          {kind, run} <- [
            python: fn -> identity.(value) end,
            floor: fn -> Floors.external_term_format(value) end
          ] do
        {{name, kind}, fn -> Measure.once(run) end}
      end

    times = Measure.rounds(size(31, 2), subjects)

    for {name, work} <- @names do
      line(
        work: "#{prefix}#{work}, there and back",
        unit: "ms",
        figures: times[{name, :python}],
        floors: times[{name, :floor}],
        floor_name: "external term format, both ways",
        target: targets[name]
      )
    end
  end
end
