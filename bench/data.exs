Code.require_file("support/suite.exs", __DIR__)

defmodule Bench.Data do
  @moduledoc false

  # Arrays against one copy of their bytes, and tables against what the library itself makes of them inside
  # Python. Needs a Python with numpy, pandas, polars and pyarrow; what is not there is left out.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.{Floors, Measure}
  alias Python.{Array, Table}

  # 80 MB of float64.
  @side 3_162
  @rows 100_000

  def run do
    if there?("numpy"), do: arrays() ++ small() ++ tables(), else: skip("numpy")
  end

  defp there?(module), do: match?({:ok, _}, Python.import(module))

  defp skip(module) do
    IO.puts("  left out: this Python has no #{module}; run it with PYTHON=/path/to/one/that/has")
    []
  end

  defp object(code), do: Python.eval!(code, %{}, return: :object, timeout: 60_000)

  defp arrays do
    Python.exec!("""
    import numpy
    bench_array = numpy.random.rand(#{@side}, #{@side})
    bench_arrays = {"transposed": bench_array.T, "big-endian": bench_array.astype(">f8"), "every other row": numpy.repeat(bench_array, 2, 0)[::2]}
    """)

    data = :binary.copy(<<1.5::float-native>>, @side * @side)
    given = Array.new(data, {:f, 64}, {@side, @side})
    array = object("bench_array")

    others =
      for name <- ["transposed", "big-endian", "every other row"],
          do: {name, object("bench_arrays['#{name}']")}

    out = fn object -> fn -> Measure.once(fn -> %Array{} = Array.from!(object) end) end end
    into = fn -> Measure.once(fn -> @side = Python.call!(:builtins, :len, [given]) end) end

    times =
      Measure.rounds(
        size(21, 2),
        [copy: fn -> Measure.once(fn -> Floors.copy(data) end) end, out: out.(array), in: into] ++
          for({name, object} <- others, do: {name, out.(object)})
      )

    copy = [unit: "ms", floors: times.copy, floor_name: "one copy of the bytes"]

    [
      line([work: "array of 80 MB, out", figures: times.out, target: {:ratio, 1.15}] ++ copy),
      line(work: "the same, in", unit: "ms", figures: times.in, target: {:at_most, 0.2})
      | for {name, _} <- others do
          line(
            [work: "an array of 80 MB, out, #{name}", figures: times[name], target: {:ratio, 4}] ++
              copy
          )
        end
    ]
  end

  defp small do
    data = :binary.copy(<<1.5::float-native>>, 100)
    given = Array.new(data, {:f, 64}, {100})
    array = object("numpy.full(100, 1.5)")
    Measure.check({:ok, given}, fn -> Array.from(array) end)
    tiny = fn -> Python.call(:math, :sqrt, [16]) end
    there = fn -> Python.call!(:builtins, :len, [given]) end

    times =
      Measure.rounds(size(21, 2),
        both: fn ->
          Measure.batches(fn -> there.() && Array.from!(array) end, size(20, 2), 200)
        end,
        tiny: fn -> Measure.batches(tiny, size(20, 2), 200) end
      )

    [
      line(
        work: "array of 100 items, in by one call and out by another",
        unit: "µs",
        figures: times.both,
        floors: times.tiny,
        floor_name: "call math.sqrt",
        target: {:ratio, 4}
      )
    ]
  end

  defp tables do
    for {library, list, records, maker} <- [
          {"pandas", "to_dict('list')", "to_dict('records')", "pandas.DataFrame"},
          {"polars", "to_dict(as_series=False)", "rows(named=True)", "polars.DataFrame"},
          {"pyarrow", "to_pydict()", "to_pylist()", "pyarrow.table"}
        ],
        line <- table(library, list, records, maker),
        do: line
  end

  defp table(library, list, records, maker) do
    if there?(library), do: compare(library, list, records, maker), else: skip(library)
  end

  defp compare(library, list, records, maker) do
    Python.exec!("""
    import time, #{library}
    bench_columns = {"a": list(range(#{@rows})), "b": [n / 7 for n in range(#{@rows})], "c": [str(n) for n in range(#{@rows})]}
    bench_frame = #{maker}(bench_columns)

    def bench_timed(function):
        begun = time.perf_counter_ns()
        function()
        return time.perf_counter_ns() - begun
    """)

    frame = object("bench_frame")
    a = Enum.to_list(0..(@rows - 1))
    columns = [a: a, b: Enum.map(a, &(&1 / 7)), c: Enum.map(a, &Integer.to_string/1)]

    inside = fn code ->
      fn -> Python.eval!("bench_timed(lambda: #{code})", %{}, timeout: 60_000) end
    end

    as = String.to_atom(library)

    times =
      Measure.rounds(size(11, 2),
        columns: fn -> Measure.once(fn -> Table.columns!(frame) end) end,
        columns_inside: inside.("bench_frame.#{list}"),
        rows: fn -> Measure.once(fn -> Table.rows!(frame) end) end,
        rows_inside: inside.("bench_frame.#{records}"),
        new: fn -> Measure.once_settled(fn -> Table.new!(columns, as: as) end) end,
        new_inside: inside.("#{maker}(bench_columns)")
      )

    for {work, key, floor, floor_name, target} <- [
          {"#{library}: 100,000 rows of 3 columns, as columns", :columns, :columns_inside,
           "its #{list} in Python", 0.5},
          {"#{library}: the same as rows", :rows, :rows_inside, "its #{records} in Python", 1},
          {"#{library}: columns in", :new, :new_inside, "#{maker} of lists in Python", 1.5}
        ] do
      line(
        work: work,
        unit: "ms",
        figures: times[key],
        floors: times[floor],
        floor_name: floor_name,
        target: {:ratio, target}
      )
    end
  end
end

Bench.Suite.run(Bench.Data)
