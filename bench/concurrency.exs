Code.require_file("support/suite.exs", __DIR__)

defmodule Bench.Concurrency do
  @moduledoc false

  # Calls that wait at the same time, and what the VM's own processes notice of busy Python code.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.{Busy, Floors, Measure}

  @sleepers 64

  # In ms
  @nap 50

  # Python's own switch interval, in s.
  @rarely 0.005

  def run, do: sleepers() ++ responsiveness()

  defp sleepers do
    {:ok, pool} = Python.Pool.start_link(name: Bench.Sleepers, size: @sleepers)
    Measure.check(@sleepers, fn -> sleep_all() end)
    Measure.check(@sleepers, fn -> on_new_pool(fn -> sleep_all(Bench.Growing) end) end)

    times =
      Measure.rounds(size(15, 1),
        all: fn -> Measure.time(&sleep_all/0) end,
        growing: fn ->
          on_new_pool(fn -> Measure.time(fn -> sleep_all(Bench.Growing) end) end)
        end,
        one: fn -> Python.call!(:bench_work, :time_sleep, [@nap / 1000]) end
      )

    Supervisor.stop(pool)

    [
      line(
        work: "64 × time.sleep(0.05) on a pool of 64",
        unit: "ms",
        figures: times.all,
        floors: times.one,
        floor_name: "time.sleep(0.05) inside Python",
        target: {:at_most, 1.15 * @nap}
      ),
      line(
        work: "64 × time.sleep(0.05) on a new pool of the default size, which grows",
        unit: "ms",
        figures: times.growing,
        floors: times.one,
        floor_name: "time.sleep(0.05) inside Python",
        target: {:at_most, 2.4 * @nap}
      )
    ]
  end

  # As the default pool is when it has not grown yet.
  defp on_new_pool(fun) do
    {:ok, pool} = Python.Pool.start_link(name: Bench.Growing)
    result = fun.()
    Supervisor.stop(pool)
    result
  end

  # Returns how many slept.
  defp sleep_all(pool \\ Bench.Sleepers) do
    sleeping =
      for _ <- 1..@sleepers do
        spawn_monitor(fn ->
          {:ok, nil} = Python.call(:time, :sleep, [@nap / 1000], pool: pool)
        end)
      end

    for {pid, monitor} <- sleeping do
      receive(do: ({:DOWN, ^monitor, :process, ^pid, :normal} -> :ok))
    end
    |> length()
  end

  defp responsiveness do
    Measure.check(1.0, fn -> Busy.while_calls(fn -> 1.0 end) end)
    window = size(300, 30)
    echo = Floors.echo()
    timers = fn -> Floors.timer_lateness(window) end

    calls = fn ->
      sqrt = fn -> {:ok, 4.0} = Python.call(:math, :sqrt, [16]) end
      Measure.singles(sqrt, size(100, 3))
    end

    pings = fn ->
      Measure.percentile(Measure.singles(fn -> Floors.ping(echo) end, size(50_000, 5_000)), 99)
    end

    times =
      Measure.rounds(size(11, 1),
        idle_timers: timers,
        busy_timers: fn -> Busy.while_calls(timers) end,
        rare_timers: fn -> with_interval(@rarely, fn -> Busy.while_calls(timers) end) end,
        idle_pings: pings,
        busy_pings: fn -> Busy.while_calls(pings) end,
        busy_call: fn -> Busy.while_calls(calls) end,
        rare_call: fn -> with_interval(@rarely, fn -> Busy.while_calls(calls) end) end
      )

    send(echo, :stop)

    [
      line(
        work: "lateness of timers under 8 busy Python calls, p99",
        unit: "ms",
        figures: times.busy_timers,
        floors: times.idle_timers,
        floor_name: "the same, VM idle",
        target: {:ratio, 2}
      ),
      line(
        work: "the same with Python's own switch interval of 5 ms",
        unit: "ms",
        figures: times.rare_timers,
        floors: times.idle_timers,
        floor_name: "the same, VM idle"
      ),
      line(
        work: "call math.sqrt under 8 busy Python calls",
        unit: "ms",
        figures: Enum.map(times.busy_call, &Measure.median/1),
        p99: Enum.map(times.busy_call, &Measure.percentile(&1, 99)),
        floors: Enum.map(times.rare_call, &Measure.median/1),
        floor_name: "the same with Python's own switch interval of 5 ms",
        target: {:at_most, 0.7}
      ),
      line(
        work: "message to a process and back under 8 busy Python calls, p99",
        unit: "µs",
        figures: times.busy_pings,
        floors: times.idle_pings,
        floor_name: "the same, VM idle",
        target: {:ratio, 2}
      )
    ]
  end

  defp with_interval(seconds, run) do
    usual = Python.call!(:sys, :getswitchinterval)
    nil = Python.call!(:sys, :setswitchinterval, [seconds])
    result = run.()
    nil = Python.call!(:sys, :setswitchinterval, [usual])
    result
  end
end

Bench.Suite.run(Bench.Concurrency)
