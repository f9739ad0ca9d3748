defmodule Python.Buffer do
  @moduledoc """
  A binary that Python sees as a buffer. See `Python.buffer/2`.

      iex> Python.buffer("abc")
      #Python.Buffer<3 bytes>
  """

  @enforce_keys [:data]
  defstruct [:data, copy: false]

  @type t :: %__MODULE__{data: binary, copy: boolean}

  defimpl Inspect do
    def inspect(buffer, _options), do: "#Python.Buffer<#{byte_size(buffer.data)} bytes>"
  end
end
