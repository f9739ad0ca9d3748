defmodule Python.Finalizers do
  @moduledoc false

  # What becomes of handles that the BEAM has collected: threads of the native library give their objects up,
  # and with that run `__del__` methods. One that does not return holds up its thread
  # (native/erlang_python_nif/src/python/reaper.rs).

  alias Python.Library

  @doc "What waits to be given up, and which finalizers block."
  @spec info() :: %{waiting: non_neg_integer, blocked: [map]}
  def info, do: if(Library.loaded?(:erlang_python), do: of_interpreter(), else: none())

  # Python processes have their own.
  defp none, do: %{waiting: 0, blocked: []}

  defp of_interpreter do
    blocked =
      for %{class: class, place: place, ms: ms} <- :erlang_python.runtime_blocked_finalizers() do
        Map.merge(%{class: class, ms: ms}, place(place))
      end

    %{waiting: :erlang_python.runtime_pending_releases(), blocked: blocked}
  end

  @doc "Warns of a finalizer that blocks, as the native library tells of it."
  @spec warn({:finalizer_blocked, String.t(), tuple | nil, non_neg_integer, tuple}) :: :ok
  def warn({:finalizer_blocked, class, place, ms, {blocked, most, waiting}}) do
    :logger.warning(
      "The finalizer of an object of the class #{class} has not returned for #{ms} ms#{where(place)}. " <>
        "It blocks one of the #{most} threads that release Python objects; #{blocked} are blocked, " <>
        "and #{waiting} objects wait. A __del__ method should not wait for locks, processes or calls."
    )
  end

  defp where({file, line, function}), do: " (#{file}:#{line}, in #{function})"
  defp where(_nowhere), do: " (in C code)"

  defp place({file, line, function}), do: %{file: file, line: line, function: function}
  defp place(:none), do: %{file: nil, line: nil, function: nil}
end
