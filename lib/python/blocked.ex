defmodule Python.Blocked do
  @moduledoc false

  # Code that holds up an event loop (native/erlang_python_nif/src/engine/asyncio/blocked.rs): the log is told once for each
  # line, telemetry each time.

  alias Python.Telemetry

  # How many lines are remembered.
  @most 1_000

  @doc "What the native library tells, in the process that it tells: where a loop has been held up for so many ms."
  @spec report({:loop_blocked, atom | pid, tuple | :none, non_neg_integer}) :: :ok
  def report({:loop_blocked, home, place, ms}) do
    place = place(place)
    known = Process.get(__MODULE__, MapSet.new())
    key = {place.file, place.line}

    unless key in known or MapSet.size(known) >= @most do
      Process.put(__MODULE__, MapSet.put(known, key))
      warn(home, place, ms)
    end

    if Telemetry.enabled?(), do: Telemetry.blocked(home, place, ms)
    :ok
  end

  defp warn(home, place, ms) do
    :logger.warning(
      "The event loop of #{name(home)} has been held up for #{ms} ms#{where(place)}: none of its calls goes on. " <>
        "Await what waits, let other threads do what computes (await asyncio.to_thread(...)), or use a pool of the " <>
        "engine :main or :process for it"
    )
  end

  defp name(home) when is_atom(home), do: "the pool #{inspect(home)}"
  defp name(home), do: "the context #{inspect(home)}"

  defp where(%{file: nil}), do: ", in code that is not Python's"
  defp where(place), do: ", at #{place.file}:#{place.line} in #{place.function}"

  defp place({file, line, function}), do: %{file: file, line: line, function: function}
  defp place(:none), do: %{file: nil, line: nil, function: nil}
end
