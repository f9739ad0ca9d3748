Code.require_file("support/suite.exs", __DIR__)

defmodule Bench.Asyncio do
  @moduledoc false

  # The engine :asyncio: calls that wait, on one loop, beside the same inside Python and on :main.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.Measure

  @loop Bench.Loop

  # For callers that only wait.
  @timeout 120_000

  def run do
    {:ok, pool} = Python.Pool.start_link(name: @loop, engine: :asyncio, max_queue: 20_000)
    Python.exec!("import bench_loops")
    Measure.check({:ok, nil}, &await_nothing/0)
    kind = Python.eval!("type(__import__('asyncio').get_running_loop()).__module__", pool: @loop)
    IO.puts("  the loop is #{if kind =~ "uvloop", do: "uvloop's", else: "asyncio's own"}")

    lines = nothing() ++ sleeps() ++ rates() ++ elixir() ++ cancelled() ++ killed()

    Supervisor.stop(pool)
    lines
  end

  defp await_nothing, do: Python.call(:bench_loops, :nothing, [], pool: @loop)
  defp tiny, do: Python.call(:math, :sqrt, [16])

  defp nothing do
    # Each timed alone: its median is what a caller sees.
    median = fn run ->
      fn -> Measure.percentile(Measure.singles(run, size(1_000, 50)), 50) end
    end

    times =
      Measure.rounds(size(21, 2),
        await: median.(&await_nothing/0),
        run: median.(fn -> {:ok, nil} = Python.call(:bench_loops, :run_nothing) end),
        tiny: median.(&tiny/0),
        plain: median.(fn -> {:ok, 4.0} = Python.call(:math, :sqrt, [16], pool: @loop) end)
      )

    [
      line(
        work: "asyncio: an awaited no-op, against asyncio.run in a call",
        unit: "µs",
        figures: times.await,
        floors: times.run,
        floor_name: "asyncio.run in a call on :main",
        target: {:ratio, 0.35}
      ),
      line(
        work: "asyncio: an awaited no-op, against a tiny call",
        unit: "µs",
        figures: times.await,
        floors: times.tiny,
        floor_name: "call math.sqrt on :main",
        target: {:ratio, 12}
      ),
      line(
        work: "asyncio: call math.sqrt, each timed alone",
        unit: "µs",
        figures: times.plain,
        floors: times.tiny,
        floor_name: "the same on :main"
      )
    ]
  end

  defp sleeps do
    for {count, target, rounds} <- [{size(1_000, 100), 1.15, 11}, {size(10_000, 200), 1.6, 7}] do
      times =
        Measure.rounds(size(rounds, 1),
          calls: fn -> Measure.at_once(count, fn -> sleep(0.1) end) end,
          gather: fn ->
            Python.call!(:bench_loops, :time_gather, [count, 0.1], timeout: @timeout)
          end
        )

      line(
        work: "asyncio: #{Bench.Line.number(count)} × asyncio.sleep(0.1) from as many processes",
        unit: "ms",
        figures: times.calls,
        floors: times.gather,
        floor_name: "one gather inside Python",
        target: {:ratio, target}
      )
    end
  end

  defp sleep(seconds) do
    {:ok, true} = Python.call(:bench_loops, :sleep, [seconds], pool: @loop, timeout: @timeout)
  end

  defp rates do
    calls = size(30_000, 1_000)

    rates =
      Measure.rounds(size(11, 1),
        awaits: fn -> Measure.throughput(&await_nothing/0, 64, calls) end,
        plain: fn -> Measure.throughput(&tiny/0, 64, calls) end
      )

    # Of plain calls a second, as many as awaits: a rate's ratio is turned around.
    [
      line(
        work: "asyncio: awaits of 64 callers",
        unit: "calls/s",
        figures: rates.awaits,
        floors: rates.plain,
        floor_name: "calls of math.sqrt on :main",
        target: {:at_least, 0.4 * Measure.median(rates.plain)}
      )
    ]
  end

  defp elixir do
    trips = size(1_000, 50)
    add = fn number -> number + 1 end

    ask = fn name ->
      fn ->
        Python.call!(:bench_loops, name, [add, trips], pool: @loop, timeout: @timeout)
      end
    end

    times = Measure.rounds(size(11, 1), acall: ask.(:await_elixir), executor: ask.(:in_executor))

    [
      line(
        work: "asyncio: await of an Elixir function",
        unit: "µs",
        figures: times.acall,
        floors: times.executor,
        floor_name: "the same through run_in_executor",
        target: {:ratio, 0.5}
      )
    ]
  end

  # How long after the deadline the finally block of a call runs.
  defp cancelled do
    late =
      for number <- 1..size(100, 5) do
        deadline = System.os_time(:nanosecond) + 20_000_000

        {:error, %Python.TimeoutError{}} =
          Python.call(:bench_loops, :wait_to_be_cancelled, [number], pool: @loop, timeout: 20)

        ended(number, 500) - deadline
      end

    [
      line(
        work: "asyncio: the finally block of a cancelled task, after the deadline",
        unit: "ms",
        figures: late,
        p99: [Measure.percentile(late, 99)],
        target: {:at_most, 50}
      )
    ]
  end

  defp ended(number, tries) do
    cond do
      time = Python.call!(:bench_loops, :ended, [number]) -> time
      tries == 0 -> raise "the finally block did not run"
      true -> Process.sleep(2) && ended(number, tries - 1)
    end
  end

  # What killed callers leave: their tasks end, and the memory is as before.
  defp killed do
    count = size(10_000, 500)
    # What the VM and Python keep for the next ones.
    for _ <- 1..size(10, 1), do: kill(count)
    runs = for _ <- 1..size(20, 2), do: {kill(count), resident()}
    {times, residents} = Enum.unzip(runs)
    # One look sees what the allocators happen to keep.
    {early, late} = Enum.split(residents, div(length(residents), 2))
    work = "asyncio: #{Bench.Line.number(count)} killed callers"

    [line(work: work <> ", until no task is left", unit: "ms", figures: times)] ++
      if nil in residents do
        []
      else
        [
          line(
            work: work <> ", ten times: how much more memory than in the ten before",
            unit: "MB",
            figures: [max(Measure.median(late) - Measure.median(early), 0)],
            target: {:at_most, 20}
          )
        ]
      end
  end

  defp kill(count) do
    callers = for _ <- 1..count, do: spawn(fn -> sleep(1_000) end)
    eventually(fn -> Python.Pool.stats(@loop).busy >= count end)
    for pid <- callers, do: Process.exit(pid, :kill)

    Measure.time(fn ->
      eventually(fn -> tasks() == 0 and Python.Pool.stats(@loop).busy == 0 end)
    end)
  end

  defp resident do
    :erlang.garbage_collect()
    Python.exec!("import gc; gc.collect()")

    # Nil where the system does not tell.
    with {:ok, status} <- File.read("/proc/self/status") do
      [_, kilobytes] = Regex.run(~r/^VmRSS:\s+(\d+) kB/m, status)
      String.to_integer(kilobytes) / 1_024
    else
      _ -> nil
    end
  end

  defp tasks, do: Python.call!(:bench_loops, :tasks, [], pool: @loop, timeout: @timeout)

  defp eventually(condition, tries \\ 6_000) do
    cond do
      condition.() -> :ok
      tries == 0 -> raise "it did not come to rest: #{inspect(Python.Pool.stats(@loop))}"
      true -> Process.sleep(10) && eventually(condition, tries - 1)
    end
  end
end

Bench.Suite.run(Bench.Asyncio)
