Code.require_file("support/suite.exs", __DIR__)
Code.require_file("support/round_trips.exs", __DIR__)

defmodule Bench.Processes do
  @moduledoc false

  # The engine :process beside :main: the same work on both in turn, and what only processes can do.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.{Floors, Measure, RoundTrips}

  @one Bench.One
  @two Bench.Two
  @main_two Bench.MainTwo
  @spare Bench.Spare

  @dirty "empty dirty-I/O NIF"
  @main "the same on :main"

  @idle 3
  @megabyte 1_000_000

  def run do
    pools = [start(@one, 1), start(@two, 2), start_main(@main_two, 2)]

    lines =
      warm() ++
        cold() ++
        throughput() ++
        values() ++
        bytes() ++ parallel() ++ streams() ++ callbacks() ++ deaths() ++ interrupts()

    for pool <- pools, do: Supervisor.stop(pool)
    lines ++ starts() ++ preloaded()
  end

  defp start(name, size, options \\ []) do
    {:ok, pool} =
      Python.Pool.start_link(
        [
          name: name,
          size: size,
          engine: :process,
          env: %{"PYTHONPATH" => Path.join(__DIR__, "support")}
        ] ++
          options
      )

    Measure.check({:ok, 4.0}, fn -> sqrt(name) end)
    pool
  end

  defp start_main(name, size) do
    {:ok, pool} = Python.Pool.start_link(name: name, size: size)
    pool
  end

  defp sqrt(pool), do: Python.call(:math, :sqrt, [16], pool: pool)
  defp sqrt, do: Python.call(:math, :sqrt, [16])

  # In batches, and one by one.
  defp warm do
    batch = fn run -> fn -> Measure.batches(run, size(20, 3), 200) end end
    single = fn run -> fn -> Measure.singles(run, size(2000, 200)) end end

    times =
      Measure.rounds(size(21, 2),
        dirty: batch.(&Floors.dirty/0),
        main: batch.(&sqrt/0),
        process: batch.(fn -> sqrt(@one) end),
        dirty_single: single.(&Floors.dirty/0),
        main_single: single.(&sqrt/0),
        process_single: single.(fn -> sqrt(@one) end)
      )

    at = fn name, percent -> Enum.map(times[name], &Measure.percentile(&1, percent)) end

    [
      line(
        work: "process: call math.sqrt, default deadline, warm",
        unit: "µs",
        figures: times.process,
        floors: times.dirty,
        floor_name: @dirty,
        target: {:ratio, 2.5}
      ),
      line(
        work: "process: call math.sqrt, against :main",
        unit: "µs",
        figures: times.process,
        floors: times.main,
        floor_name: @main,
        target: {:ratio, 1}
      ),
      line(
        work: "process: call math.sqrt, each timed alone",
        unit: "µs",
        figures: at.(:process_single, 50),
        p99: at.(:process_single, 99),
        floors: at.(:main_single, 50),
        floor_name: @main
      )
    ]
  end

  defp cold do
    idle = fn run -> fn -> Measure.after_idle(run, size(25, 5), @idle) end end

    times =
      Measure.rounds(size(20, 2), main: idle.(&sqrt/0), process: idle.(fn -> sqrt(@one) end))

    [
      line(
        work: "process: call math.sqrt, after 3 ms idle",
        unit: "µs",
        figures: Enum.map(times.process, &Measure.median/1),
        p99: Enum.map(times.process, &Measure.percentile(&1, 99)),
        floors: Enum.map(times.main, &Measure.median/1),
        floor_name: @main,
        target: {:ratio, 1.4}
      )
    ]
  end

  defp throughput do
    calls = size(30_000, 2_000)

    rates =
      Measure.rounds(
        size(7, 1),
        for {name, callers, pool} <- [
              {:one, 64, @one},
              {:one_main, 64, Python.Pool},
              {:two, 8, @two},
              {:two_main, 8, @main_two}
            ] do
          {name, fn -> Measure.throughput(fn -> {:ok, 4.0} = sqrt(pool) end, callers, calls) end}
        end
      )

    for {name, main, work} <- [
          {:one, :one_main, "process: calls of 64 callers, one worker"},
          {:two, :two_main, "process: calls of 8 callers, two workers"}
        ] do
      line(
        work: work,
        unit: "calls/s",
        figures: rates[name],
        floors: rates[main],
        floor_name: @main,
        target: {:at_least, Measure.median(rates[main])}
      )
    end
  end

  defp values do
    RoundTrips.lines(@one, "process: ",
      ints: {:ratio, 3.2},
      map: {:ratio, 2.8},
      document: {:ratio, 3}
    )
  end

  defp bytes do
    big = :binary.copy(<<7>>, 100 * @megabyte)
    buffer = Python.buffer(big)
    length = 100 * @megabyte
    len = fn value -> {:ok, ^length} = Python.call(:builtins, :len, [value], pool: @one) end
    back = fn -> ^length = byte_size(Python.eval!("kept", pool: @one)) end
    :ok = Python.exec("kept = bytes(#{length})", pool: @one)

    # After a large one both sides give memory back. Neither that nor the waking is timed.
    next = fn call ->
      sqrt(@one)
      Measure.time(call)
    end

    times =
      Measure.rounds(size(11, 1),
        copy: fn -> Measure.time(fn -> Floors.copy(big) end) end,
        bytes: fn -> Measure.time(fn -> len.({:bytes, big}) end) end,
        buffer: fn -> next.(fn -> len.(buffer) end) end,
        tiny: fn -> next.(fn -> sqrt(@one) end) end,
        back: fn -> Measure.time(back) end
      )

    [
      line(
        work: "process: 100 MB as {:bytes, binary}, len() back",
        unit: "ms",
        figures: times.bytes,
        floors: times.copy,
        floor_name: "one copy",
        target: {:ratio, 2}
      ),
      line(
        work: "process: 100 MB by Python.buffer again, len() back",
        unit: "µs",
        figures: times.buffer,
        floors: times.tiny,
        floor_name: "call math.sqrt",
        target: {:ratio, 2}
      ),
      line(
        work: "process: 100 MB of bytes back",
        unit: "ms",
        figures: times.back,
        floors: times.copy,
        floor_name: "one copy",
        target: {:ratio, 2}
      )
    ]
  end

  defp parallel do
    sum = fn pool ->
      Python.call!(:bench_work, :sum_to, [size(5_000_000, 100_000)], pool: pool)
    end

    both = fn pool ->
      1..2 |> Enum.map(fn _ -> Task.async(fn -> sum.(pool) end) end) |> Task.await_many(:infinity)
    end

    times =
      Measure.rounds(size(7, 1),
        one: fn -> Measure.time(fn -> sum.(@two) end) end,
        two: fn -> Measure.time(fn -> both.(@two) end) end,
        main_two: fn -> Measure.time(fn -> both.(@main_two) end) end
      )

    [
      line(
        work: "process: two calls that compute, side by side",
        unit: "ms",
        figures: times.two,
        floors: times.one,
        floor_name: "one of them",
        target: {:ratio, 1.1}
      ),
      line(
        work: "the same on :main",
        unit: "ms",
        figures: times.main_two,
        floors: times.one,
        floor_name: "one of them"
      )
    ]
  end

  defp streams do
    count = 1_000_000

    stream = fn pool ->
      fn ->
        Measure.once(fn ->
          ^count = Enum.count(Python.stream(:bench_work, :numbers, [count], pool: pool))
        end)
      end
    end

    times = Measure.rounds(size(7, 1), process: stream.(@one), main: stream.(Python.Pool))

    [
      line(
        work: "process: stream of a million ints",
        unit: "ms",
        figures: times.process,
        floors: times.main,
        floor_name: @main,
        target: {:ratio, 2}
      )
    ]
  end

  defp callbacks do
    trips = size(5_000, 500)
    increment = fn number -> number + 1 end

    rate = fn pool ->
      fn ->
        ns =
          Measure.time(fn ->
            {:ok, ^trips} =
              Python.call(:bench_work, :call_back, [increment, trips], pool: pool, timeout: 60_000)
          end)

        trips * 1.0e9 / ns
      end
    end

    rates = Measure.rounds(size(11, 2), process: rate.(@one), main: rate.(Python.Pool))

    [
      line(
        work: "process: callback round trips",
        unit: "/s",
        figures: rates.process,
        floors: rates.main,
        floor_name: @main,
        target: {:at_least, 60_000}
      )
    ]
  end

  # How soon a caller hears of a crash, and a call is served after it.
  defp deaths do
    spare = start(@spare, 2)

    crash = fn pool ->
      {:error, %Python.CrashedError{}} = Python.call(:os, :abort, [], pool: pool)
    end

    served = fn pool ->
      {:ok, 4.0} = Python.call(:math, :sqrt, [16], pool: pool)
    end

    await = fn pool, workers -> await_workers(pool, workers, 500) end

    times =
      Measure.rounds(size(11, 1),
        known: fn ->
          ns = Measure.time(fn -> crash.(@one) end)
          await.(@one, 1)
          ns
        end,
        alone: fn ->
          crash.(@one)
          ns = Measure.time(fn -> served.(@one) end)
          await.(@one, 1)
          ns
        end,
        spare: fn ->
          crash.(@spare)
          ns = Measure.time(fn -> served.(@spare) end)
          await.(@spare, 2)
          ns
        end
      )

    Supervisor.stop(spare)

    [
      line(
        work: "process: os.abort() until its caller knows",
        unit: "ms",
        figures: times.known,
        target: {:at_most, 5}
      ),
      line(
        work: "process: the next call after a crash, another worker",
        unit: "ms",
        figures: times.spare,
        target: {:at_most, 5}
      ),
      line(
        work: "process: the next call after a crash, the only worker",
        unit: "ms",
        figures: times.alone,
        target: {:at_most, 30}
      )
    ]
  end

  defp await_workers(pool, count, tries) do
    alive = Enum.count(Python.Pool.workers(pool), & &1.os_pid)

    cond do
      alive >= count -> served(pool)
      tries == 0 -> raise "the workers of #{inspect(pool)} did not come back"
      true -> Process.sleep(10) && await_workers(pool, count, tries - 1)
    end
  end

  defp served(pool), do: {:ok, 4.0} = sqrt(pool)

  # A C call that no interrupt reaches.
  defp interrupts do
    pool = start(Bench.Busy, 1, kill_after: 200)

    times =
      Measure.rounds(size(5, 1),
        both: fn ->
          caller =
            Measure.time(fn ->
              {:error, %Python.TimeoutError{}} =
                Python.eval("sum(range(10**11))", pool: Bench.Busy, timeout: 100)
            end)

          {caller, Measure.time(fn -> served(Bench.Busy) end)}
        end
      )

    Supervisor.stop(pool)

    [
      line(
        work: "process: sum(range(10**11)) with a timeout of 100 ms until its caller is back",
        unit: "ms",
        figures: for({caller, _} <- times.both, do: caller),
        target: {:at_most, 150}
      ),
      line(
        work: "process: the same until the worker is free again, with kill_after: 200",
        unit: "ms",
        figures: for({_, free} <- times.both, do: free),
        target: {:at_most, 250}
      )
    ]
  end

  defp starts do
    python = Python.info().executable

    times =
      Measure.rounds(size(11, 1),
        bare: fn -> Measure.time(fn -> {_, 0} = System.cmd(python, ["-c", "pass"]) end) end,
        worker: fn ->
          Measure.time(fn ->
            pool = start(Bench.Started, 1)
            Process.put(:pool, pool)
          end)
          |> tap(fn _ -> Supervisor.stop(Process.get(:pool)) end)
        end
      )

    # Several, as in a pool of the default size: they are forked from one process.
    pool = start(Bench.Started, 2)
    Python.exec("pass", pool: Bench.Started)
    memory = for worker <- Python.Pool.workers(Bench.Started), do: proportional(worker.os_pid)
    Supervisor.stop(pool)
    bare_memory = bare_memory(python)

    [
      line(
        work: "process: start of a worker, until its first result",
        unit: "ms",
        figures: times.worker,
        floors: times.bare,
        floor_name: "python3 -c pass",
        target: {:ratio, 1.5}
      )
    ] ++
      if Enum.all?(memory) do
        [
          line(
            work: "process: memory of a worker of two (PSS)",
            unit: "MB",
            figures: memory,
            floors: [bare_memory],
            floor_name: "a Python that waits for a line",
            target: {:at_most, 8}
          )
        ]
      else
        []
      end
  end

  # What is shared with others counts in part, so none of them is there meanwhile.
  defp bare_memory(python) do
    code = "print(flush=True); input()"
    port = Port.open({:spawn_executable, python}, [:binary, args: ["-c", code]])
    receive(do: ({^port, {:data, _}} -> :ok))
    {:os_pid, os_pid} = Port.info(port, :os_pid)
    memory = proportional(os_pid)
    Port.close(port)
    memory
  end

  # The same for workers that are forked, and that import by themselves what those find. With pandas where it is.
  defp preloaded do
    pandas = Python.eval("__import__('importlib.util').util.find_spec('pandas') is not None")

    for module <- ["bench_imports"] ++ if(pandas == {:ok, true}, do: ["pandas"], else: []),
        line <- preloaded(module),
        do: line
  end

  defp preloaded(module) do
    forked = start(Bench.Forked, 1, preload: [module])
    own = start(Bench.Own, 1, init: "import #{module}")

    times =
      Measure.rounds(size(11, 1),
        own: fn -> restart(Bench.Own) end,
        forked: fn -> restart(Bench.Forked) end
      )

    memory =
      for pool <- [Bench.Forked, Bench.Own],
          [worker] = Python.Pool.workers(pool),
          do: own(worker.os_pid)

    for pool <- [forked, own], do: Supervisor.stop(pool)

    [
      line(
        work: "process: start of a worker with preload: [\"#{module}\"], until its first result",
        unit: "ms",
        figures: times.forked,
        floors: times.own,
        floor_name: "a worker that imports it",
        target: {:at_most, 10}
      )
    ] ++
      case memory do
        [forked, alone] when is_number(forked) ->
          [
            line(
              work: "process: memory that such a worker shares with no other process",
              unit: "MB",
              figures: [forked],
              floors: [alone],
              floor_name: "a worker that imports it",
              target: {:at_most, 8}
            )
          ]

        _ ->
          []
      end
  end

  # From the end of the only worker to the first result of the next one.
  defp restart(pool) do
    {:error, %Python.CrashedError{}} = Python.call(:os, :_exit, [0], pool: pool)
    time = Measure.time(fn -> served(pool) end)
    # One that ends at once would have the next one wait.
    Process.sleep(1_100)
    time
  end

  defp proportional(os_pid), do: memory(os_pid, "Pss")

  # What it has written to: what was forked with it and stays as it was is shared.
  defp own(os_pid), do: memory(os_pid, "Private_Dirty")

  defp memory(os_pid, kind) do
    with {:ok, text} <- File.read("/proc/#{os_pid}/smaps_rollup"),
         [_, kilobytes] <- Regex.run(~r/^#{kind}:\s+(\d+) kB/m, text) do
      String.to_integer(kilobytes) * 1024 / 1_000_000
    else
      _ -> nil
    end
  end
end

Bench.Suite.run(Bench.Processes)
