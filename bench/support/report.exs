defmodule Bench.Report do
  @moduledoc false

  # Prints lines, and writes them as JSON, as a chart, and into RESULTS.md and the README.

  alias Bench.{Chart, Json, Line, Machine, Measure, Others}

  @folder "_build/bench"

  @busy "**The machine was not idle in this run.** The targets are for an idle one: here a met target " <>
          "may be luck, and a missed one may be met, most of all for calls, timers and the start."

  @results Path.expand("../RESULTS.md", __DIR__)
  @chart Path.expand("../charts/results.svg", __DIR__)
  @readme Path.expand("../../README.md", __DIR__)

  # What the README shows of it.
  @speed [
    {"call math.sqrt, default deadline, warm", "call `math.sqrt`"},
    {"process: call math.sqrt, default deadline, warm",
     "the same in a pool with `engine: :process`"},
    {"calls of 64 callers, default deadline", "calls of 64 processes"},
    {"eval 1+1", "`eval` of `1+1`"},
    {"callback round trips, a registered function", "Python calls Elixir"},
    {"stream of a million ints", "stream of a million integers"},
    {"list of 100,000 ints, there and back", "list of 100,000 integers, there and back"},
    {"100 MB binary by Python.buffer, len() back", "100 MB in `Python.buffer/2`, `len()` back"},
    {"first result after VM start, above a bare VM",
     "first result after the start of the VM, added"},
    {"memory after the first result, above a bare VM", "memory, added"}
  ]

  def print_machine(machine) do
    IO.puts(Enum.map_join(machine, " · ", fn {key, value} -> "#{key} #{value}" end))

    if match?({load, _} when load > 1, Float.parse(machine[:load])) do
      IO.puts("The machine does other work as well; on an idle one the figures are others.")
    end
  end

  @doc "What other processes took of the processors in the rounds that count."
  def others_text(shares) do
    percent = &"#{round(100 * &1)} %"

    "#{percent.(Measure.median(shares))} of the processors in the median round, " <>
      "#{percent.(Measure.percentile(shares, 90))} in the 90th percentile"
  end

  def print_title(name), do: IO.puts("\n#{name}")

  def print(line) do
    IO.puts("  #{line.work}")

    parts = [
      "#{Line.figure_text(line)} (#{Line.spread_text(line)})",
      line.p99 != [] && "p99 #{Line.number(Line.p99(line))} #{line.unit}",
      line.floors != [] && "#{Line.ratio_text(line)} of #{Line.floor_text(line)}",
      line.floor_name,
      line.target && "target #{Line.target_text(line)}",
      line.target && String.upcase(Line.met_text(line))
    ]

    IO.puts("      " <> (parts |> Enum.filter(& &1) |> Enum.join(" · ")))
  end

  def print_others(machine), do: IO.puts("  other processes so far: #{machine[:others]}")

  @doc "Writes a topic's lines as JSON."
  def save(name, lines, machine) do
    File.mkdir_p!(@folder)
    content = %{machine: machine, lines: Enum.map(lines, &Line.to_map/1)}
    File.write!(Path.join(@folder, "#{name}.json"), Json.encode(content))
  end

  @doc "Writes what all topics gave: JSON and chart."
  def save_all(results, machine) do
    lines = Enum.flat_map(results, &elem(&1, 1))
    save("all", lines, machine)
    File.write!(Path.join(@folder, "chart.svg"), Chart.svg(lines))

    targets = Enum.filter(lines, & &1.target)
    met = Enum.count(targets, &Line.met?/1)
    IO.puts("\n#{met} of #{length(targets)} targets met; #{@folder}/all.json, chart.svg")
  end

  @doc "Puts the figures into RESULTS.md, between its markers, and the chart beside it."
  def write(results, machine) do
    lines = Enum.flat_map(results, &elem(&1, 1))
    {targets, others} = Enum.split_with(lines, & &1.target)

    @results
    |> File.read!()
    |> replace("machine", machine_text(machine))
    |> replace("targets", table(targets))
    |> replace("others", table(others))
    |> then(&File.write!(@results, &1))

    @readme |> File.read!() |> replace("speed", speed(lines)) |> then(&File.write!(@readme, &1))
    File.write!(@chart, Chart.svg(lines))
    IO.puts("written to #{Path.relative_to_cwd(@results)}")
  end

  defp machine_text(machine) do
    lines = Machine.items(machine)
    if Measure.median(Others.noted()) > 0.05, do: lines <> "\n\n" <> @busy, else: lines
  end

  defp replace(document, name, content) do
    {from, to} = {"<!-- #{name} -->", "<!-- /#{name} -->"}
    [before, rest] = String.split(document, from, parts: 2)
    [_old, rest] = String.split(rest, to, parts: 2)
    # A list would take the marker into its last item.
    before <> from <> "\n" <> content <> "\n\n" <> to <> rest
  end

  defp speed(lines) do
    rows =
      for {work, text} <- @speed do
        %Line{} = line = Enum.find(lines, &(&1.work == work))
        "| #{text} | #{Line.figure_text(line)} | #{Line.floor_text(line)}, #{line.floor_name} |"
      end

    Enum.join(["| work | time or rate | floor |", "|---|---|---|" | rows], "\n")
  end

  defp table(lines) do
    head = [
      "| work | median (p10 – p90 of the rounds) | p99 | floor | ratio | target | |",
      "|---|---|---|---|---|---|---|"
    ]

    Enum.join(head ++ Enum.map(lines, &row/1), "\n")
  end

  defp row(line) do
    cells = [
      line.work,
      "#{Line.figure_text(line)} (#{Line.spread_text(line)})",
      if(line.p99 == [], do: "", else: "#{Line.number(Line.p99(line))} #{line.unit}"),
      [Line.floor_text(line), line.floor_name]
      |> Enum.filter(&(&1 not in [nil, ""]))
      |> Enum.join(", "),
      Line.ratio_text(line),
      Line.target_text(line) || "",
      Line.met_text(line)
    ]

    "| " <> Enum.join(cells, " | ") <> " |"
  end
end
