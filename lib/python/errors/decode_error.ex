defmodule Python.DecodeError do
  @moduledoc ~S"""
  A Python object that cannot become a term.

      iex> {:error, error} = Python.eval("[0, {'name': '\\ud800'}]")
      iex> error.path
      ~s([1]["name"])

  The work is done all the same: with `return: :object` the result stays in Python.

  ## Fields

    * `:reason` - what is wrong with it, a sentence;
    * `:path` - the way to the object in the result, such as `[3]["rows"][0]`, or `""`;
    * `:message` - all of it in one sentence.
  """

  @type t :: %__MODULE__{reason: String.t(), path: String.t(), message: String.t()}

  defexception [:reason, :path, :message]

  @doc false
  def new(reason, path) do
    at = if path == "", do: "", else: ", at #{path}"

    %__MODULE__{
      reason: reason,
      path: path,
      message: "the result cannot be given back: #{reason}#{at}"
    }
  end
end
