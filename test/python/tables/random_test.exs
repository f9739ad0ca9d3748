defmodule Python.Tables.RandomTest do
  # Frames of all types of columns, from several libraries; polars says what is in them.
  #
  #     PROPERTY_SEED=7 PROPERTY_RUNS=5000 mix test test/python/tables/random_test.exs

  use Python.EngineCase, async: true

  alias Python.{FreshVM, Packages}

  @packages ~w(numpy pandas polars pyarrow duckdb)

  @moduletag skip: Packages.skip(__ENV__, @packages)
  @moduletag timeout: :infinity

  setup_all do
    {:ok, venv} = Packages.venv(@packages)
    vm = FreshVM.start(settings: [python_path: venv])
    FreshVM.call(vm, Python, :call!, [:sys, "path.append", [Path.expand("test/support/python")]])
    FreshVM.call(vm, Python, :exec!, ["import frames, polars, pyarrow", [timeout: 120_000]])
    seed = System.get_env("PROPERTY_SEED") || "#{ExUnit.configuration()[:seed]}"
    runs = System.get_env("PROPERTY_RUNS") || "#{times(400, 10_000)}"
    %{vm: vm, seeds: {String.to_integer(seed) * 1_000, String.to_integer(runs)}}
  end

  test "columns and rows are what the library has", %{vm: vm, seeds: {first, runs}} do
    code = """
    options = [decode: [timedelta: :microseconds], timeout: 60_000]

    Enum.find_value(1..runs, fn number ->
      seed = first + number
      kind = Enum.at(~w(polars pyarrow batch reader), rem(number, 4))
      made = Python.call!(:frames, :random_polars, [seed], return: :object)
      frame = Python.eval!("frames.of_kind(*made, kind)", %{made: made, kind: kind}, return: :object)
      expected = Python.eval!("frames.polars_columns(made[0])", %{made: made}, options)

      columns = Python.Table.columns(frame, options)
      # A reader is used up by that.
      again = Python.eval!("frames.of_kind(*made, kind)", %{made: made, kind: kind}, return: :object)
      rows = Python.Table.rows(again, options)
      {names, cells} = Enum.unzip(expected)
      expected_rows = for row <- Enum.zip(cells), do: names |> Enum.zip(Tuple.to_list(row)) |> Map.new()

      cond do
        columns != {:ok, expected} -> {seed, kind, columns, expected}
        rows != {:ok, expected_rows} -> {seed, kind, rows, expected_rows}
        true -> nil
      end
    end)
    """

    {wrong, _} =
      FreshVM.call(vm, Code, :eval_string, [code, [first: first, runs: runs]], :infinity)

    assert wrong == nil
  end
end
