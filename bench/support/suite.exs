for name <- ~w(others measure samples line native_floors floors busy machine json chart report) do
  Code.require_file("#{name}.exs", __DIR__)
end

defmodule Bench.Suite do
  @moduledoc false

  # What a topic's file calls at its end. `mix run bench/<topic>.exs` runs that topic alone,
  # `mix run bench/all.exs` one after the other.

  alias Bench.{Line, Machine, Others, Report}

  @doc "Runs a topic, prints its lines, and keeps them for the report."
  def run(topic) do
    unless Process.get(__MODULE__), do: begin()

    name = topic |> Module.split() |> List.last() |> String.downcase()
    Report.print_title(name)
    lines = topic.run()
    Enum.each(lines, &Report.print/1)
    Process.put(__MODULE__, Process.get(__MODULE__) ++ [{name, lines}])
    Report.print_others(machine())
    Report.save(name, lines, machine())
  end

  @doc "What the machine was before the first topic, and what others took of it since."
  def machine, do: Process.get(Machine) ++ [others: Report.others_text(Others.noted())]

  @doc "The topics that have run, with their lines."
  def results, do: Process.get(__MODULE__)

  defp begin do
    Process.put(__MODULE__, [])
    Bench.NativeFloors.load()
    # Its folder has the module bench_work.
    nil = Python.call!(:sys, "path.append", [__DIR__])

    machine = Machine.describe()
    Process.put(Machine, machine)
    Report.print_machine(machine)
    if quick?(), do: IO.puts("Quick: this shows that the code runs; its figures mean nothing.")
  end

  @doc "How much to do: the first, or the second in a quick run."
  def size(full, quick), do: if(quick?(), do: quick, else: full)

  def quick?, do: "--quick" in System.argv() or System.get_env("QUICK", "") not in ["", "0"]

  @doc "A line; times come in ns and are shown in the unit."
  def line(fields) do
    scale = scale(fields[:unit])

    fields =
      for {key, value} <- fields do
        if key in [:figures, :floors, :p99],
          do: {key, Enum.map(value, &(&1 / scale))},
          else: {key, value}
      end

    struct!(Line, fields)
  end

  defp scale("µs"), do: 1.0e3
  defp scale("ms"), do: 1.0e6
  defp scale(_unit), do: 1
end
