defmodule Python.Nodes.DataTest do
  # Arrays and data frames of another node.

  use ExUnit.Case, async: true

  import Python.Nodes, only: [on_a: 2, on_a: 3]

  alias Python.{Nodes, Packages}

  @packages ~w(numpy pandas polars pyarrow duckdb)

  @moduletag skip: Packages.skip(__ENV__, @packages)
  @moduletag timeout: 300_000

  setup_all do
    {:ok, venv} = Packages.venv(@packages)
    [a, b] = Nodes.start(2, settings: [python_path: venv])
    code = "Python.exec!(\"import numpy, pandas, polars, pyarrow, duckdb\", timeout: 120_000)"
    for node <- [a, b], do: Nodes.eval(node, code, [], 150_000)
    %{a: a, b: b}
  end

  test "an array is an argument there, and one of there is read here", context do
    assert on_a(context, """
           array = Python.Array.new(<<1.5::float-native, 2.5::float-native>>, {:f, 64}, {2})
           sum = Python.eval!("float(x.sum())", %{x: array}, pool: there)
           object = Python.eval!("x * 2", %{x: array}, pool: there, return: :object)
           array = Python.Array.from!(object)
           {:ok, ^array} = Python.Array.from(object, pool: there)
           {sum, array.data, array.dtype, array.shape}
           """) == {4.0, <<3.0::float-native, 5.0::float-native>>, {:f, 64}, {2}}
  end

  test "a large array, and its memory that is not copied there, come in one piece", context do
    assert on_a(context, """
           object = Python.eval!("numpy.arange(1_000_000.0)", %{}, pool: there, return: :object)
           shared = Python.eval!("bytes(range(256)) * 1_000", %{}, pool: there, return: :object)
           {:ok, array} = Python.Array.from(object)
           {:ok, bytes} = Python.Array.from(shared, copy: false)
           <<_::binary-size(7_999_992), last::float-native>> = array.data
           {array.shape, last, bytes.shape, :binary.last(bytes.data)}
           """) == {{1_000_000}, 999_999.0, {256_000}, 255}
  end

  test "tensors are arguments there, and made of arrays of there", context do
    Nodes.eval(context.a, "Code.require_file(path)", path: Path.expand("test/support/fake_nx.exs"))

    assert on_a(context, """
           tensor = Nx.from_binary(<<1.5::float-native, 2.5::float-native>>, {:f, 64}, [])
           object = Python.eval!("x + 1", %{x: tensor}, pool: there, return: :object)
           Nx.to_binary(Python.Nx.from!(object))
           """) == <<2.5::float-native, 3.5::float-native>>
  end

  test "what is no array there is the error that it is here", context do
    code = """
    object = Python.eval!("numpy.array([object()])", %{}, OPTIONS)
    {:error, error} = Python.Array.from(object)
    {error.__struct__, Exception.message(error)}
    """

    there = on_a(context, String.replace(code, "OPTIONS", "pool: there, return: :object"))
    assert there == on_a(context, String.replace(code, "OPTIONS", "return: :object"))
    assert {Python.DecodeError, _} = there
  end

  test "data frames are made there and read here", context do
    columns = [
      {"i", Enum.to_list(1..3_000)},
      {"f", Enum.map(1..3_000, &(&1 / 4))},
      {"t", Enum.map(1..3_000, &"text #{&1}")},
      {"b", Enum.map(1..3_000, &(rem(&1, 2) == 0))},
      {"n", Enum.map(1..3_000, &if(rem(&1, 3) > 0, do: &1))}
    ]

    for library <- [:polars, :pyarrow, :duckdb] do
      assert on_a(
               context,
               """
               frame = Python.Table.new!(columns, as: library, pool: there)
               # A relation of an older duckdb can be read once.
               rows = Python.Table.rows!(Python.Table.new!(columns, as: library, pool: there))
               {Python.Table.columns!(frame), length(rows), elem(frame.home, 1)}
               """,
               columns: columns,
               library: library
             ) == {columns, 3_000, context.b.node}
    end
  end

  test "frames of pandas, and pools that are near or far", context do
    assert on_a(context, """
           for pool <- [there, {Python.Pool, :any}, {Python.Pool, node()}, Python.Pool] do
             frame = Python.Table.new!([a: [1, 2], b: ["x", nil]], as: :pandas, pool: pool)
             Python.Table.columns!(frame)
           end
           """) == List.duplicate([{"a", [1, 2]}, {"b", ["x", nil]}], 4)
  end

  test "IPC crosses both ways", context do
    assert on_a(context, """
           frame = Python.Table.new!([a: [1, 2]], as: :polars, pool: there)
           ipc = Python.Table.to_ipc!(frame)
           here = Python.Table.from_ipc!(ipc, as: :pyarrow)
           again = Python.Table.from_ipc!(ipc, as: :polars, pool: there)
           {Python.Table.columns!(here), Python.Table.columns!(again)}
           """) == {[{"a", [1, 2]}], [{"a", [1, 2]}]}
  end

  test "what is no frame there is the error that it is here", context do
    code = """
    {:error, error} = Python.Table.columns(Python.eval!("object()", %{}, OPTIONS))
    {error.__struct__, Exception.message(error)}
    """

    there = on_a(context, String.replace(code, "OPTIONS", "pool: there, return: :object"))
    assert there == on_a(context, String.replace(code, "OPTIONS", "return: :object"))
  end
end
