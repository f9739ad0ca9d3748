defmodule Bench.Usage do
  @moduledoc false

  # What this VM and the processes that it has started take, as Linux tells it.

  @doc "Memory in MB (each process's own share of what they have in common), threads and open descriptors."
  def read do
    Enum.reduce(processes(System.pid()), %{memory: 0.0, threads: 0, descriptors: 0}, fn pid,
                                                                                        sum ->
      %{
        memory: sum.memory + memory(pid),
        threads: sum.threads + count("/proc/#{pid}/task"),
        descriptors: sum.descriptors + count("/proc/#{pid}/fd")
      }
    end)
  end

  defp processes(pid) do
    children =
      for file <- Path.wildcard("/proc/#{pid}/task/*/children"),
          {:ok, text} <- [File.read(file)],
          child <- String.split(text),
          do: child

    [pid | Enum.flat_map(children, &processes/1)]
  end

  defp memory(pid) do
    with {:ok, text} <- File.read("/proc/#{pid}/smaps_rollup"),
         [_, kilobytes] <- Regex.run(~r/^Pss:\s+(\d+) kB/m, text) do
      String.to_integer(kilobytes) / 1000
    else
      _ -> 0.0
    end
  end

  defp count(folder) do
    case File.ls(folder) do
      {:ok, names} -> length(names)
      {:error, _} -> 0
    end
  end
end
