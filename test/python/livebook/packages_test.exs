defmodule Python.Livebook.PackagesTest do
  # What a cell in Livebook shows of data frames, figures and pictures, with the real packages. In a VM
  # of its own, whose Python has them: a virtual environment that is made once, from PyPI.
  use Python.TestCase, async: true

  alias Python.{FreshVM, KinoSupport, Packages}

  @moduletag skip: Packages.skip(__ENV__)
  # The first time the packages are installed.
  @moduletag timeout: 300_000

  setup_all do
    {:ok, venv} = Packages.venv()
    vm = FreshVM.start(settings: [python_path: venv], start: false, env: [{"DISPLAY", ":99"}])
    FreshVM.call(vm, KinoSupport, :load, [])
    {:ok, _} = FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])

    FreshVM.call(vm, Python, :exec!, [
      """
      import matplotlib, gc, weakref
      import matplotlib.pyplot as plt
      import numpy as np, pandas as pd, polars as pl
      from PIL import Image

      big = pd.DataFrame({"n": range(100_000)})
      big["square"] = big.n ** 2

      frame = pd.DataFrame({
          "name": ["Berlin", "Oslo", None],
          "people": [3.7, 0.7, float("nan")],
          "since": pd.to_datetime(["1237-10-28", "1049-01-01", None], format="%Y-%m-%d", errors="coerce"),
      })
      """,
      [timeout: 120_000]
    ])

    %{vm: vm}
  end

  defp show(vm, code), do: FreshVM.call(vm, KinoSupport, :show_code, [code])

  defp click(vm, view, event, payload),
    do: FreshVM.call(vm, KinoSupport, :click, [view, event, payload])

  defp table(vm, code) do
    {:js, data, %{js_view: view}} = show(vm, code)
    {data, view}
  end

  defp labels(content), do: Enum.map(content.columns, & &1.label)

  describe "a data frame of pandas" do
    test "is a table of its first rows, and knows how many there are", %{vm: vm} do
      {data, _view} = table(vm, "big")
      assert data.name == "DataFrame"
      assert labels(data.content) == ["n", "square"]
      assert Enum.map(data.content.columns, & &1.type) == ["number", "number"]
      assert data.content.data == for(n <- 0..9, do: ["#{n}", "#{n * n}"])
      assert data.content.total_rows == 100_000
      assert data.content.max_page == 10_000
    end

    test "is fetched page by page", %{vm: vm} do
      {_data, view} = table(vm, "big")
      %{content: content} = click(vm, view, "show_page", %{"page" => 10_000})
      assert List.last(content.data) == ["99999", "9999800001"]
    end

    test "is sorted by Python, by any column", %{vm: vm} do
      {data, view} = table(vm, "big")
      [%{key: _}, %{key: square}] = data.content.columns
      order = %{"key" => square, "direction" => "desc"}
      %{content: content} = click(vm, view, "order_by", order)
      assert hd(content.data) == ["99999", "9999800001"]
      %{content: content} = click(vm, view, "show_page", %{"page" => 2})
      assert hd(content.data) == ["99989", "9997800121"]
      %{content: content} = click(vm, view, "order_by", %{order | "direction" => "asc"})
      assert hd(content.data) == ["0", "0"]
      %{content: content} = click(vm, view, "order_by", %{"key" => nil, "direction" => nil})
      assert hd(content.data) == ["0", "0"]
    end

    test "is saved as CSV, in the order that it is shown in", %{vm: vm} do
      {data, view} = table(vm, "frame[['name', 'people']]")
      assert data.export == %{formats: ["CSV"]}
      click(vm, view, "order_by", %{"key" => "1", "direction" => "asc"})

      assert {:binary, %{format: "csv"}, "name,people\nOslo,0.7\nBerlin,3.7\n,\n"} =
               FreshVM.call(vm, KinoSupport, :download, [view, "CSV"])
    end

    test "shows what is missing as pandas does", %{vm: vm} do
      {%{content: content}, _view} = table(vm, "frame")
      assert labels(content) == ["name", "people", "since"]
      assert [["Berlin", "3.7", _], ["Oslo", "0.7", _], [none, "NaN", "NaT"]] = content.data
      assert none in ["None", "NaN"]
    end

    test "shows an index that says something", %{vm: vm} do
      {%{content: content}, view} =
        table(vm, "pd.DataFrame({'v': [1, 2]}, index=pd.Index(['b', 'a'], name='k'))")

      assert labels(content) == ["k", "v"]
      assert content.data == [["b", "1"], ["a", "2"]]
      %{content: content} = click(vm, view, "order_by", %{"key" => "0", "direction" => "asc"})
      assert content.data == [["a", "2"], ["b", "1"]]

      code =
        "pd.DataFrame({'g': [1, 1, 2], 'v': [3, 4, 5]}).groupby('g').agg({'v': ['min', 'max']})"

      {%{content: content}, _view} = table(vm, code)
      assert labels(content) == ["g", "v / min", "v / max"]
      assert content.data == [["1", "3", "4"], ["2", "5", "5"]]
    end

    test "may be unusual", %{vm: vm} do
      {%{content: content}, view} =
        table(vm, "pd.DataFrame([[1, 'a'], ['b', [2]]], columns=['x', 'x'])")

      assert labels(content) == ["x", "x"]
      assert content.data == [["1", "a"], ["b", "[2]"]]
      %{content: content} = click(vm, view, "order_by", %{"key" => "0", "direction" => "desc"})
      assert content.data == [["b", "[2]"], ["1", "a"]]

      assert {%{content: %{data: [], total_rows: 0}}, _} = table(vm, "pd.DataFrame()")
      assert {%{content: %{data: [], total_rows: 0}}, _} = table(vm, "frame.iloc[:0]")
      assert {%{content: %{data: [[_], [_]]}}, _} = table(vm, "pd.DataFrame({5: [1, 2]})")

      {%{content: %{data: [[cell]]}}, _} = table(vm, "pd.DataFrame({'a': ['x' * 100_000]})")
      assert String.length(cell) == 1_001

      {%{name: name, content: content}, _} = table(vm, "pd.DataFrame(np.zeros((2, 1_500)))")
      assert name =~ "the first 1000 of 1500 columns"
      assert length(content.columns) == 1_000
      assert content.data |> hd() |> length() == 1_000
    end

    test "that changes is shown as it is", %{vm: vm} do
      FreshVM.call(vm, Python, :exec!, ["changing = pd.DataFrame({'a': [2, 1]})"])
      {_data, view} = table(vm, "changing")
      click(vm, view, "order_by", %{"key" => "0", "direction" => "asc"})
      FreshVM.call(vm, Python, :exec!, ["changing.loc[2] = [0]"])
      %{content: content} = click(vm, view, "show_page", %{"page" => 1})
      assert List.last(hd(content.data)) == "0"
      assert content.total_rows == 3
    end

    test "that fails later says so in its place", %{vm: vm} do
      FreshVM.call(vm, Python, :exec!, [
        """
        class Failing(pd.DataFrame):
            fails = False
            @property
            def iloc(self):
                if Failing.fails:
                    raise OSError("the disk is gone")
                return super().iloc
        """
      ])

      {_data, view} = table(vm, "Failing({'a': [1]})")
      FreshVM.call(vm, Python, :exec!, ["Failing.fails = True"])
      %{content: content} = click(vm, view, "show_page", %{"page" => 1})
      assert labels(content) == ["This table cannot be shown"]
      assert [[text]] = content.data
      assert text =~ "OSError: the disk is gone"
    end

    test "is in a notebook's file as text", %{vm: vm} do
      {_data, view} = table(vm, "big")
      assert {"text", text} = FreshVM.call(vm, KinoSupport, :export, [view])
      assert text =~ "#Python.Object<"
    end

    test "is given up when the table is gone", %{vm: vm} do
      FreshVM.call(vm, Python, :exec!, [
        "gone = pd.DataFrame({'a': [1]}); watch = weakref.ref(gone)"
      ])

      {_data, view} = table(vm, "gone")
      FreshVM.call(vm, Python, :exec!, ["del gone"])
      assert FreshVM.call(vm, Python, :eval!, ["watch() is not None"])
      FreshVM.call(vm, Process, :exit, [view.pid, :kill])

      eventually("the frame is gone", fn ->
        # Messages that have been dealt with may still be in some heap.
        for pid <- FreshVM.call(vm, Process, :list, []),
            do: FreshVM.call(vm, :erlang, :garbage_collect, [pid])

        FreshVM.call(vm, Python, :eval!, ["gc.collect() >= 0 and watch() is None"])
      end)
    end

    test "can be read by what reads tables", %{vm: vm} do
      code = """
      {:rows, meta, rows} = Table.Reader.init(Python.eval!("big"))
      {:rows, _, others} = Table.Reader.init(Python.eval!("frame"))

      {meta, Enum.count(rows), Enum.at(rows, 99_999), Enum.slice(rows, 10..13//2),
       rows |> Stream.drop(499) |> Enum.take(2), rows |> Stream.map(&hd/1) |> Enum.sum(),
       Enum.to_list(others)}
      """

      assert {{meta, 100_000, [99_999, 9_999_800_001], [[10, 100], [12, 144]],
               [[499, 249_001], [500, 250_000]], 4_999_950_000, others},
              _} = FreshVM.call(vm, Code, :eval_string, [code])

      assert meta == %{columns: ["n", "square"], count: 100_000}
      assert [["Berlin", 3.7, since], ["Oslo", 0.7, _], [nil, nil, nil]] = others
      assert is_nil(since) or match?(%NaiveDateTime{year: 1237}, since)

      code =
        "Table.Reader.init(Python.eval!(\"pd.DataFrame([[1, 2, 3]], columns=['x', 'x', 5])\"))"

      assert {{:rows, %{columns: ["x", "x.1", "5"]}, _}, _} =
               FreshVM.call(vm, Code, :eval_string, [code])
    end
  end

  test "a series is a table with one column, after its index", %{vm: vm} do
    {%{content: content}, _view} = table(vm, "frame['name']")
    assert labels(content) == ["name"]
    assert [["Berlin"], ["Oslo"], _] = content.data
    {%{content: content}, _view} = table(vm, "big.square.groupby(big.n % 2).max()")
    assert content.data == [["0", "9999600004"], ["1", "9999800001"]]
  end

  describe "a data frame of polars" do
    test "is a table too", %{vm: vm} do
      code = "pl.DataFrame({'a': [3, 1, None], 'b': ['x', 'y', None], 'c': [[1], [2], None]})"
      {%{content: content}, view} = table(vm, code)
      assert labels(content) == ["a", "b", "c"]
      assert content.data == [["3", "x", "[1]"], ["1", "y", "[2]"], ["null", "null", "null"]]

      for {key, direction, first} <- [{"0", "desc", "3"}, {"1", "desc", "1"}, {"2", "asc", "3"}] do
        order = %{"key" => key, "direction" => direction}
        %{content: content} = click(vm, view, "order_by", order)
        assert hd(hd(content.data)) == first
      end

      {_data, view} = table(vm, "pl.DataFrame({'a': [3, 1]})")
      click(vm, view, "order_by", %{"key" => "0", "direction" => "asc"})

      assert {:binary, %{format: "csv"}, "a\n1\n3\n"} =
               FreshVM.call(vm, KinoSupport, :download, [view, "CSV"])

      assert {%{content: %{data: [["1"], ["2"]]}}, _} = table(vm, "pl.Series('s', [1, 2])")
    end
  end

  describe "matplotlib" do
    test "draws into memory, although there is a display", %{vm: vm} do
      assert FreshVM.call(vm, Python, :eval!, ["matplotlib.get_backend().lower()"]) == "agg"
      # Only here, not for programs that are started from here.
      refute FreshVM.call(vm, Python, :eval!, ["'MPLBACKEND' in __import__('os').environ"])
    end

    test "figures, their parts, and arrays of them are pictures", %{vm: vm} do
      for code <- [
            "plt.subplots()[0]",
            "plt.subplots()[1]",
            "plt.subplots(2, 2)[1]",
            "plt.figure().subfigures(1, 2)[0]",
            "plt.plot([1, 2, 3])[0]",
            "big.head(5).plot()",
            "matplotlib.figure.Figure()"
          ] do
        assert {:image, %{content: <<0x89, "PNG", _::binary>>, mime_type: "image/png"}} =
                 show(vm, code)
      end

      assert {:terminal_text, _} = show(vm, "plt")
      FreshVM.call(vm, Python, :exec!, ["plt.close('all')"])
    end

    test "figures stay as they are", %{vm: vm} do
      FreshVM.call(vm, Python, :exec!, ["figure, axes = plt.subplots()"])
      {:image, %{content: first}} = show(vm, "figure")
      FreshVM.call(vm, Python, :exec!, ["axes.plot([1, 2])"])
      {:image, %{content: second}} = show(vm, "figure")
      assert first != second
      assert FreshVM.call(vm, Python, :eval!, ["plt.fignum_exists(figure.number)"])
      FreshVM.call(vm, Python, :exec!, ["plt.close('all')"])
    end
  end

  test "matplotlib is what MPLBACKEND says, and what it is elsewhere" do
    {:ok, venv} = Packages.venv()
    ask = "IO.puts(Python.eval!(~s|__import__('matplotlib').get_backend()|))"

    load =
      "Python.KinoSupport.load()\n{:ok, _} = Application.ensure_all_started(:erlang_python)\n"

    settings = [python_path: venv]

    options = [settings: settings, start: false, env: [{"MPLBACKEND", "svg"}]]
    assert {"svg\n", 0} = FreshVM.run(load <> ask, options)
    # Where there is no Kino, nobody has asked for it.
    names = "[f._name for f in __import__('sys').meta_path if hasattr(f, '_name')]"
    count = "IO.inspect(Enum.member?(Python.eval!(\"#{names}\"), \"matplotlib\"))"

    without = """
    for path <- :code.get_path(), List.to_string(path) =~ "/kino/", do: :code.del_path(path)
    {:ok, _} = Application.ensure_all_started(:erlang_python)
    """

    assert {"false\n", 0} = FreshVM.run(without <> count, settings: settings, start: false)
    assert {"true\n", 0} = FreshVM.run(load <> count, settings: settings, start: false)
  end

  test "pictures of Pillow are pictures, whatever their colours", %{vm: vm} do
    for mode <- ~w(1 L P RGB RGBA CMYK YCbCr LAB HSV I F) do
      assert {:image, %{mime_type: "image/" <> _}} = show(vm, "Image.new('#{mode}', (2, 2))")
    end
  end
end
