# Mixed load for a long time, and what becomes of latency, memory, threads and descriptors:
#
#     mix run bench/long.exs 30 main process asyncio
#     mix run bench/long.exs 30 main process asyncio --together
#
# 30 minutes on each of the engines, one after the other or at the same time, each in a VM of its own. Charts and figures go
# into bench/charts and bench/LONG.md.

for name <- ~w(others measure line machine usage plot),
    do: Code.require_file("support/#{name}.exs", __DIR__)

defmodule Bench.Long do
  @moduledoc false

  # Callers do one thing after another, of all kinds, with pauses, so that the processors are not all taken. Meanwhile another one makes a
  # tiny call every now and then, whose times are kept.

  alias Bench.{Line, Machine, Measure, Plot, Usage}

  @callers 6

  # In ms: between two things of a caller, between two tiny calls, and between two readings.
  @pause 5
  @probe 2
  @reading 10_000

  @text Path.expand("LONG.md", __DIR__)
  @charts Path.expand("charts", __DIR__)

  def run(["--one", file, minutes, engine]) do
    result = load(String.to_existing_atom(engine), String.to_integer(minutes) * 60_000)
    File.write!(file, :erlang.term_to_binary(result))
  end

  def run([minutes | rest]) do
    {flags, engines} = Enum.split_with(rest, &(&1 == "--together"))
    machine = Machine.describe()
    together = flags != []

    rows =
      engines
      |> Task.async_stream(&{&1, in_own_vm(minutes, &1)},
        max_concurrency: if(together, do: length(engines), else: 1),
        timeout: :infinity
      )
      |> Enum.map(fn {:ok, {engine, {readings, done}}} ->
        File.write!(Path.join(@charts, "long_#{engine}.svg"), chart(readings))
        rows(engine, readings, done)
      end)

    text = document({minutes, together}, machine, engines, rows)
    File.write!(@text, text)
    IO.puts(text)
  end

  defp in_own_vm(minutes, engine) do
    file = Path.join(System.tmp_dir!(), "long_#{engine}_#{System.pid()}")
    arguments = ["run", "--no-compile", __ENV__.file, "--one", file, minutes, engine]
    {_output, 0} = System.cmd("mix", arguments, into: IO.stream(:stdio, :line))
    result = file |> File.read!() |> :erlang.binary_to_term()
    File.rm!(file)
    result
  end

  defp load(engine, ms) do
    {:ok, pool} = Python.Pool.start_link(name: __MODULE__, engine: engine, init: init())
    parent = self()
    stop_at = now() + ms

    callers =
      for number <- 1..@callers do
        Task.async(fn ->
          :rand.seed(:exsss, {number, 0, 0})
          work(engine, stop_at, 0)
        end)
      end

    prober = Task.async(fn -> probe(parent, stop_at, []) end)
    readings = readings(prober, now(), stop_at, [])
    Task.await(prober, 60_000)
    counts = Task.await_many(callers, 60_000)
    Supervisor.stop(pool)
    {readings, Enum.sum(counts)}
  end

  defp init do
    """
    import sys
    sys.path.append(#{inspect(Path.join(__DIR__, "support"))})
    import bench_long, bench_work
    """
  end

  defp work(engine, stop_at, done) do
    if now() < stop_at do
      thing(:rand.uniform(100), engine)
      Process.sleep(@pause)
      work(engine, stop_at, done + 1)
    else
      done
    end
  end

  defp thing(number, _engine) when number <= 30, do: 4.0 = call!(:math, :sqrt, [16])

  defp thing(number, _engine) when number <= 50 do
    value = for key <- 1..50, into: %{}, do: {"key #{key}", [key, key / 2, "text", nil]}
    ^value = call!(:bench_work, :identity, [value])
  end

  defp thing(number, _engine) when number <= 60 do
    {:ok, 6} = Python.eval("a * b", %{a: 2, b: 3}, pool: __MODULE__)
  end

  defp thing(number, _engine) when number <= 68 do
    1_000 = Enum.count(Python.stream(:bench_work, :numbers, [1_000], pool: __MODULE__))
  end

  defp thing(number, _engine) when number <= 70 do
    [0, 1] = Enum.take(Python.stream(:itertools, :count, [], pool: __MODULE__), 2)
  end

  defp thing(number, engine) when number <= 78,
    do: 10 = call!(:bench_long, function(engine, :back), [&Function.identity/1, 10])

  defp thing(number, _engine) when number <= 86 do
    handle = call!(:collections, :Counter, ["abracadabra"], return: :object)
    {:ok, 5} = Python.call(handle, :get, ["a"])
  end

  defp thing(number, _engine) when number <= 92,
    do: {:error, %Python.Error{}} = call(:builtins, :int, ["x"])

  defp thing(number, _engine) when number <= 96 do
    bytes = <<0xFF>> <> :binary.copy(<<number>>, 500_000)
    ^bytes = call!(:bench_work, :identity, [bytes])
  end

  defp thing(number, engine) when number <= 98,
    do: nil = call!(:bench_long, function(engine, :nap), [0.005])

  # What never ends: it is interrupted, or cancelled.
  defp thing(_number, engine) do
    {:error, %Python.TimeoutError{}} =
      call(:bench_long, function(engine, :never), [], timeout: 20)
  end

  # Those that wait do it in the way of their engine.
  defp function(:asyncio, name), do: :"await_#{name}"
  defp function(_engine, :back), do: :call_back
  defp function(_engine, name), do: name

  defp call(module, function, arguments, options \\ []),
    do: Python.call(module, function, arguments, [pool: __MODULE__] ++ options)

  defp call!(module, function, arguments, options \\ []),
    do: Python.call!(module, function, arguments, [pool: __MODULE__] ++ options)

  # Sends the times of its calls, in µs, when it is asked for them.
  defp probe(parent, stop_at, times) do
    receive do
      :times ->
        send(parent, {:times, times})
        probe(parent, stop_at, [])
    after
      @probe ->
        time = Measure.time(fn -> 4.0 = call!(:math, :sqrt, [16]) end) / 1.0e3
        if now() < stop_at, do: probe(parent, stop_at, [time | times]), else: :ok
    end
  end

  # One every so often: `{minutes since the start, median, 99th percentile, usage}`, times in µs.
  defp readings(prober, begun, stop_at, readings) do
    Process.sleep(@reading)

    if now() < stop_at do
      send(prober.pid, :times)
      times = receive(do: ({:times, times} -> times))
      minute = (now() - begun) / 60_000
      percentiles = {Measure.percentile(times, 50), Measure.percentile(times, 99)}
      readings(prober, begun, stop_at, [{minute, percentiles, Usage.read()} | readings])
    else
      Enum.reverse(readings)
    end
  end

  defp now, do: System.monotonic_time(:millisecond)

  ## What came of it

  defp chart(readings) do
    times = fn place -> for {at, both, _usage} <- readings, do: {at, elem(both, place)} end
    usage = fn key -> for {at, _both, usage} <- readings, do: {at, usage[key]} end

    Plot.svg(
      [
        %Plot{
          title: "A tiny call among the others",
          unit: "µs",
          scale: :log,
          lines: [{"99th percentile", times.(1)}, {"median", times.(0)}]
        },
        %Plot{title: "Memory", unit: "MB", lines: [{"PSS", usage.(:memory)}]},
        %Plot{
          title: "Threads and descriptors",
          unit: "how many",
          lines: [{"threads", usage.(:threads)}, {"descriptors", usage.(:descriptors)}]
        }
      ],
      x: "minutes"
    )
  end

  # Medians of the second tenth (before, all is warming up) and of the last.
  defp rows(engine, readings, done) do
    tenth = max(div(length(readings), 10), 1)
    early = readings |> Enum.drop(tenth) |> Enum.take(tenth)
    late = Enum.take(readings, -tenth)

    for {name, unit, value} <- [
          {"a tiny call, median", "µs", fn {_, {median, _}, _} -> median end},
          {"a tiny call, 99th percentile", "µs", fn {_, {_, p99}, _} -> p99 end},
          {"memory", "MB", fn {_, _, usage} -> usage.memory end},
          {"threads", "", fn {_, _, usage} -> usage.threads end},
          {"descriptors", "", fn {_, _, usage} -> usage.descriptors end}
        ] do
      [first, last] = for part <- [early, late], do: part |> Enum.map(value) |> Measure.median()

      "| `:#{engine}`, #{Line.number(done)} things done | #{name} | #{figure(first, unit)} | #{figure(last, unit)} |"
    end
  end

  # Threads and descriptors are counted.
  defp figure(number, ""), do: Line.number(round(number))
  defp figure(number, unit), do: "#{Line.number(number / 1)} #{unit}"

  defp document({minutes, together}, machine, engines, rows) do
    """
    # A long run

    #{minutes} minutes of mixed load on each engine, #{if together, do: "all at the same time, each", else: "each"} in a VM of its own: #{@callers} callers do one
    thing after another, with #{@pause} ms in between: tiny calls, maps, texts of code, streams, some of which are left early,
    functions that Python calls, handles, exceptions, 500 kB of bytes, sleeps, and calls that never end and are given up after
    20 ms. One more caller times a tiny call every #{@probe} ms. To run it again: the first lines of [long.exs](long.exs) say how.

    #{Machine.items(machine)}

    Medians of the second tenth of the time and of the last.#{if together, do: " Together they keep two processors busy, so that a tiny call waits for others."}

    | engine | what | at first | at last |
    |---|---|---|---|
    #{rows |> Enum.concat() |> Enum.join("\n")}

    #{Enum.map_join(engines, "\n\n", fn engine -> "`:#{engine}`\n\n![#{engine}](charts/long_#{engine}.svg)" end)}
    """
  end
end

Bench.Long.run(System.argv())
