defmodule Python.Array do
  @moduledoc """
  An array of numbers: its bytes, the type of its items, and its shape.

  As an argument it is a read-only `numpy.ndarray` over the bytes of the binary, without a copy:

      array = Python.Array.new(<<1::64-native, 2::64-native, 3::64-native>>, {:s, 64}, {3})
      Python.call(:numpy, :sum, [array])
      #=> {:ok, 6}

  `from/2` gets one out of Python, from numpy, torch and other libraries:

      iex> matrix = Python.eval!("memoryview(bytes(range(6))).cast('B', (2, 3))", %{}, return: :object)
      iex> {:ok, array} = Python.Array.from(matrix)
      iex> array
      #Python.Array<u8 {2, 3}>
      iex> for <<item <- array.data>>, do: item
      [0, 1, 2, 3, 4, 5]

  | field | |
  |---|---|
  | `:data` | the items, in row-major order, each in the order of bytes of this machine |
  | `:dtype` | the type of an item and its bits: see `t:dtype/0` |
  | `:shape` | the number of items in each dimension, a tuple; `{}` for a single item |

  Without the package numpy an array is a `Python.EncodeError`. One of `{:bf, 16}` needs the package `ml_dtypes`, too, which has this type
  for numpy; without it, and where torch is imported, it becomes a tensor of torch, with a copy of the data.

  If Nx is loaded, an `Nx.Tensor` is converted in the same way, without its names. See `Python.Nx` for results.
  """

  alias Python.{Arguments, Home, Operation, Options, Request}

  @enforce_keys [:data, :dtype, :shape]
  defstruct [:data, :dtype, :shape]

  @typedoc """
  The type of an item: floats, `bfloat16`, signed and unsigned integers, complex numbers (two floats), and booleans (a byte
  each, 0 or 1).
  """
  @type dtype ::
          {:f, 16 | 32 | 64}
          | {:bf, 16}
          | {:s | :u, 8 | 16 | 32 | 64}
          | {:c, 64 | 128}
          | {:bool, 8}

  @type t :: %__MODULE__{data: binary, dtype: dtype, shape: tuple}

  @dtypes [
    f: 16,
    f: 32,
    f: 64,
    bf: 16,
    s: 8,
    s: 16,
    s: 32,
    s: 64,
    u: 8,
    u: 16,
    u: 32,
    u: 64,
    c: 64,
    c: 128,
    bool: 8
  ]

  @doc """
  Returns the array of a binary with the items in row-major order.

  Raises `ArgumentError` if there is no such type, or if the binary does not have as many bytes as type and shape ask for.

  ## Examples

      iex> Python.Array.new(<<1.0::float-32-native, 2.0::float-32-native>>, {:f, 32}, {2, 1})
      #Python.Array<f32 {2, 1}>
  """
  @spec new(binary, dtype, tuple) :: t
  def new(data, dtype, shape) when is_binary(data) do
    unless dtype in @dtypes do
      raise ArgumentError,
            "expected the dtype of an array, one of #{Enum.map_join(@dtypes, ", ", &inspect/1)}, " <>
              "got: #{Arguments.short(dtype)}"
    end

    size = size(dtype, shape)

    unless byte_size(data) == size do
      raise ArgumentError,
            "expected a binary of #{size} bytes for the dtype #{inspect(dtype)} and the shape #{inspect(shape)}, " <>
              "got: one of #{byte_size(data)}"
    end

    %__MODULE__{data: data, dtype: dtype, shape: shape}
  end

  def new(other, _dtype, _shape) do
    raise ArgumentError, "expected the data of an array, a binary, got: #{Arguments.short(other)}"
  end

  defp size({_kind, bits}, shape) do
    counts = if is_tuple(shape), do: Tuple.to_list(shape), else: [nil]

    unless Enum.all?(counts, &(is_integer(&1) and &1 >= 0)) do
      raise ArgumentError,
            "expected the shape of an array, a tuple of the number of items in each dimension such as {2, 3}, " <>
              "got: #{Arguments.short(shape)}"
    end

    Enum.product(counts) * div(bits, 8)
  end

  @doc """
  Returns the items of a Python object as an array, `{:ok, array}` or `{:error, exception}`.

  The object may be an array of numpy, a tensor of torch in the memory of the processor, an image of PIL, a `memoryview`, an
  `array.array`, `bytes`, or whatever else has the buffer protocol, `__array_interface__`, `__dlpack__` or `__array__`. Its items may lie
  in any order, with gaps, and in the other order of bytes. They are copied once, and large ones without the GIL, so that
  other calls go on meanwhile. At most 4 GiB can be copied.

  What has no plain numbers is a `Python.DecodeError` that names the dtype: strings, dates, structs, objects, numbers
  of other sizes.

  The options are those of `Python.to_term/2`, and:

    * `:copy` - if `false`, the array shares the memory of the object, which must be one that nobody can change: that of
      `bytes`, or of a binary that came from Elixir. Other memory is a `Python.DecodeError`. Defaults to `true`.

  ## Examples

      iex> {:ok, array} = Python.Array.from(Python.call!(:array, :array, ["H", [1, 2, 65535]]))
      iex> {array.dtype, array.shape, array.data}
      {{:u, 16}, {3}, <<1::16-native, 2::16-native, 65535::16-native>>}
  """
  @spec from(Python.Object.t() | t, keyword) :: {:ok, t} | {:error, Exception.t()}
  def from(object, opts \\ [])

  def from(%__MODULE__{} = array, opts) do
    Options.call(opts, :array)
    {:ok, array}
  end

  def from(object, opts) do
    Arguments.handle!(object)
    options = opts |> Options.call(:array) |> Home.options(object)
    Request.run(Operation.array(object, options.copy), options)
  end

  @doc """
  Returns the items of a Python object as an array, or raises the exception. Takes the options of `from/2`.

  ## Examples

      iex> Python.Array.from!(Python.eval!("memoryview(b'abcd').cast('B', (2, 2))", return: :object))
      #Python.Array<u8 {2, 2}>
  """
  @spec from!(Python.Object.t() | t, keyword) :: t
  def from!(object, opts \\ []), do: Python.Error.value!(from(object, opts))

  defimpl Inspect do
    def inspect(%{dtype: {kind, bits}, shape: shape}, _options)
        when is_atom(kind) and is_integer(bits),
        do: "#Python.Array<#{kind}#{bits} #{Kernel.inspect(shape)}>"

    def inspect(array, options), do: Inspect.Any.inspect(array, options)
  end
end
