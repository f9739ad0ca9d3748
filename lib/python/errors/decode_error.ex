defmodule Python.DecodeError do
  @moduledoc ~S"""
  A Python object cannot be converted to a term.

      iex> {:error, error} = Python.eval("[0, {'name': '\\ud800'}]")
      iex> error.path
      ~s([1]["name"])

  The call has run to its end. With `return: :object`, the result stays in Python and is not an error.

  ## Fields

    * `:reason` - the cause, a text;
    * `:path` - the path to the object in the result, such as `[3]["rows"][0]`, or `""`;
    * `:message` - all of it, in one sentence.
  """

  @type t :: %__MODULE__{reason: String.t(), path: String.t(), message: String.t()}

  defexception [:reason, :path, :message]

  @doc false
  def new(reason, path) do
    at = if path == "", do: "", else: ", at #{path}"

    %__MODULE__{
      reason: reason,
      path: path,
      message: "the result cannot be converted to a term: #{reason}#{at}"
    }
  end
end
