defmodule Bench.Machine do
  @moduledoc false

  # What the figures were measured on.

  def describe do
    info = Python.info()

    [
      processor: processor(),
      cores: "#{System.schedulers_online()}",
      system: "#{command("uname", ["-srm"])}",
      otp: "#{System.otp_release()} (ERTS #{:erlang.system_info(:version)})",
      elixir: System.version(),
      python: to_string(info.python_version),
      commit: commit(),
      date: Date.to_iso8601(Date.utc_today()),
      load: load()
    ]
  end

  @doc "The same as the items of a list."
  def items(machine),
    do: Enum.map_join(machine, "\n", fn {key, value} -> "- #{key}: #{value}" end)

  # Of the last minute: above 1, something else runs as well.
  defp load do
    case File.read("/proc/loadavg") do
      {:ok, text} -> text |> String.split() |> hd()
      {:error, _} -> "unknown"
    end
  end

  defp processor do
    with {:ok, text} <- File.read("/proc/cpuinfo"),
         [_, name] <- Regex.run(~r/^model name\s*:\s*(.+)$/m, text) do
      name
    else
      _ -> to_string(:erlang.system_info(:system_architecture))
    end
  end

  defp commit do
    case command("git", ["status", "--porcelain", "--untracked-files=no"]) do
      "" -> command("git", ["rev-parse", "--short", "HEAD"])
      _changes -> command("git", ["rev-parse", "--short", "HEAD"]) <> " with changes"
    end
  end

  defp command(program, arguments) do
    {output, 0} = System.cmd(program, arguments, stderr_to_stdout: true)
    String.trim(output)
  rescue
    _ -> "unknown"
  end
end
