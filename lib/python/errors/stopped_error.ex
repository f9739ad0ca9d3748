defmodule Python.StoppedError do
  @moduledoc """
  The pool or worker ended before the call, or another process cancelled the call.

      iex> {:ok, context} = Python.Context.start_link()
      iex> async = Python.call_async(:time, :sleep, [1], context: context)
      iex> Python.Context.stop(context)
      iex> {:error, %Python.StoppedError{reason: reason}} = Python.await(async)
      iex> reason in [:closed, :stopped]
      true

  ## Fields

    * `:reason` - an atom to match, see below;
    * `:message` - a text.

  ## Reasons

  | reason | meaning |
  |---|---|
  | `:cancelled` | another process cancelled the call |
  | `:closed` | the pool or context was stopped before the call began |
  | `:stopped` | the pool or context was stopped while the call ran; the call was interrupted |
  | `:worker_down` | the worker's process was killed while the call ran, or has ended with the objects that the call is about |
  | `:outer_ended` | a function that Python called made this call, and the call of Python has ended |
  | `:panic` | a bug in this library, which was caught |
  """

  @type reason :: :cancelled | :closed | :stopped | :worker_down | :outer_ended | :panic
  @type t :: %__MODULE__{reason: reason, message: String.t()}

  defexception [:reason, :message]

  @doc false
  def new(reason), do: %__MODULE__{reason: reason, message: text(reason)}

  @doc false
  # Of what a handle is asked whose home is gone.
  def home(home) do
    %__MODULE__{
      reason: :closed,
      message:
        "the #{home}, the home of the object, has stopped; choose another place with :pool or :context, if the " <>
          "object can be used there"
    }
  end

  @doc false
  # Of what is asked of a handle that its node does not keep.
  def gone(node) do
    %__MODULE__{
      reason: :worker_down,
      message:
        "the object of the node #{node} is not kept there any more: the node has started anew, the connection to it was lost " <>
          "meanwhile, or the handle was sent on by a process that has let go of it"
    }
  end

  @doc false
  # What another node was asked for, which has not answered.
  def away(node, cause) do
    %__MODULE__{
      reason: :worker_down,
      message: "the call on the node #{node} has ended without an answer: #{cause}"
    }
  end

  defp text(:cancelled), do: "another process cancelled the call"
  defp text(:closed), do: "the pool or context was stopped before the call began"
  defp text(:stopped), do: "the pool or context was stopped while the call ran"
  defp text(:worker_down), do: "the worker of the call, or of its objects, has ended"

  defp text(:outer_ended) do
    "a function that Python called made this call, and the call of Python has ended"
  end

  defp text(:panic) do
    "a bug in the native library was caught while the call ran; please report it"
  end
end
