defmodule Python.Bytes do
  @moduledoc """
  A binary that becomes `bytes` in Python, even if it is valid UTF-8.

  Other binaries become a `str` if they are valid UTF-8, else `bytes`. Wrap binaries that are not text:

      iex> Python.call!(:builtins, :type, [%Python.Bytes{data: "abc"}], return: :object)
      ...> |> inspect()
      "#Python.Object<<class 'type'> <class 'bytes'>>"

  With the option `return: :bytes`, the bytes in a result are wrapped the same way.

  `{:bytes, data}` has the same meaning, in Erlang and in Elixir.
  """

  @enforce_keys [:data]
  defstruct [:data]

  @type t :: %__MODULE__{data: binary}
end
