defmodule Python.StoppedError do
  @moduledoc """
  The pool or the worker ended before the call did.

  ## Fields

    * `:reason` - `:closed`, the pool or context was stopped before the call began; `:stopped`, it was
      stopped while the call ran, which was interrupted; `:worker_down`, the worker's process was
      killed while the call ran, which was interrupted; `:panic`, a bug in this library that was
      caught;
    * `:message` - a sentence.
  """

  @type t :: %__MODULE__{reason: :closed | :stopped | :worker_down | :panic, message: String.t()}

  defexception [:reason, :message]

  @doc false
  def new(reason), do: %__MODULE__{reason: reason, message: text(reason)}

  defp text(:closed), do: "the pool or context was stopped before the call began"
  defp text(:stopped), do: "the pool or context was stopped while the call ran"
  defp text(:worker_down), do: "the worker's process was killed while the call ran"

  defp text(:panic) do
    "the native library caught a bug of its own while the call ran; please report it"
  end
end
