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
    with {:ok, machine} <- File.read("/proc/stat"),
         {:ok, own} <- File.read("/proc/self/stat") do
      ["cpu" | fields] = machine |> String.split("\n", parts: 2) |> hd() |> String.split()
      times = fields |> Enum.take(8) |> Enum.map(&String.to_integer/1)
      [_user, _nice, _system, idle, waiting | _] = times
      total = Enum.sum(times)
      {total, total - idle - waiting, own_time(own)}
    else
      {:error, _} -> nil
    end
  end

  # The program's name, in parentheses, may have spaces; user and system time are the 12th and the
  # 13th field after it.
  defp own_time(stat) do
    fields = stat |> String.split(") ") |> List.last() |> String.split()
    [user, system] = fields |> Enum.slice(11, 2) |> Enum.map(&String.to_integer/1)
    user + system
  end

  @doc "Keeps the shares of the rounds that count."
  def note(shares), do: Process.put(__MODULE__, noted() ++ shares)

  def noted, do: Process.get(__MODULE__, [])
end
