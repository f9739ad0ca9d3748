defmodule Python.Blocked do
  @moduledoc false

  # Code that holds up an event loop (native/erlang_python_nif/src/engine/asyncio/blocked.rs, hold.rs): the log is told once
  # for each line, telemetry each time. What is done about it is always in the log.

  alias Python.Telemetry

  # How many lines are remembered.
  @most 1_000

  @type what :: :loop_blocked | :loop_interrupted | :loop_lost

  @doc """
  What the native library tells, in the process that it tells: where a loop has been held up for so many ms. And what was
  done: its code, which is of no call, was interrupted; or another loop has taken its place.
  """
  @spec report({what, atom | pid, tuple | :none, non_neg_integer}) :: :ok
  def report({:loop_blocked, home, place, ms}) do
    place = place(place)
    known = Process.get(__MODULE__, MapSet.new())
    key = {place.file, place.line}

    unless key in known or MapSet.size(known) >= @most do
      Process.put(__MODULE__, MapSet.put(known, key))
      :logger.warning(held_up(home, place, ms) <> advice())
    end

    if Telemetry.enabled?(), do: Telemetry.blocked(home, place, ms)
    :ok
  end

  def report({:loop_interrupted, home, place, ms}) do
    :logger.error(
      held_up(home, place(place), ms) <>
        " That code belongs to no call, and calls had to be given up for it: it was interrupted"
    )
  end

  def report({:loop_lost, home, place, ms}) do
    :logger.error(
      held_up(home, place(place), ms) <>
        " That code could not be interrupted: another event loop has taken its place. What was made in the " <>
        "former one, such as client sessions, locks and servers, does not work in the other one: make it again"
    )
  end

  defp held_up(home, place, ms) do
    "The event loop of #{name(home)} has been held up for #{ms} ms#{where(place)}: none of its calls goes on."
  end

  defp advice do
    " Await what waits, let other threads do what computes (await asyncio.to_thread(...)), or use a pool of the " <>
      "engine :main or :process for it"
  end

  defp name(home) when is_atom(home), do: "the pool #{inspect(home)}"
  defp name(home), do: "the context #{inspect(home)}"

  defp where(%{file: nil}), do: ", in code that is not Python's"
  defp where(place), do: ", at #{place.file}:#{place.line} in #{place.function}"

  defp place({file, line, function}), do: %{file: file, line: line, function: function}
  defp place(:none), do: %{file: nil, line: nil, function: nil}
end
