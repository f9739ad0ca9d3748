defmodule Python.EncodeError do
  @moduledoc """
  A term cannot be converted to a Python object.

      iex> {:error, error} = Python.call(:builtins, :len, [[1, %{"rows" => [<<1::3>>]}]])
      iex> error.path
      ~s([0][1]["rows"][0])

  ## Fields

    * `:reason` - the cause, a text;
    * `:place` - what was converted: `"arguments"`, `"keyword arguments"`, `"variable x"` or `"code"`;
    * `:path` - the path to the term in it, such as `[3]["rows"][0]`. In arguments, the first step is the index of the
      argument, from 0;
    * `:message` - all of it, in one sentence.
  """

  @type t :: %__MODULE__{
          reason: String.t(),
          place: String.t(),
          path: String.t(),
          message: String.t()
        }

  defexception [:reason, :place, :path, :message]

  @doc false
  def new(reason, place, path) do
    at = if path == "", do: "", else: ", at #{path}"

    %__MODULE__{
      reason: reason,
      place: place,
      path: path,
      message: "#{place} cannot be converted to Python: #{reason}#{at}"
    }
  end
end
