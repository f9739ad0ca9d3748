defmodule Python.Buffer do
  @moduledoc """
  A binary that Python is to see as a read-only buffer, without a copy. See `Python.buffer/1`.

      iex> Python.buffer("abc")
      #Python.Buffer<3 bytes>
  """

  @enforce_keys [:data]
  defstruct [:data]

  @type t :: %__MODULE__{data: binary}

  defimpl Inspect do
    def inspect(buffer, _options), do: "#Python.Buffer<#{byte_size(buffer.data)} bytes>"
  end
end
