defmodule Python.EncodeError do
  @moduledoc """
  A value that cannot become a Python object.

      iex> {:error, error} = Python.call(:builtins, :len, [[1, %{"rows" => [<<1::3>>]}]])
      iex> error.path
      ~s([0][1]["rows"][0])

  ## Fields

    * `:reason` - what is wrong with it, a sentence;
    * `:place` - what was being converted: `"arguments"`, `"keyword arguments"`, `"variable x"` or
      `"code"`;
    * `:path` - the way to the value from there, such as `[3]["rows"][0]`. The first step into
      arguments is the argument's index, from 0;
    * `:message` - all of it in one sentence.
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
      message: "#{place} cannot be given to Python: #{reason}#{at}"
    }
  end
end
