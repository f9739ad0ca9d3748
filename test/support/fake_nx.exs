# What Python.Nx uses of Nx, for tests without it.

defmodule Nx.Tensor do
  defstruct [:data, :type, :shape, names: [], vectorized_axes: []]
end

defmodule Nx do
  def to_binary(%Nx.Tensor{data: data}), do: data

  def from_binary(data, {_kind, bits} = type, opts) do
    [] = Keyword.drop(opts, [:backend])
    %Nx.Tensor{data: data, type: type, shape: {div(byte_size(data) * 8, bits)}, names: [nil]}
  end

  def reshape(tensor, shape, opts) do
    names = Keyword.get(opts, :names, List.duplicate(nil, tuple_size(shape)))
    ^shape = List.to_tuple(Tuple.to_list(shape))
    %{tensor | shape: shape, names: names}
  end

  def tensor(numbers, type: {:f, 32}, names: names) do
    data = for number <- List.flatten(numbers), into: <<>>, do: <<number::float-32-native>>
    shape = {length(numbers), length(hd(numbers))}
    %Nx.Tensor{data: data, type: {:f, 32}, shape: shape, names: names}
  end
end
