# How cost grows with the number of callers, the size of values, the workers of a pool, handles and streams:
#
#     mix run bench/growth.exs
#     mix run bench/growth.exs streams values
#
# The names are those of topics: the others stay as they were. Charts and figures go into bench/charts and
# bench/GROWTH.md. It takes some minutes, and 5 GB of memory.

for name <- ~w(others measure line machine plot),
    do: Code.require_file("support/#{name}.exs", __DIR__)

defmodule Bench.Growth do
  @moduledoc false

  # Each figure is the median of some rounds. Lines are drawn with logarithmic axes both ways: what grows in
  # proportion is a straight line there.

  alias Bench.{Line, Machine, Measure, Plot}

  @rounds 5

  @text Path.expand("GROWTH.md", __DIR__)
  @chart Path.expand("charts/growth.svg", __DIR__)

  @topics [
    callers: %{
      title: "So many callers make a tiny call at once",
      axis: "callers",
      counts: [1, 10, 100, 1_000, 10_000],
      note: """
      Straight from 100 callers on, with 7 to 20 µs each: the callers' schedulers and the worker share two processors. One or
      a few callers pay for the waking of threads: before each round the VM sleeps.
      """,
      lines: [":main", ":process", ":asyncio"]
    },
    values: %{
      title: "Bytes in, their length back; bytes back",
      axis: "bytes",
      counts: [10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000],
      note: """
      Up to some KB it is what a call costs after idle time. From there on each byte that goes in is copied once. What takes
      more than 128 MB is not kept for the next use, so that the system has to find the memory, which is the bend at 1 GB: on
      a virtual machine the host has to find it as well (1.5 s the first time, 0.11 s where it has done so before). By
      `Python.buffer`, and back from Python, nothing is copied: a binary refers to the memory of the `bytes`. That such a call
      takes longer with more bytes is of the measurement: they are made just before, which drives all else from the caches (a
      small value after 100 MB that were made takes as long). To `:process` values of up to 4 KB go by memory that both sides
      watch, then by a socket (the bend at 10,000 bytes), and from 1 MiB on by memory of their own, copied once on each side.
      """,
      lines: ["in", "in by Python.buffer", "back", "in, :process", "back, :process"]
    },
    lists: %{
      title: "Lists of ints, there and back",
      axis: "items",
      counts: [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000],
      note: """
      Straight from 10,000 items on: 33 to 70 ns an item, both ways together, the more as the values outgrow the processor's
      caches. Before that it is a call after idle time; to `:process` the answer of more than 4 KB goes by the socket, which
      is the bend at 1,000 items.
      """,
      lines: [":main", ":process"]
    },
    workers: %{
      title: "A pool is started and stopped; 1,000 tiny calls of 64 callers in it",
      axis: "workers",
      counts: [1, 2, 4, 8, 16, 32, 64],
      note: """
      On `:main` a pool has its processes and starts no threads for up to 8 workers; after that each is a thread. Calls do not
      depend on the number of workers, as they take turns at the GIL. On `:process` the start is that of as many interpreters
      on two processors: straight. 64 callers keep 64 processes at work there, which share two processors: the way from one
      process to the next is what grows.
      """,
      lines: ["start and stop", "calls", "start and stop, :process", "calls, :process"]
    },
    handles: %{
      title: "Handles are made, all of them kept; they are dropped",
      axis: "handles",
      counts: [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000],
      note: """
      Straight from 1,000 on: 7 to 11 µs each, of which Python's garbage collector, which looks through all that live, has up
      to a third. To drop them costs 0.6 to 0.9 µs each; one to a hundred are let go of by the next turn of the reaper.
      """,
      lines: ["made", "dropped"]
    },
    streams: %{
      title: "Streams that are open at the same time, 10 items of each",
      axis: "streams",
      counts: [1, 10, 100, 1_000, 10_000],
      note: """
      Straight. A stream of a few items is three requests: it is opened, read and let go of. On `:process` these are frames of
      a socket, and the waking of its thread, in most cases: 0.2 to 0.3 ms. On `:asyncio` each is a task of its own with some
      turns of the loop, which is Python code.
      """,
      lines: [":main", ":process", ":asyncio"]
    }
  ]

  def run(names) do
    names = Enum.map(names, &String.to_existing_atom/1)
    before = if names == [], do: %{}, else: read(File.read!(@text))
    nil = Python.call!(:sys, "path.append", [Path.join(__DIR__, "support")])

    for engine <- [:process, :asyncio] do
      init = "import sys; sys.path.append(#{inspect(Path.join(__DIR__, "support"))})"
      {:ok, _} = Python.Pool.start_link(name: pool(engine), engine: engine, size: 1, init: init)
    end

    machine = Machine.describe()

    results =
      for {name, topic} <- @topics do
        if names == [] or name in names do
          measured = &Enum.map(topic.counts, fn count -> figure(name, &1, count) end)
          {topic, for(line <- topic.lines, do: {line, measured.(line)})}
        else
          {topic, before[topic.title]}
        end
      end

    File.write!(@chart, chart(results))
    File.write!(@text, document(machine, results))
    IO.puts(File.read!(@text))
  end

  # In µs, of all together.
  defp figure(name, line, count) do
    IO.write(:stderr, "#{name} #{line} #{count}\n")
    rounds = if count >= 1_000_000, do: 3, else: @rounds
    measure(name, line, count)

    Measure.median(for _ <- 1..rounds, do: Measure.alone(fn -> measure(name, line, count) end)) /
      1.0e3
  end

  defp measure(:callers, line, count) do
    pool = pool(line)

    Measure.at_once(count, fn ->
      4.0 = Python.call!(:math, :sqrt, [16], pool: pool, timeout: 60_000)
    end)
  end

  defp measure(:values, "in" <> how, count) do
    binary = binary(count)
    pool = if how =~ ":process", do: pool(:process), else: Python.Pool
    value = if how =~ "buffer", do: Python.buffer(binary), else: {:bytes, binary}

    Measure.time(fn ->
      ^count = Python.call!(:builtins, :len, [value], pool: pool, timeout: 60_000)
    end)
  end

  defp measure(:values, "back" <> how, count) do
    pool = if how =~ ":process", do: pool(:process), else: Python.Pool

    back = fn ->
      byte_size(Python.call!(:bench_growth, :blob, [count], pool: pool, timeout: 60_000))
    end

    ^count = back.()
    Measure.time(back)
  end

  defp measure(:lists, line, count) do
    list = Enum.to_list(1..count)
    pool = pool(line)

    Measure.time(fn ->
      ^list = Python.call!(:bench_work, :identity, [list], pool: pool, timeout: 60_000)
    end)
  end

  defp measure(:workers, line, count) do
    engine = if line =~ ":process", do: :process, else: :main

    started =
      Measure.time(fn ->
        {:ok, pool} = Python.Pool.start_link(name: __MODULE__, engine: engine, size: count)
        Process.put(:pool, pool)
      end)

    call = fn -> 4.0 = Python.call!(:math, :sqrt, [16], pool: __MODULE__) end
    # Once in each worker at least: what comes first in a process takes longer.
    Measure.throughput(call, 64, 2_000)
    called = 1_000 * 1.0e9 / Measure.throughput(call, 64, 1_000)
    stopped = Measure.time(fn -> Supervisor.stop(Process.get(:pool)) end)
    if line =~ "calls", do: called, else: started + stopped
  end

  defp measure(:handles, line, count) do
    make = fn ->
      for _ <- 1..count, do: Python.call!(:bench_growth, :Counted, [], return: :object)
    end

    parent = self()

    # The handles die with their process.
    keeper =
      spawn(fn ->
        time = Measure.time(fn -> Process.put(:handles, make.()) end)
        send(parent, {:made, time})
        receive(do: (:drop -> :ok))
      end)

    made = receive(do: ({:made, time} -> time))

    dropped =
      Measure.time(fn ->
        send(keeper, :drop)
        await_none()
      end)

    if line == "made", do: made, else: dropped
  end

  defp measure(:streams, line, count) do
    pool = pool(line)

    Measure.at_once(count, fn ->
      45 =
        :bench_work
        |> Python.stream(:numbers, [10], pool: pool, timeout: 60_000)
        |> Enum.sum()
    end)
  end

  defp await_none, do: unless(Python.call!(:bench_growth, :alive) == 0, do: await_none())

  defp pool(":main"), do: Python.Pool
  defp pool(":" <> engine), do: pool(String.to_existing_atom(engine))
  defp pool(engine), do: Module.concat(__MODULE__, engine)

  defp binary(count), do: :binary.copy(<<0xFF>>, count)

  ## What came of it

  defp chart(results) do
    panels =
      for {topic, lines} <- results do
        %Plot{
          title: topic.title,
          unit: "µs, by #{topic.axis}",
          scale: :log,
          lines: for({line, figures} <- lines, do: {line, Enum.zip(topic.counts, figures)})
        }
      end

    Plot.svg(panels, scale: :log, x: "how many")
  end

  defp document(machine, results) do
    """
    # How cost grows

    Medians of some rounds. To measure again: the first lines of [growth.exs](growth.exs) say how.

    #{Machine.items(machine)}

    ![How cost grows](charts/growth.svg)

    #{Enum.map_join(results, "\n", &table/1)}\
    """
  end

  defp table({topic, lines}) do
    """
    ## #{topic.title}

    #{topic.note}
    | #{topic.axis} | #{Enum.map_join(lines, " | ", &elem(&1, 0))} |
    |---|#{String.duplicate("---|", length(lines))}
    #{for {count, index} <- Enum.with_index(topic.counts) do
      cells = for {_line, figures} <- lines, do: time(Enum.at(figures, index))
      "| #{Line.number(count)} | #{Enum.join(cells, " | ")} |\n"
    end}\
    """
  end

  # The figures of a document, by the titles of their topics.
  defp read(document) do
    for section <- document |> String.split("\n## ") |> tl(), into: %{} do
      [title | lines] = String.split(section, "\n")

      [[_axis | names], _rule | rows] =
        for "|" <> _ = line <- lines,
            do: line |> String.replace(~r/^\| | \|$/, "") |> String.split(" | ")

      [_counts | columns] = Enum.zip_with(rows, & &1)
      {title, Enum.zip_with(names, columns, &{&1, Enum.map(&2, fn text -> us(text) end)})}
    end
  end

  defp us(text) do
    [number, unit] = String.split(text, " ")
    {number, ""} = number |> String.replace(",", "") |> Float.parse()
    number * Map.fetch!(%{"µs" => 1, "ms" => 1.0e3, "s" => 1.0e6}, unit)
  end

  defp time(us) when us >= 1_000_000, do: "#{Line.number(us / 1.0e6)} s"
  defp time(us) when us >= 1_000, do: "#{Line.number(us / 1.0e3)} ms"
  defp time(us), do: "#{Line.number(us / 1)} µs"
end

Bench.Growth.run(System.argv())
