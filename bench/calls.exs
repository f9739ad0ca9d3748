Code.require_file("support/suite.exs", __DIR__)

defmodule Bench.Calls do
  @moduledoc false

  # What a call costs: one after the other, after idle time, and by many callers at once.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.{Floors, Measure}

  @dirty "empty dirty-I/O NIF"

  # Calls a second, by so many callers.
  @rates %{64 => 500_000, 8 => 350_000, 2 => 250_000}

  # In ms. The schedulers' threads have gone to sleep by then.
  @idle 3

  def run do
    Measure.check({:ok, 4.0}, &sqrt/0)
    Measure.check({:ok, 4.0}, &sqrt_infinity/0)

    warm() ++ tails() ++ cold() ++ throughput()
  end

  defp sqrt, do: Python.call(:math, :sqrt, [16])
  defp sqrt_infinity, do: Python.call(:math, :sqrt, [16], timeout: :infinity)

  # In batches: the ratios are of a µs or two, and reading the clock costs a part of that.
  defp warm do
    echo = Floors.echo()

    times =
      Measure.rounds(
        size(21, 2),
        for {name, run} <- [
              nif: &Floors.nif/0,
              dirty: &Floors.dirty/0,
              message: fn -> Floors.ping(echo) end,
              call: &sqrt/0,
              infinity: &sqrt_infinity/0
            ] do
          {name, fn -> Measure.batches(run, size(20, 3), 200) end}
        end
      )

    send(echo, :stop)

    [
      line(
        work: "call math.sqrt, default deadline, warm",
        unit: "µs",
        figures: times.call,
        floors: times.dirty,
        floor_name: @dirty,
        target: {:ratio, 1.8}
      ),
      line(
        work: "call math.sqrt, timeout: :infinity, warm",
        unit: "µs",
        figures: times.infinity,
        floors: times.dirty,
        floor_name: @dirty,
        target: {:ratio, 2}
      ),
      line(work: "an empty NIF", unit: "µs", figures: times.nif),
      line(work: "an empty dirty-I/O NIF", unit: "µs", figures: times.dirty),
      line(work: "a message to a process and back", unit: "µs", figures: times.message)
    ]
  end

  # One by one, for the tail.
  defp tails do
    times =
      Measure.rounds(
        size(15, 2),
        for {name, run} <- [dirty: &Floors.dirty/0, call: &sqrt/0, infinity: &sqrt_infinity/0] do
          {name, fn -> Measure.singles(run, size(2000, 200)) end}
        end
      )

    percentiles = fn name, percent ->
      Enum.map(times[name], &Measure.percentile(&1, percent))
    end

    for {name, work, target} <- [
          {:call, "call math.sqrt, default deadline, each timed alone", {:ratio, 2.5}},
          {:infinity, "call math.sqrt, timeout: :infinity, each timed alone", {:ratio, 2}},
          {:dirty, "an empty dirty-I/O NIF, each timed alone", nil}
        ] do
      line(
        work: work,
        unit: "µs",
        figures: percentiles.(name, 50),
        p99: percentiles.(name, 99),
        floors: percentiles.(:dirty, 50),
        floor_name: @dirty,
        target: target
      )
    end
  end

  defp cold do
    times =
      Measure.rounds(
        size(20, 2),
        for {name, run} <- [dirty: &Floors.dirty/0, call: &sqrt/0, infinity: &sqrt_infinity/0] do
          {name, fn -> Measure.after_idle(run, size(25, 5), @idle) end}
        end
      )

    for {name, work, target} <- [
          {:call, "call math.sqrt, after 3 ms idle", {:ratio, 1.2}},
          {:infinity, "call math.sqrt, timeout: :infinity, after 3 ms idle", nil}
        ] do
      line(
        work: work,
        unit: "µs",
        figures: Enum.map(times[name], &Measure.median/1),
        p99: Enum.map(times[name], &Measure.percentile(&1, 99)),
        floors: Enum.map(times.dirty, &Measure.median/1),
        floor_name: "cold " <> @dirty,
        target: target
      )
    end
  end

  defp throughput do
    calls = size(30_000, 2_000)

    subjects =
      for callers <- [1, 2, 8, 64],
          {name, run} <- [
            dirty: &Floors.dirty/0,
            call: fn -> {:ok, 4.0} = sqrt() end,
            infinity: fn -> {:ok, 4.0} = sqrt_infinity() end
          ] do
        {{name, callers}, fn -> Measure.throughput(run, callers, calls) end}
      end

    rates = Measure.rounds(size(7, 1), subjects)

    against_8 =
      line(
        work: "64 callers against 8 callers, default deadline",
        unit: "×",
        figures: Enum.zip_with(rates[{:call, 64}], rates[{:call, 8}], &(&1 / &2)),
        target: {:at_least, 0.8}
      )

    rows =
      for callers <- [64, 8, 2, 1],
          {name, deadline} <- [call: "default deadline", infinity: "timeout: :infinity"] do
        line(
          work:
            "calls of #{callers} #{if callers == 1, do: "caller", else: "callers"}, #{deadline}",
          unit: "calls/s",
          figures: rates[{name, callers}],
          floors: rates[{:dirty, callers}],
          floor_name: "#{@dirty}, as many callers",
          target: target(name, @rates[callers])
        )
      end

    [hd(rows), against_8 | tl(rows)]
  end

  defp target(:call, rate) when rate != nil, do: {:at_least, rate}
  defp target(_name, _rate), do: nil
end

Bench.Suite.run(Bench.Calls)
