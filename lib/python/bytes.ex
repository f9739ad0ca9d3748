defmodule Python.Bytes do
  @moduledoc """
  A binary that is to be `bytes` in Python, even if it is valid UTF-8.

  A binary becomes a `str` if it is valid UTF-8 and `bytes` if it is not. Data that is not meant as
  text is better wrapped:

      iex> Python.call!(:builtins, :type, [%Python.Bytes{data: "abc"}], return: :object)
      ...> |> inspect()
      "#Python.Object<<class 'type'> <class 'bytes'>>"

  With the option `return: :bytes` the bytes in a result are marked in the same way.

  In Erlang, and wherever it is handier, `{:bytes, data}` says the same.
  """

  @enforce_keys [:data]
  defstruct [:data]

  @type t :: %__MODULE__{data: binary}
end
