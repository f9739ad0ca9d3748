defmodule Bench.Others do
  @moduledoc false

  # How much of the machine other processes take meanwhile, which is what makes figures differ from
  # run to run. Known on Linux only; elsewhere nobody else counts.

  @doc "Runs a function. Returns its result and the share of processor time that others took."
  def share(run) do
    before = usage()
    result = run.()
    {result, share(before, usage())}
  end

  defp share({total, busy, own}, {total_after, busy_after, own_after})
       when total_after > total do
    others = busy_after - busy - (own_after - own)
    max(others, 0) / (total_after - total)
  end

  defp share(_before, _after), do: 0.0

  # In ticks of the clock: all processors' time, what was not idle, and what was ours.
  defp usage do
    with {:ok, machine} <- File.read("/proc/stat") do
      ["cpu" | fields] = machine |> String.split("\n", parts: 2) |> hd() |> String.split()
      times = fields |> Enum.take(8) |> Enum.map(&String.to_integer/1)
      [_user, _nice, _system, idle, waiting | _] = times
      total = Enum.sum(times)
      {total, total - idle - waiting, own_time()}
    else
      {:error, _} -> nil
    end
  end

  # Of this process and of those that it has started, also of those that have ended.
  defp own_time do
    processes =
      for folder <- Path.wildcard("/proc/[0-9]*"),
          {:ok, stat} <- [File.read(folder <> "/stat")] do
        {Path.basename(folder), process(stat)}
      end

    children = Enum.group_by(processes, fn {_, {parent, _}} -> parent end)
    {_, {_, time}} = own = List.keyfind(processes, System.pid(), 0)
    time + children_time([own], children)
  end

  defp children_time(parents, children) do
    case Enum.flat_map(parents, fn {pid, _} -> Map.get(children, pid, []) end) do
      [] -> 0
      found -> Enum.sum(for {_, {_, time}} <- found, do: time) + children_time(found, children)
    end
  end

  # The program's name, in parentheses, may have spaces. The parent is the 2nd field after it; user
  # and system time are the 12th and the 13th, and then come those of its children that have ended.
  defp process(stat) do
    fields = stat |> String.split(") ") |> List.last() |> String.split()
    times = fields |> Enum.slice(11, 4) |> Enum.map(&String.to_integer/1)
    {Enum.at(fields, 1), Enum.sum(times)}
  end

  @doc "Keeps the shares of the rounds that count."
  def note(shares), do: Process.put(__MODULE__, noted() ++ shares)

  def noted, do: Process.get(__MODULE__, [])
end
