defmodule Python.Nx do
  @moduledoc """
  Tensors of Nx from Python. The package `:nx` must be a dependency of yours.

  An `Nx.Tensor` can be an argument like any other value: in Python it is a read-only `numpy.ndarray`, over the bytes of the
  tensor if they are in a binary, as those of `Nx.BinaryBackend` are. Its names are not known to Python.

      tensor = Nx.tensor([[1, 2], [3, 4]])
      inverse = Python.call!(:"numpy.linalg", :inv, [tensor])
      Python.Nx.from!(inverse, names: [:row, :column])
  """

  alias Python.{Arguments, Options}

  @doc """
  Returns a tensor with the items of a Python object, `{:ok, tensor}` or `{:error, exception}`.

  Takes the objects and the options of `Python.Array.from/2`. Booleans become `{:u, 8}`, as Nx has no type for
  them. Raises `ArgumentError` if Nx is not loaded.

  ## Options

    * `:names` - the names of the dimensions, a list as in `Nx.tensor/2`.
    * `:backend` - the backend of the tensor, such as `EXLA.Backend` or `{EXLA.Backend, client: :cuda}`. Defaults to Nx's default.

  ## Examples

      iex> object = Python.eval!("memoryview(b'abcd')", %{}, return: :object)
      iex> {:ok, tensor} = Python.Nx.from(object, names: [:byte])
      iex> {tensor.type, tensor.shape, tensor.names}
      {{:u, 8}, {4}, [:byte]}
  """
  @spec from(Python.Object.t() | Python.Array.t(), keyword) ::
          {:ok, struct} | {:error, Exception.t()}
  def from(object, opts \\ []) do
    loaded!()
    {own, opts} = split(opts)

    with {:ok, array} <- Python.Array.from(object, opts) do
      {:ok, tensor(array, own)}
    end
  end

  @doc """
  Returns a tensor with the items of a Python object, or raises the exception. Takes the options of `from/2`.

  ## Examples

      iex> array = Python.Array.new(<<1, 2, 3, 4>>, {:u, 8}, {2, 2})
      iex> Nx.to_binary(Python.Nx.from!(array))
      <<1, 2, 3, 4>>
  """
  @spec from!(Python.Object.t() | Python.Array.t(), keyword) :: struct
  def from!(object, opts \\ []), do: Python.Error.value!(from(object, opts))

  defp split(opts) do
    if Keyword.keyword?(opts) do
      Keyword.split(opts, [:names, :backend])
    else
      {[], Options.call(opts, :array)}
    end
  end

  defp tensor(array, opts) do
    type = if array.dtype == {:bool, 8}, do: {:u, 8}, else: array.dtype

    # A tensor with no items cannot be made from a binary.
    if array.data == "" do
      raise ArgumentError,
            "expected an array with items, got: one of the shape #{Arguments.short(array.shape)}, which Nx has no tensors of"
    end

    # Nx may not be there when this is compiled.
    tensor = apply(Nx, :from_binary, [array.data, type, Keyword.take(opts, [:backend])])
    apply(Nx, :reshape, [tensor, array.shape, Keyword.take(opts, [:names])])
  end

  defp loaded! do
    unless Code.ensure_loaded?(Nx) do
      raise ArgumentError,
            "expected Nx to be loaded: add {:nx, \"~> 0.6\"} to the dependencies, or use Python.Array.from/2"
    end
  end
end

defimpl Python.Encoder, for: Nx.Tensor do
  # Axes that are vectorized come first, as the data has them.
  def encode(tensor) do
    axes = for {_name, size} <- Map.get(tensor, :vectorized_axes, []), do: size
    shape = List.to_tuple(axes ++ Tuple.to_list(tensor.shape))
    Python.Array.new(apply(Nx, :to_binary, [tensor]), tensor.type, shape)
  end
end
