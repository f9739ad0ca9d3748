defmodule Stress.Gauge do
  # What the operating system and the VM say of this VM's size. On systems without /proc the part
  # that only that knows is nil.

  @page 4_096

  def read do
    %{
      beam: :erlang.memory(:total),
      rss: rss(),
      threads: threads(),
      processes: length(Process.list())
    }
  end

  def threads do
    case File.ls("/proc/self/task") do
      {:ok, tasks} -> length(tasks)
      {:error, _} -> nil
    end
  end

  defp rss do
    case File.read("/proc/self/statm") do
      {:ok, text} ->
        text |> String.split() |> Enum.at(1) |> String.to_integer() |> Kernel.*(@page)

      {:error, _} ->
        nil
    end
  end

  @doc """
  What has grown, given the readings of the run in their order: a list of sentences.

  The middle of the run is compared with its end, by their medians. The allowance is for what a run
  that is still warming up takes.
  """
  def growth(readings, allowance) do
    for key <- [:beam, :rss], Enum.all?(readings, & &1[key]), reduce: [] do
      wrongs ->
        middle = readings |> part(0.4, 0.6) |> median(key)
        last = readings |> part(0.8, 1.0) |> median(key)

        if last > middle * 1.1 + allowance do
          ["#{key} grew from #{mb(middle)} to #{mb(last)} MB" | wrongs]
        else
          wrongs
        end
    end
  end

  @doc "The readings' course, in ten steps."
  def course(readings, key) do
    readings
    |> Enum.chunk_every(max(div(length(readings), 10), 1))
    |> Enum.map_join(" ", &mb(median(&1, key)))
  end

  defp part(readings, from, to) do
    count = length(readings)
    Enum.slice(readings, trunc(count * from)..max(trunc(count * to) - 1, trunc(count * from)))
  end

  defp median(readings, key) do
    values = readings |> Enum.map(&(&1[key] || 0)) |> Enum.sort()
    Enum.at(values, div(length(values), 2))
  end

  def mb(bytes), do: div(bytes, 1_048_576)
end
