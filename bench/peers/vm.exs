# A VM with one library. It is told on its input what to measure, a name a line, and says on its output
# what came of it: "figure NAME VALUE" or "failed NAME WHY". Other lines are the library's own.

for name <- ~w(others measure samples), do: Code.require_file("../support/#{name}.exs", __DIR__)
Code.require_file("works.exs", __DIR__)

defmodule Bench.Peers.VM do
  @moduledoc false

  alias Bench.Peers.{Peer, Works}

  def run do
    Peer.start()
    4.0 = Peer.sqrt()
    IO.puts("figure start 0.0")
    loop()
  end

  defp loop do
    case IO.read(:line) do
      line when is_binary(line) ->
        line |> String.trim() |> measure()
        loop()

      _the_end ->
        :ok
    end
  end

  # In MB, of this process and of those that it has started.
  defp measure("memory"), do: IO.puts("figure memory #{memory(System.pid())}")

  defp measure(name) do
    work = Enum.find(Works.all(), &(Atom.to_string(&1.name) == name))

    if can?(work.needs) do
      IO.puts("figure #{name} #{work.run.(Peer)}")
    else
      IO.puts("failed #{name} it cannot do that")
    end
  rescue
    error -> IO.puts("failed #{name} #{one_line(Exception.message(error))}")
  catch
    kind, reason -> IO.puts("failed #{name} #{one_line("#{kind} #{inspect(reason)}")}")
  end

  defp can?(name), do: Enum.any?(Peer.__info__(:functions), fn {known, _} -> known == name end)

  defp one_line(text), do: text |> String.replace("\n", " ") |> String.slice(0, 200)

  defp memory(pid) do
    status = File.read!("/proc/#{pid}/status")
    [_, kilobytes] = Regex.run(~r/^VmRSS:\s+(\d+) kB/m, status)
    children = File.read!("/proc/#{pid}/task/#{pid}/children") |> String.split()
    String.to_integer(kilobytes) / 1000 + Enum.sum(for child <- children, do: memory(child))
  rescue
    # It has ended in between.
    File.Error -> 0.0
  end
end

[adapter] = System.argv()
Code.require_file(adapter)
Bench.Peers.VM.run()
System.halt(0)
