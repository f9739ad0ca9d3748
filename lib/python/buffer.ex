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
    def inspect(%{data: data}, _options) when is_binary(data),
      do: "#Python.Buffer<#{byte_size(data)} bytes>"

    # Memory of the library's own: see `Python.Table`.
    def inspect(_buffer, _options), do: "#Python.Buffer<…>"
  end
end
