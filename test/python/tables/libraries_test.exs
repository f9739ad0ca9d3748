defmodule Python.Tables.LibrariesTest do
  # What each library has in its frames, and frames that are made.

  use Python.EngineCase, async: true

  alias Python.{Array, DecodeError, FreshVM, Packages}

  @packages ~w(numpy pandas polars pyarrow duckdb)

  @moduletag skip: Packages.skip(__ENV__, @packages)
  @moduletag timeout: 300_000

  setup_all do
    {:ok, venv} = Packages.venv(@packages)
    vm = FreshVM.start(settings: [python_path: venv])

    FreshVM.call(vm, Python, :exec!, [
      """
      import datetime as dt, decimal
      import numpy as np, pandas as pd, polars as pl, pyarrow as pa, duckdb
      """,
      [timeout: 120_000]
    ])

    %{vm: vm}
  end

  defp table(vm, function, code, options \\ []) do
    eval(
      vm,
      "Python.Table.#{function}(Python.eval!(code, %{}, return: :object), options)",
      code: code,
      options: options
    )
  end

  defp eval(vm, code, bindings \\ []),
    do: elem(FreshVM.call(vm, Code, :eval_string, [code, bindings], 60_000), 0)

  describe "pandas" do
    test "has numbers, text, times and what is missing", %{vm: vm} do
      frame = """
      pd.DataFrame({
        'int': [1, 2], 'small': np.array([-1, 3], 'i1'), 'large': np.array([2**64 - 1, 0], 'u8'), 'half': np.array([0.5, -2], 'f2'),
        'float': [0.5, float('nan')], 'bool': [True, False], 'text': ['x', None], 'bytes': [b'\\xff', None],
        'moment': pd.to_datetime(['2024-02-29 12:00:00.5', None]),
        'zoned': pd.to_datetime(['2024-07-01 12:00', None]).tz_localize('Europe/Berlin'),
        'days': np.array(['2024-02-29', 'NaT'], 'M8[D]'),
        'span': pd.to_timedelta(['1500 ms', None]),
        'date': [dt.date(2020, 1, 1), None],
        'category': pd.Categorical(['u', None]), 'number': pd.Categorical([3, 4]),
        'nullable': pd.array([1, None], dtype='Int64'), 'maybe': pd.array([True, None], dtype='boolean'),
        'mixed': [1, 'a'], 'nested': [{'k': [1]}, [None]], 'decimal': [decimal.Decimal('1.50'), None],
        'huge': [2**100, None],
      })
      """

      assert table(vm, :columns, frame) ==
               {:ok,
                [
                  {"int", [1, 2]},
                  {"small", [-1, 3]},
                  {"large", [18_446_744_073_709_551_615, 0]},
                  {"half", [0.5, -2.0]},
                  {"float", [0.5, :nan]},
                  {"bool", [true, false]},
                  {"text", ["x", nil]},
                  {"bytes", [<<255>>, nil]},
                  {"moment", [~N[2024-02-29 12:00:00.500000], nil]},
                  {"zoned", [~U[2024-07-01 10:00:00Z], nil]},
                  {"days", [~N[2024-02-29 00:00:00], nil]},
                  {"span", [1_500_000, nil]},
                  {"date", [~D[2020-01-01], nil]},
                  {"category", ["u", nil]},
                  {"number", [3, 4]},
                  {"nullable", [1, nil]},
                  {"maybe", [true, nil]},
                  {"mixed", [1, "a"]},
                  {"nested", [%{"k" => [1]}, [nil]]},
                  {"decimal", [%Decimal{sign: 1, coef: 150, exp: -2}, nil]},
                  {"huge", [2 ** 100, nil]}
                ]}

      assert {:ok, [row, _]} =
               table(vm, :rows, frame, nan: nil, decode: [timedelta: :milliseconds])

      assert %{"int" => 1, "span" => 1_500, "zoned" => ~U[2024-07-01 10:00:00Z]} = row
      assert map_size(row) == 21
      assert {:ok, [_, %{"float" => nil}]} = table(vm, :rows, frame, nan: nil)
    end

    test "has labels that are no text, frames without columns or rows, and parts of others", %{
      vm: vm
    } do
      assert table(vm, :columns, "pd.DataFrame({1: [2], ('a', 'b'): [3]})") ==
               {:ok, [{"1", [2]}, {"('a', 'b')", [3]}]}

      assert table(vm, :columns, "pd.DataFrame()") == {:ok, []}
      assert table(vm, :rows, "pd.DataFrame()") == {:ok, []}
      assert table(vm, :columns, "pd.DataFrame({'a': []})") == {:ok, [{"a", []}]}
      assert table(vm, :rows, "pd.DataFrame({'a': pd.Series([], dtype='str')})") == {:ok, []}

      assert table(vm, :columns, "pd.DataFrame({'a': range(9), 'b': range(9)})[1::3]") ==
               {:ok, [{"a", [1, 4, 7]}, {"b", [1, 4, 7]}]}

      assert table(vm, :columns, "pd.DataFrame({'a': [1, 2]}, index=['x', 'y']).reset_index()") ==
               {:ok, [{"index", ["x", "y"]}, {"a", [1, 2]}]}

      assert table(vm, :columns, "pd.Series([1.5], name='s')") == {:ok, [{"s", [1.5]}]}
    end
  end

  describe "duckdb" do
    test "has relations", %{vm: vm} do
      query = """
      duckdb.sql(\"\"\"select 1 as a, 'x' as b, null as c, [1, 2] as d, {'k': 5} as e, map {'q': 1} as m, sum(range) as s,
        1.50::decimal(5, 2) as n, timestamptz '2024-01-01 00:00:00+00' as t, interval '1 day 2 ms' as i from range(3)\"\"\")
      """

      case table(vm, :rows, query) do
        # The versions without Arrow's stream give Python's own objects.
        {:ok, [%{"i" => %Python.Object{}} = row]} ->
          assert row["a"] == 1

        {:ok, [row]} ->
          assert row == %{
                   "a" => 1,
                   "b" => "x",
                   "c" => nil,
                   "d" => [1, 2],
                   "e" => %{"k" => 5},
                   "m" => %{"q" => 1},
                   "s" => 3,
                   "n" => %Decimal{sign: 1, coef: 150, exp: -2},
                   "t" => ~U[2024-01-01 00:00:00Z],
                   "i" => 86_400_002_000
                 }
      end
    end
  end

  describe "an error" do
    test "names what is no frame, and the column", %{vm: vm} do
      for {code, text} <- [
            {"[1]", "got: an object of the class list"},
            {"pl.DataFrame({'a': [1]}).lazy()", "call its collect()"},
            {"pl.Series([1])", "got: a single column"}
          ] do
        assert {:error, %DecodeError{reason: reason}} = table(vm, :columns, code)
        assert reason =~ text
      end

      twice = "pd.DataFrame([[1, 2]], columns=['a', 'a'])"
      assert {:error, %DecodeError{reason: reason}} = table(vm, :rows, twice)
      assert reason =~ ~s(two columns have the name "a")
      assert table(vm, :columns, twice) == {:ok, [{"a", [1]}, {"a", [2]}]}

      assert {:error, %DecodeError{path: path}} =
               table(
                 vm,
                 :columns,
                 "pl.DataFrame({'far': pl.Series([2**62], dtype=pl.Int64).cast(pl.Datetime('ms'))})"
               )

      assert path == ~s(["far"])

      union =
        "pa.table({'u': pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])])})"

      assert {:error, %DecodeError{reason: reason}} = table(vm, :columns, union)
      assert reason =~ ~s(the column "u" has a type without a counterpart)
    end

    test "of the stream is told", %{vm: vm} do
      broken = """
      (lambda schema: pa.RecordBatchReader.from_batches(schema, iter((lambda: (yield from [1 / 0]))())))(pa.schema([('a', pa.int64())]))
      """

      assert {:error, error} = table(vm, :columns, broken)
      assert Exception.message(error) =~ "division by zero"
    end

    test "is raised for options and data that make no sense", %{vm: vm} do
      assert_raise ArgumentError, ~r/expected the option :nan to be/, fn ->
        table(vm, :columns, "pd.DataFrame()", nan: 0) |> raise_it()
      end

      assert_raise ArgumentError, ~r/expected the option :as to be the library/, fn ->
        Python.Table.new([a: [1]], [])
      end

      for data <- [1, [1], [{1, [2]}], [a: 1], [%{a: 1}, 2], [{"a", [1 | 2]}], %{nil => [1]}] do
        assert_raise ArgumentError, ~r/expected the data of a table/, fn ->
          Python.Table.new(data, as: :pandas)
        end
      end

      assert_raise ArgumentError, ~r/two with the name "a"/, fn ->
        Python.Table.new([{"a", [1]}, {:a, [2]}], as: :pandas)
      end

      assert_raise ArgumentError, ~r/expected an IPC stream, a binary/, fn ->
        Python.Table.from_ipc(1, as: :pandas)
      end
    end
  end

  defp raise_it(_), do: flunk("not raised")

  describe "Table.new" do
    test "makes frames of columns", %{vm: vm} do
      columns = [
        {"a", [1, 2, 3]},
        {"b", ["x", "größe", nil]},
        {"c", [0.5, 1.5, -2.0]},
        {"d", [~D[2020-01-01], nil, ~D[2021-01-01]]},
        {"e", [true, false, true]},
        {"f", [[1], [], [2, 3]]},
        {"t", [~N[2024-01-01 12:00:00], nil, ~N[2024-01-01 12:00:00.5]]}
      ]

      for library <- [:pandas, :polars, :pyarrow, :duckdb] do
        {class, got} =
          eval(
            vm,
            """
            frame = Python.Table.new!(columns, as: library)
            {Python.eval!("type(f).__module__", %{f: frame}), Python.Table.columns!(frame)}
            """,
            columns: columns,
            library: library
          )

        assert class =~ Atom.to_string(library)

        expected =
          for {name, cells} <- columns do
            {name, Enum.map(cells, &precise(library, name, &1))}
          end

        assert Enum.map(got, fn {name, cells} ->
                 {name, Enum.map(cells, &precise(library, name, &1))}
               end) ==
                 expected
      end
    end

    # Some say six digits of a second where others say none.
    defp precise(_library, "t", %NaiveDateTime{} = moment),
      do: NaiveDateTime.truncate(moment, :millisecond) |> NaiveDateTime.to_gregorian_seconds()

    defp precise(_library, _name, cell), do: cell

    test "has a gap wherever a cell is missing", %{vm: vm} do
      kinds = [
        {:polars, [1, -2, 1_152_921_504_606_846_976]},
        {:pyarrow, [0.5, -1.0e300]},
        {:polars, [true, false]},
        {:duckdb, ["", "ä", String.duplicate("long", 30)]},
        {:pandas, [2.5, -0.0]}
      ]

      for {library, cells} <- kinds, length <- [1, 7, 8, 9, 16, 17], first <- 0..(length - 1) do
        column =
          for at <- 0..length do
            if at != length and rem(at - first, 3) == 0,
              do: nil,
              else: Enum.at(cells, rem(at, length(cells)))
          end

        expected = if library == :pandas, do: Enum.map(column, &(&1 || :nan)), else: column

        assert eval(
                 vm,
                 "Python.Table.columns!(Python.Table.new!([c: column], as: library))",
                 column: column,
                 library: library
               ) == [{"c", expected}]
      end
    end

    test "leaves to the library what is not of one kind", %{vm: vm} do
      new = "Python.Table.new!([c: cells], as: library) |> Python.Table.columns!()"

      for {library, cells} <- [
            {:pyarrow, [1, 2.5]},
            {:polars, [<<0xFF>>, <<0xC3>>]},
            {:pyarrow, [1, 9_223_372_036_854_775_807, nil]},
            {:pandas, [1, "a", nil]},
            {:pandas, [2 ** 70, 1]},
            {:polars, []},
            {:polars, [nil, nil]}
          ] do
        assert eval(vm, new, cells: cells, library: library) == [{"c", cells}]
      end

      # Parts that make a character together only.
      assert {:error, %Python.Error{}} =
               eval(vm, "Python.Table.new([c: cells], as: :pyarrow)",
                 cells: [<<0xC3>>, <<0xA9>>, "x", 5]
               )

      assert [{"c", [<<0xC3>>, <<0xA9>>]}] =
               eval(vm, "Python.Table.columns!(Python.Table.new!([c: cells], as: :pyarrow))",
                 cells: [<<0xC3>>, <<0xA9>>]
               )

      assert [{"c", [1, "x"]}] =
               eval(vm, """
               cells = Python.eval!("(1, 'x')", %{}, return: :object)
               Python.Table.columns!(Python.Table.new!([c: cells], as: :pandas))
               """)
    end

    test "lets pandas write to what it has made", %{vm: vm} do
      assert eval(vm, """
             frame = Python.Table.new!([i: [1, 2], f: [0.5, nil], b: [true, false]], as: :pandas)
             Python.exec!("def change(frame):\n frame.loc[1, 'i'] = 5\n frame.loc[0, 'f'] = 7.0")
             Python.call!("__main__", :change, [frame])
             Python.Table.columns!(frame)
             """) == [{"i", [1, 5]}, {"f", [7.0, :nan]}, {"b", [true, false]}]
    end

    test "takes maps, rows, arrays and names that are atoms", %{vm: vm} do
      made = fn data ->
        eval(vm, "Python.Table.columns!(Python.Table.new!(data, as: :polars))", data: data)
      end

      assert made.(%{a: [1]}) == [{"a", [1]}]
      assert made.(a: 1..3) == [{"a", [1, 2, 3]}]
      assert made.([%{a: 1, b: "x"}, %{b: "y"}]) == [{"a", [1, nil]}, {"b", ["x", "y"]}]
      assert made.([%{"b" => 1}, %{"a" => 2}]) == [{"b", [1, nil]}, {"a", [nil, 2]}]
      assert made.([]) == []
      array = Array.new(<<1.5::float-native, 2.5::float-native>>, {:f, 64}, {2})
      assert made.(x: array) == [{"x", [1.5, 2.5]}]
    end
  end

  test "IPC goes from each library to each", %{vm: vm} do
    libraries = [:pandas, :polars, :pyarrow, :duckdb]

    columns = [
      {"a", [1, 2]},
      {"b", ["x", nil]},
      {"c", [0.5, 1.5]},
      {"d", [~U[2024-01-01 00:00:00Z], nil]}
    ]

    for from <- libraries, to <- libraries do
      got =
        eval(
          vm,
          """
          ipc = Python.Table.to_ipc!(Python.Table.new!(columns, as: from))
          true = is_binary(ipc)
          Python.Table.columns!(Python.Table.from_ipc!(ipc, as: to))
          """,
          columns: columns,
          from: from,
          to: to
        )

      assert {from, to, got} == {from, to, columns}
    end

    file =
      "(lambda b: (pl.DataFrame({'a': [1]}).write_ipc(b), b.getvalue())[1])(__import__('io').BytesIO())"

    for to <- libraries do
      assert [{"a", [1]}] ==
               eval(
                 vm,
                 "Python.Table.columns!(Python.Table.from_ipc!(Python.eval!(code), as: to))",
                 code: file,
                 to: to
               )
    end
  end

  test "a table of pyarrow uses the memory of the binary", %{vm: vm} do
    assert eval(vm, """
           ipc = Python.Table.to_ipc!(Python.Table.new!([a: Enum.to_list(1..100_000)], as: :pyarrow))
           before = Python.eval!("pa.total_allocated_bytes()")
           table = Python.Table.from_ipc!(ipc, as: :pyarrow)
           grown = Python.eval!("pa.total_allocated_bytes()") - before
           {grown < 10_000, Python.eval!("t['a'][99_999].as_py()", %{t: table})}
           """) == {true, 100_000}
  end

  test "a data frame of Explorer is an argument", %{vm: vm} do
    code = """
    defmodule Explorer.DataFrame do
      defstruct [:stream]
      def dump_ipc_stream!(frame), do: frame.stream
    end
    """

    eval(vm, code)

    assert eval(vm, """
           ipc = Python.Table.to_ipc!(Python.Table.new!([a: [1, 2]], as: :pyarrow))
           frame = struct(Explorer.DataFrame, stream: ipc)
           Python.eval!("(type(f).__module__, f['a'].sum())", %{f: frame})
           """) == {"polars.dataframe.frame", 3}
  end
end
