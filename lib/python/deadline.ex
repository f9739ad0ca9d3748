defmodule Python.Deadline do
  @moduledoc false

  # Until when something is waited for, by the clock that never goes back. `:infinity`: for ever.

  @type t :: integer | :infinity

  @doc "The time in so many ms."
  @spec in_ms(timeout) :: t
  def in_ms(:infinity), do: :infinity
  def in_ms(timeout), do: System.monotonic_time(:millisecond) + timeout

  @doc "How long it is until then, in ms, as `receive` takes it."
  @spec left(t) :: timeout
  def left(:infinity), do: :infinity
  def left(deadline), do: max(deadline - System.monotonic_time(:millisecond), 0)
end
