defmodule Python.Tables.PackingTest do
  # Columns on their way in and out: long ones, many, uneven ones, and those that are not of one kind after all.

  use Python.EngineCase, async: true

  alias Python.{FreshVM, Packages}

  @packages ~w(numpy pandas polars pyarrow duckdb)

  @moduletag skip: Packages.skip(__ENV__, @packages)
  @moduletag timeout: 300_000

  setup_all do
    {:ok, venv} = Packages.venv(@packages)
    vm = FreshVM.start(settings: [python_path: venv])
    imports = "import numpy, pandas, polars, pyarrow, duckdb"
    FreshVM.call(vm, Python, :exec!, [imports, [timeout: 120_000]])
    %{vm: vm}
  end

  defp eval(vm, code, bindings \\ []),
    do: elem(FreshVM.call(vm, Code, :eval_string, [code, bindings], 60_000), 0)

  defp round_trip(vm, columns, library) do
    code = "Python.Table.columns!(Python.Table.new!(columns, as: library))"
    eval(vm, code, columns: columns, library: library)
  end

  # Lengths at which something begins anew.
  @lengths [1, 7, 8, 9, 1_023, 1_024, 1_025, 4_100, 20_000]

  test "columns of any length are what they were", %{vm: vm} do
    for library <- [:polars, :pyarrow, :duckdb], length <- @lengths do
      numbers = Enum.to_list(1..length)

      columns = [
        {"i", numbers},
        {"f", Enum.map(numbers, &(&1 / 7))},
        {"t", Enum.map(numbers, &String.duplicate("ä", rem(&1, 70)))},
        {"b", Enum.map(numbers, &(rem(&1, 3) == 0))},
        {"last", Enum.map(numbers, &if(&1 == length, do: nil, else: &1))},
        {"first", Enum.map(numbers, &if(&1 == 1, do: nil, else: "t#{&1}"))}
      ]

      # One of which nothing is there has a type of its own in each library.
      columns = if length == 1, do: Enum.take(columns, 4), else: columns
      assert round_trip(vm, columns, library) == columns
    end
  end

  test "there may be many columns, of several kinds, in turn", %{vm: vm} do
    columns =
      for number <- 1..70 do
        cell =
          case rem(number, 5) do
            0 -> &(&1 * number)
            1 -> &(&1 / number)
            2 -> &"#{&1} of #{number}"
            3 -> &(rem(&1, number) == 0)
            4 -> &[&1, number]
          end

        {"column #{number}", Enum.map(1..1_500, cell)}
      end

    for library <- [:polars, :pyarrow] do
      assert round_trip(vm, columns, library) == columns
    end
  end

  test "a cell of another kind is found wherever it is", %{vm: vm} do
    for at <- [0, 1, 1_023, 1_024, 2_999], kind <- [:late_object, :late_float] do
      cells = Enum.to_list(1..3_000)

      other =
        case kind do
          :late_object -> [1]
          :late_float -> 0.5
        end

      cells = List.replace_at(cells, at, other)
      columns = [{"even", Enum.to_list(1..3_000)}, {"odd", cells}]

      assert [{"even", even}, {"odd", odd}] =
               eval(vm, "Python.Table.columns!(Python.Table.new!(columns, as: :pandas))",
                 columns: columns
               )

      assert even == Enum.to_list(1..3_000)
      assert Enum.zip_with(odd, cells, &(&1 == &2)) |> Enum.all?()
    end
  end

  test "columns of different lengths are an error of the library, whichever is longer", %{vm: vm} do
    for {one, other} <- [{1, 5_000}, {5_000, 1}, {3_000, 3_001}],
        library <- [:polars, :pyarrow] do
      assert {:error, %Python.Error{}} =
               eval(
                 vm,
                 "Python.Table.new([a: Enum.to_list(1..one), b: Enum.to_list(1..other)], as: library)",
                 one: one,
                 other: other,
                 library: library
               )
    end
  end

  test "an improper list is refused, wherever it is", %{vm: vm} do
    for columns <- [
          [a: [1 | 2]],
          [a: [1, 2], b: [1 | 2]],
          [a: [1 | 2], b: [1, 2]],
          [a: Enum.to_list(1..2_000) ++ :end],
          [a: ["x" | "y"], b: [1]]
        ],
        library <- [:polars, :pandas] do
      assert_raise ArgumentError, ~r/expected the data of a table/, fn ->
        case eval(
               vm,
               """
               try do
                 Python.Table.new(columns, as: library)
               rescue
                 error -> {:raised, error}
               end
               """,
               columns: columns,
               library: library
             ) do
          {:raised, error} -> raise error
          other -> flunk("not raised: #{inspect(other)}")
        end
      end
    end
  end

  test "text that is none stays bytes, and is found wherever it is", %{vm: vm} do
    for at <- [0, 1_023, 1_024, 2_047] do
      cells = 1..2_048 |> Enum.map(&"#{&1}") |> List.replace_at(at, <<0xC3>>)

      assert round_trip(vm, [{"c", cells}], :pyarrow) == [{"c", cells}]
      bytes = Enum.map(cells, fn _ -> <<0xFF, 0xC3>> end)
      assert round_trip(vm, [{"c", bytes}], :pyarrow) == [{"c", bytes}]
    end
  end

  test "columns of several chunks are whole", %{vm: vm} do
    code = """
    frame = Python.eval!(code, %{}, return: :object)
    {Python.Table.columns!(frame), length(Python.Table.rows!(frame))}
    """

    parts =
      "[{'i': [1, 300], 'f': [0.5, 1.5], 't': ['a', 'b' * 300]}, {'i': [2, -5], 'f': [-1.0, 0.0], 't': ['', 'ä']}"

    whole = [
      {"i", [1, 300, 2, -5]},
      {"f", [0.5, 1.5, -1.0, 0.0]},
      {"t", ["a", String.duplicate("b", 300), "", "ä"]}
    ]

    for frame <- [
          "polars.concat([polars.DataFrame(part) for part in #{parts}]], rechunk=False)",
          "pyarrow.concat_tables([pyarrow.table(part) for part in #{parts}]])"
        ] do
      assert eval(vm, code, code: frame) == {whole, 4}
    end

    empty =
      "pyarrow.concat_tables([pyarrow.table({'i': [1]}).slice(0, 0), pyarrow.table({'i': [1]}), pyarrow.table({'i': [2]})])"

    assert eval(vm, code, code: empty) == {[{"i", [1, 2]}], 2}
  end

  test "numbers that are none, that are large, and parts of columns", %{vm: vm} do
    for {code, cells} <- [
          {"polars.DataFrame({'c': [0.5, float('nan'), float('inf'), -float('inf'), -0.0]})",
           [0.5, :nan, :infinity, :neg_infinity, -0.0]},
          {"polars.DataFrame({'c': [2**31 - 1, 2**31, -2**31, -2**31 - 1, 2**63 - 1, -2**63, 0, 255, 256, -1]})",
           [
             2 ** 31 - 1,
             2 ** 31,
             -(2 ** 31),
             -(2 ** 31) - 1,
             2 ** 63 - 1,
             -(2 ** 63),
             0,
             255,
             256,
             -1
           ]},
          {"pyarrow.table({'c': pyarrow.array([1.5, 2.5], pyarrow.float32())})", [1.5, 2.5]},
          {"pyarrow.table({'c': pyarrow.array(['a', 'bb', 'c' * 70, ''], pyarrow.large_string())}).slice(1, 3)",
           ["bb", String.duplicate("c", 70), ""]},
          {"pyarrow.table({'c': pyarrow.array([-5, 6, 7], pyarrow.int32())}).slice(1, 1)", [6]},
          {"pyarrow.table({'c': pyarrow.array([b'\\xff', b'x'], pyarrow.binary())})",
           [<<255>>, "x"]},
          {"polars.DataFrame({'c': ['short', 'longer than twelve bytes', 'x' * 5000]})",
           ["short", "longer than twelve bytes", String.duplicate("x", 5_000)]},
          {"polars.DataFrame({'c': ['x' * 5000] * 3})",
           List.duplicate(String.duplicate("x", 5_000), 3)},
          {"polars.DataFrame({'c': [1, 2, 3]}).slice(0, 0)", []},
          {"polars.DataFrame({'c': [1.5, None]})", [1.5, nil]}
        ] do
      assert [{"c", ^cells}] =
               eval(vm, "Python.Table.columns!(Python.eval!(code, %{}, return: :object))",
                 code: code
               )
    end
  end

  test "frames outlive the lists and processes that they were made by", %{vm: vm} do
    assert eval(vm, """
           frames =
             for library <- [:polars, :pyarrow, :pandas, :duckdb] do
               Task.await(Task.async(fn ->
                 Python.Table.new!([i: Enum.to_list(1..50_000), t: Enum.map(1..50_000, &"cell \#{&1}")], as: library)
               end))
             end

           :erlang.garbage_collect()
           for _ <- 1..20, do: Python.eval!("len(bytes(1_000_000)) + len(bytearray(400_000))")

           for frame <- frames do
             [{"i", numbers}, {"t", texts}] = Python.Table.columns!(frame)
             {Enum.sum(numbers), List.last(texts), Enum.at(texts, 25_000)}
           end
           """) == List.duplicate({1_250_025_000, "cell 50000", "cell 25001"}, 4)
  end
end
