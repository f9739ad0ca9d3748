defmodule Python.Collector do
  @moduledoc false

  # Collects all processes when handles keep so much of Python's memory alive that it may be garbage
  # (native/erlang_python_nif/src/base/ledger.rs, which asks for it, and says why).

  use GenServer

  alias Python.Library

  # How many processes at a time, and how long they have, in ms, and how long until the next is done: one that
  # is in Python, or in another native function, does it when it comes back. Meanwhile nobody else is asked to
  # collect.
  @at_a_time 100
  @patience 50
  @quiet 5

  def start_link(_), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @impl true
  def init(nil) do
    # What the one before was asked for, should it have died over it.
    collected()
    {:ok, nil}
  end

  @impl true
  def handle_info(:collect, state) do
    Process.list()
    |> List.delete(self())
    |> Enum.chunk_every(@at_a_time)
    |> Enum.each(&collect/1)

    collected()
    {:noreply, state}
  end

  # An answer that came late.
  def handle_info(_message, state), do: {:noreply, state}

  # A Python process that has asked waits for no answer, and the VM of one need not have that library.
  defp collected do
    if Library.loaded?(:erlang_python), do: :erlang_python.ledger_collected()
  end

  defp collect(processes) do
    reference = make_ref()
    for process <- processes, do: :erlang.garbage_collect(process, async: reference)
    await(reference, length(processes), System.monotonic_time(:millisecond) + @patience)
  end

  defp await(_reference, 0, _deadline), do: :ok

  defp await(reference, count, deadline) do
    receive do
      {:garbage_collect, ^reference, _result} -> await(reference, count - 1, deadline)
    after
      (deadline - System.monotonic_time(:millisecond)) |> min(@quiet) |> max(0) -> :ok
    end
  end
end
