defmodule Python.Values.DatesTest do
  # Subclasses of the classes of `datetime`, and what pandas has for a missing value.

  use Python.EngineCase, async: true

  alias Python.{FreshVM, Object, Packages}

  defp eval(code), do: Python.eval(code, %{d: Python.import!(:datetime)})

  test "subclasses of datetime, date and time are their base" do
    assert eval("type('D', (d.datetime,), {})(2024, 2, 29, 12, 30, 1, 5)") ==
             {:ok, ~N[2024-02-29 12:30:01.000005]}

    assert eval("type('D', (d.date,), {})(2024, 2, 29)") == {:ok, ~D[2024-02-29]}
    assert eval("type('D', (d.time,), {})(12, 30)") == {:ok, ~T[12:30:00]}

    assert eval("type('E', (type('D', (d.datetime,), {}),), {})(1, 1, 1)") ==
             {:ok, ~N[0001-01-01 00:00:00]}
  end

  test "aware ones are in UTC" do
    assert eval(
             "type('D', (d.datetime,), {})(2024, 7, 1, 12, tzinfo=d.timezone(d.timedelta(hours=2)))"
           ) ==
             {:ok, ~U[2024-07-01 10:00:00Z]}
  end

  test "at any depth, as keys and in sets" do
    code = "[(x, {x: [x]}, {x}) for x in [type('D', (d.date,), {})(2024, 2, 29)]][0]"
    date = ~D[2024-02-29]
    assert eval(code) == {:ok, {date, %{date => [date]}, MapSet.new([date])}}
  end

  test "for Erlang they are tuples" do
    vars = %{d: Python.import!(:datetime)}

    assert :py.eval("type('D', (d.datetime,), {})(2024, 2, 29, 12)", vars) ==
             {:ok, {{2024, 2, 29}, {12, 0, 0}}}
  end

  test "with methods of their own that raise, what they raise is the error" do
    name =
      define("""
      import datetime
      class NAME(datetime.datetime):
          def utcoffset(self): raise ValueError('no offset')
      """)

    assert {:error, error} = Python.eval("[{'k': #{name}(2024, 1, 1)}]")
    assert error.message == "no offset"
    assert error.notes == [~s(while the result was converted, at [0]["k"])]
    assert Exception.message(error) =~ ~s(at [0]["k"])
  end

  test "a year that only a subclass knows, and a time of a zone, stay in Python" do
    name = define("import datetime\nclass NAME(datetime.date):\n    year = 20_000")
    assert {:ok, %Object{}} = Python.eval("#{name}(2024, 1, 1)")
    assert {:ok, %Object{}} = eval("type('T', (d.time,), {})(1, tzinfo=d.timezone.utc)")
    assert {:ok, %Object{}} = eval("type('T', (d.timedelta,), {})(1)")
  end

  test "a class that only says that it is pandas' NaT or NA is an object" do
    for name <- ~w(NaTType NAType) do
      assert {:ok, %Object{}} =
               Python.eval("type('#{name}', (), {'__module__': 'pandas._libs.missing'})()")
    end

    assert eval("type('NaTType', (d.datetime,), {})(2024, 1, 1)") ==
             {:ok, ~N[2024-01-01 00:00:00]}
  end

  describe "of packages" do
    @describetag skip: Packages.skip(__ENV__)
    @describetag timeout: 300_000

    setup do
      {:ok, venv} = Packages.venv()
      vm = FreshVM.start(settings: [python_path: venv])
      FreshVM.call(vm, Python, :exec!, ["import pandas as pd, numpy as np", [timeout: 120_000]])
      %{eval: fn code -> FreshVM.call(vm, Python, :eval!, [code]) end}
    end

    test "pandas' Timestamp is a DateTime or a NaiveDateTime, its nanoseconds are cut off", %{
      eval: eval
    } do
      assert eval.("pd.Timestamp('2024-02-29 12:30:00.123456789')") ==
               ~N[2024-02-29 12:30:00.123456]

      assert eval.("pd.Timestamp('2024-07-01 12:00', tz='Europe/Berlin')") ==
               ~U[2024-07-01 10:00:00Z]

      assert eval.("pd.Timestamp('1969-12-31 23:59:59.999999999')") ==
               ~N[1969-12-31 23:59:59.999999]

      assert eval.("pd.Timestamp.min") == ~N[1677-09-21 00:12:43.145224]
    end

    test "what is missing is nil", %{eval: eval} do
      assert eval.("[pd.NaT, (pd.NA,), {'a': pd.NaT}, {pd.NaT: 1}]") == [
               nil,
               {nil},
               %{"a" => nil},
               %{nil => 1}
             ]

      assert eval.("[np.datetime64('NaT'), np.timedelta64('NaT', 's')]") == [nil, nil]
      assert [%Object{}, %Object{}] = eval.("[np.datetime64('2024-01-01'), pd.Timedelta(1)]")
    end

    test "the records of a frame are plain data", %{eval: eval} do
      code = """
      pd.DataFrame({
          't': pd.to_datetime(['2024-02-29 12:30', None]),
          's': pd.array(['x', None], dtype='string'),
          'i': pd.array([1, None], dtype='Int64'),
          'c': pd.Series([pd.Timestamp('2024-01-01', tz='UTC'), None]),
      }).to_dict('records')
      """

      assert eval.(code) == [
               %{
                 "t" => ~N[2024-02-29 12:30:00],
                 "s" => "x",
                 "i" => 1,
                 "c" => ~U[2024-01-01 00:00:00Z]
               },
               %{"t" => nil, "s" => nil, "i" => nil, "c" => nil}
             ]
    end
  end
end
