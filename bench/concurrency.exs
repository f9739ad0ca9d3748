Code.require_file("support/suite.exs", __DIR__)

defmodule Bench.Concurrency do
  @moduledoc false

  # Calls that wait at the same time, and what the VM's own processes notice of busy Python code.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.{Floors, Measure}

  @sleepers 64
  @busy 8

  # In ms
  @nap 50

  def run, do: sleepers() ++ responsiveness()

  defp sleepers do
    {:ok, pool} = Python.Pool.start_link(name: Bench.Sleepers, size: @sleepers)
    Measure.check(@sleepers, fn -> sleep_all() end)

    times =
      Measure.rounds(size(15, 1),
        all: fn -> Measure.time(&sleep_all/0) end,
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
      )
    ]
  end

  # Returns how many slept.
  defp sleep_all do
    sleeping =
      for _ <- 1..@sleepers do
        spawn_monitor(fn ->
          {:ok, nil} = Python.call(:time, :sleep, [@nap / 1000], pool: Bench.Sleepers)
        end)
      end

    for {pid, monitor} <- sleeping do
      receive(do: ({:DOWN, ^monitor, :process, ^pid, :normal} -> :ok))
    end
    |> length()
  end

  defp responsiveness do
    {:ok, pool} = Python.Pool.start_link(name: Bench.Busy, size: @busy)
    Measure.check(1.0, fn -> while_busy(fn -> 1.0 end) end)
    window = size(300, 30)
    echo = Floors.echo()
    timers = fn -> Floors.timer_lateness(window) end

    pings = fn ->
      Measure.percentile(Measure.singles(fn -> Floors.ping(echo) end, size(50_000, 5_000)), 99)
    end

    times =
      Measure.rounds(size(11, 1),
        idle_timers: timers,
        busy_timers: fn -> while_busy(timers) end,
        idle_pings: pings,
        busy_pings: fn -> while_busy(pings) end
      )

    send(echo, :stop)
    Supervisor.stop(pool)

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
        work: "message to a process and back under 8 busy Python calls, p99",
        unit: "µs",
        figures: times.busy_pings,
        floors: times.idle_pings,
        floor_name: "the same, VM idle",
        target: {:ratio, 2}
      )
    ]
  end

  defp while_busy(run) do
    :ok = start_spinning()
    busy = for _ <- 1..@busy, do: Python.call_async(:bench_work, :spin, [], pool: Bench.Busy)
    await_busy(6_000)
    result = run.()
    {:ok, nil} = Python.call(:bench_work, :stop)
    for call <- busy, do: {:ok, true} = Python.await(call)
    result
  end

  defp start_spinning do
    {:ok, nil} = Python.call(:bench_work, :start)
    :ok
  end

  defp await_busy(0), do: raise("the pool did not get busy")

  defp await_busy(tries) do
    unless Python.Pool.stats(Bench.Busy).busy == @busy do
      Process.sleep(5)
      await_busy(tries - 1)
    end
  end
end

Bench.Suite.run(Bench.Concurrency)
