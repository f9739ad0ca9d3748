Code.require_file("support/suite.exs", __DIR__)

defmodule Bench.Streams do
  @moduledoc false

  # A fast generator, whose items cross many at a time, and a slow one, whose items must not wait.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.{Floors, Measure}

  @million 1_000_000

  # In ms: long enough for the schedulers' threads to go to sleep.
  @pause 5

  def run, do: fast() ++ slow() ++ short()

  defp fast do
    sum = div(@million * (@million - 1), 2)
    Measure.check(sum, fn -> Enum.sum(numbers()) end)
    Measure.check(@million, fn -> length(Python.eval!("list(numbers(n))", vars())) end)

    times =
      Measure.rounds(size(11, 1),
        stream: fn -> Measure.once(fn -> @million = Enum.count(numbers()) end) end,
        list: fn -> Measure.once(fn -> Python.eval!("list(numbers(n))", vars()) end) end,
        inside: fn -> Python.call!(:bench_work, :time_list, [@million]) end
      )

    stream =
      line(
        work: "stream of a million ints",
        unit: "ms",
        figures: times.stream,
        floors: times.list,
        floor_name: "list(generator) in Python and its conversion",
        target: {:ratio, 1.2}
      )

    list =
      line(
        work: "list(generator) of a million ints and its conversion",
        unit: "ms",
        figures: times.list,
        floors: times.inside,
        floor_name: "list(generator) alone, inside Python"
      )

    [stream, list]
  end

  defp numbers, do: Python.stream(:bench_work, :numbers, [@million])

  defp vars, do: %{numbers: Python.getattr!(Python.import!(:bench_work), :numbers), n: @million}

  defp slow do
    items = size(40, 5)

    Measure.check(items, fn -> Enum.count(Python.stream(:bench_work, :slow_clock, [items, 0])) end)

    delays =
      Measure.rounds(size(11, 1),
        item: fn ->
          for made <- Python.stream(:bench_work, :slow_clock, [items, @pause / 1000]),
              do: System.os_time(:nanosecond) - made
        end,
        message: fn -> Floors.slow_messages(items, @pause) end
      )

    [
      line(
        work: "slow generator, an item after it was made",
        unit: "ms",
        figures: Enum.map(delays.item, &Measure.median/1),
        p99: Enum.map(delays.item, &Measure.percentile(&1, 99)),
        floors: Enum.map(delays.message, &Measure.median/1),
        floor_name: "a message from a process that sleeps as long",
        target: {:at_most, 1}
      )
    ]
  end

  # Opened, read from a little, and left: what is made ahead, and is not read, costs as well.
  defp short do
    Measure.check([0, 1], &two/0)

    times =
      Measure.rounds(
        size(15, 2),
        for {name, run} <- [
              two: &two/0,
              call: fn -> {:ok, 4.0} = Python.call(:math, :sqrt, [16]) end
            ] do
          {name, fn -> Measure.batches(run, size(20, 3), 100) end}
        end
      )

    [
      line(
        work: "stream of itertools.count: opened, two items taken, halted",
        unit: "µs",
        figures: times.two,
        floors: times.call,
        floor_name: "call math.sqrt",
        target: {:at_most, 40}
      )
    ]
  end

  defp two, do: Enum.take(Python.stream(:itertools, :count), 2)
end

Bench.Suite.run(Bench.Streams)
