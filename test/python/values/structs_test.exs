defmodule Python.Values.StructsTest do
  # Sets, ranges, dates, times and decimals: what is lossy, what is refused, what lies.

  use Python.EngineCase, async: true

  alias Python.{DecodeError, EncodeError, Object}
  alias Python.TestStructs.Point

  defp there_and_back(term), do: Python.eval("x", %{x: term})
  defp datetime(code), do: Python.eval("(lambda m: #{code})(__import__('datetime'))")
  defp decimal(code), do: Python.eval("(lambda D: #{code})(__import__('decimal').Decimal)")

  defp assert_refused(term, text \\ "is not a valid struct") do
    assert {:error, %EncodeError{} = error} = Python.eval("x", %{x: [1, %{"a" => term}]})
    assert error.path == ~s([1]["a"]), inspect(error)
    assert error.message =~ text
    # Through the pass that asks Python.Encoder, too.
    assert {:error, %EncodeError{path: "[1]"}} = Python.eval("x", %{x: [%Point{}, term]})
  end

  describe "a set" do
    test "may be in a set, and in a key" do
      inner = MapSet.new([1, 2])

      for term <- [
            MapSet.new([inner]),
            MapSet.new([{inner, "a"}]),
            %{inner => 1},
            %{{1, inner} => 1},
            MapSet.new([MapSet.new([MapSet.new()])])
          ] do
        assert there_and_back(term) == {:ok, term}
      end

      assert Python.eval!("type(next(iter(x))).__name__", %{x: MapSet.new([inner])}) ==
               "frozenset"

      assert Python.eval!("type(x['k']).__name__", %{x: %{"k" => inner}}) == "set"
    end

    test "keeps nan and the infinities as numbers" do
      set = MapSet.new([:nan, :infinity, :neg_infinity, 1])
      assert there_and_back(set) == {:ok, set}
      assert Python.eval!("float('inf') in x", %{x: set})
    end

    test "is refused if two of its elements are one in Python" do
      for elements <- [[1, 1.0], [1, true], [0, false], [:a, "a"], [nil, :none], [{1}, {1.0}]] do
        assert_refused(MapSet.new(elements), "would be lost")
      end

      assert {:error, %EncodeError{}} = there_and_back(MapSet.new(Enum.to_list(1..100) ++ [5.0]))
    end

    test "is refused if two of its elements are one term" do
      assert {:error, %DecodeError{} = error} = Python.eval("[1, {'a', b'a'}]")
      assert error.path == "[1]"
      assert error.message =~ "would be lost"
      # The VM has two ways to hold a map.
      assert {:error, %DecodeError{}} = Python.eval("set(range(100)) | {'a', b'a'}")
      assert {:error, %DecodeError{}} = Python.eval("{float('nan'), float('nan')}")
    end

    test "is refused if an element cannot be hashed" do
      for element <- [[1], %{}, {[]}, {1, {2, %{}}}] do
        assert {:error, %EncodeError{} = error} = there_and_back([MapSet.new([element])])
        assert error.path =~ "[0]"
        assert error.message =~ "hash"
      end
    end

    test "that is forged is refused" do
      for map <- [5, nil, [], {}, "x"] do
        assert_refused(%{__struct__: MapSet, map: map})
      end

      assert_refused(%{__struct__: MapSet})
    end
  end

  describe "a range" do
    test "of big integers is exact" do
      for range <- [0..(2 ** 100)//2 ** 70, (2 ** 100)..0//-(2 ** 70), -(2 ** 64)..(2 ** 64)] do
        assert {:ok, %Object{} = object} = there_and_back(range)
        stop = range.last + if range.step > 0, do: 1, else: -1
        vars = %{r: object, a: range.first, b: stop, c: range.step}
        assert Python.eval!("(r.start, r.stop, r.step) == (a, b, c)", vars)
      end
    end

    test "has the elements that Elixir says" do
      for first <- -3..3, last <- -3..3, step <- [-3, -2, -1, 1, 2, 3] do
        range = first..last//step
        assert Python.eval!("list(x)", %{x: range}) == Enum.to_list(range)
      end
    end

    test "of Python stays there, however long" do
      assert {:ok, %Object{} = object} = Python.eval("range(10 ** 30)")
      assert Enum.take(object, 3) == [0, 1, 2]
      assert {:ok, [%Object{}]} = Python.eval("[range(2)]")
    end

    test "that is forged is refused" do
      for fields <- [
            %{first: "a", last: "b", step: 1},
            %{first: 1.5, last: 2, step: 1},
            %{first: 1, last: 2, step: 0},
            %{first: 1, last: 2, step: nil},
            %{first: nil, last: 2, step: 1},
            %{first: 1, last: 1..2, step: 1},
            %{first: 1, last: 2},
            %{}
          ] do
        assert_refused(Map.put(fields, :__struct__, Range))
      end
    end
  end

  describe "a date or a time" do
    test "crosses at the ends of what Python knows" do
      for term <- [
            ~D[0001-01-01],
            ~D[9999-12-31],
            ~N[0001-01-01 00:00:00],
            ~N[9999-12-31 23:59:59.999999],
            ~U[0001-01-01 00:00:00Z],
            ~U[9999-12-31 23:59:59.999999Z],
            ~T[00:00:00],
            ~T[23:59:59.999999]
          ] do
        assert there_and_back(term) == {:ok, term}
      end
    end

    test "beyond them is refused with Python's reason" do
      for term <- [~D[0000-01-01], ~D[-0001-01-01], ~N[-0044-03-15 12:00:00]] do
        assert_refused(term, "year")
      end
    end

    test "loses its precision but not its microseconds" do
      assert there_and_back(~T[01:02:03.5]) == {:ok, ~T[01:02:03.500000]}
      assert there_and_back(~T[01:02:03.000]) == {:ok, ~T[01:02:03]}
      assert there_and_back(~T[01:02:03.000001]) == {:ok, ~T[01:02:03.000001]}
      assert there_and_back(~N[2024-01-01 01:02:03.000000]) == {:ok, ~N[2024-01-01 01:02:03]}
    end

    test "of any zone comes back in UTC" do
      noon = ~U[2024-02-29 12:00:00Z]

      for offset <- [3600, -3600, 19_800, 1, -86_399, 86_399], standard <- [0, 3600] do
        zone = %{utc_offset: offset - standard, std_offset: standard, time_zone: "A/B"}
        assert {:ok, back} = there_and_back(Map.merge(noon, zone))
        assert back.time_zone == "Etc/UTC"
        assert DateTime.to_unix(back) == DateTime.to_unix(noon) - offset
      end
    end

    test "of a zone that is no zone is refused" do
      for offset <- [86_400, -86_400, 2 ** 31, 2 ** 63 - 1, -(2 ** 63), nil, 1.5] do
        assert_refused(%{~U[2024-01-01 00:00:00Z] | utc_offset: offset}, "")
      end

      huge = %{~U[2024-01-01 00:00:00Z] | utc_offset: 2 ** 31 - 1, std_offset: 2 ** 31 - 1}
      assert_refused(huge)
    end

    test "that would leave the years of Python in UTC is refused" do
      code = "[m.datetime(1, 1, 1, tzinfo=m.timezone(m.timedelta(hours=5)))]"
      assert {:error, %DecodeError{path: "[0]"}} = datetime(code)
      code = "{'a': m.datetime(9999, 12, 31, 23, tzinfo=m.timezone(-m.timedelta(hours=5)))}"
      assert {:error, %DecodeError{path: ~s(["a"])}} = datetime(code)
    end

    test "of another calendar is refused" do
      for term <- [~D[2024-01-01], ~T[01:00:00], ~N[2024-01-01 00:00:00]] do
        assert_refused(%{term | calendar: Elsewhere}, "Calendar.ISO")
      end
    end

    test "of no day of the calendar is refused" do
      assert_refused(%{~D[2024-01-01] | month: 13}, "month")
      assert_refused(%{~D[2023-01-01] | month: 2, day: 29}, "day")
      assert_refused(%{~T[00:00:00] | hour: 24}, "hour")
      assert_refused(%{~T[00:00:00] | microsecond: {1_000_000, 6}}, "microsecond")
      assert_refused(%{~D[2024-01-01] | year: 2 ** 40}, "")
    end

    test "that is forged is refused" do
      for module <- [Date, Time, NaiveDateTime, DateTime] do
        assert_refused(%{__struct__: module})
      end

      assert_refused(%{~D[2024-01-01] | year: "2024"})
      assert_refused(%{~D[2024-01-01] | year: 2 ** 70})
      assert_refused(%{~D[2024-01-01] | calendar: "ISO"})
      assert_refused(%{~T[00:00:00] | microsecond: 5})
      assert_refused(%{~T[00:00:00] | microsecond: {1, 2, 3}})
    end

    test "of the second time of an hour is of the first" do
      assert datetime("m.datetime(2024, 10, 27, 2, 30, fold=1)") == {:ok, ~N[2024-10-27 02:30:00]}
    end

    test "asks a zone of Python's own, whatever that does" do
      name =
        define("""
        import datetime
        class NAME(datetime.tzinfo):
            def __init__(self, does): self.does = does
            def utcoffset(self, _): return self.does()
            def dst(self, _): return datetime.timedelta(0)
            def tzname(self, _): return 'zone'
        def NAME_at(does): return [datetime.datetime(2024, 1, 1, tzinfo=NAME(does))]
        """)

      at = &Python.eval("#{name}_at(#{&1})")
      assert at.("lambda: None") == {:ok, [~N[2024-01-01 00:00:00]]}
      assert at.("lambda: datetime.timedelta(hours=1)") == {:ok, [~U[2023-12-31 23:00:00Z]]}
      assert {:error, %Python.Error{type: "ZeroDivisionError"}} = at.("lambda: 1 / 0")
      assert {:error, %Python.Error{type: "TypeError"}} = at.("lambda: 5")
      assert {:error, %Python.Error{type: "SystemExit"}} = at.("lambda: __import__('sys').exit()")
      assert Python.eval("1") == {:ok, 1}
    end

    test "a time with a zone, a timedelta, a zone: stay in Python" do
      Python.exec!("import datetime")

      for code <- [
            "datetime.time(1, tzinfo=datetime.timezone.utc)",
            "datetime.timedelta(1)",
            "datetime.timezone.utc"
          ] do
        assert {:ok, %Object{}} = Python.eval(code)
      end
    end
  end

  describe "a decimal" do
    test "keeps its digits, whatever the context's precision" do
      long = %Decimal{sign: -1, coef: 10 ** 500 + 7, exp: -250}
      assert there_and_back(long) == {:ok, long}

      # Each thread has its own precision, so this one needs a thread of its own.
      context = start_context()
      Python.exec!("import decimal; decimal.getcontext().prec = 3", context: context)
      assert Python.eval("x + 0 != x", %{x: long}, context: context) == {:ok, true}
      assert Python.eval("x", %{x: long}, context: context) == {:ok, long}
    end

    test "keeps a zero's sign and exponent" do
      for sign <- [1, -1], exp <- [-3, 0, 3] do
        zero = %Decimal{sign: sign, coef: 0, exp: exp}
        assert there_and_back(zero) == {:ok, zero}
      end
    end

    test "crosses at the ends of what Python knows" do
      for exp <- [999_999_999_999_999_999, -999_999_999_999_999_999] do
        decimal = %Decimal{sign: 1, coef: 1, exp: exp}
        assert there_and_back(decimal) == {:ok, decimal}
      end
    end

    test "beyond them is refused" do
      for exp <- [10 ** 18, -2 * 10 ** 18, 2 ** 63 - 1] do
        assert_refused(%Decimal{coef: 1, exp: exp}, "exponent")
      end

      assert_refused(%Decimal{coef: 1, exp: 2 ** 63})
    end

    test "that is a signalling or a marked NaN is NaN" do
      for text <- ["sNaN", "NaN123", "-sNaN5"] do
        sign = if text =~ "-", do: -1, else: 1
        assert decimal("D('#{text}')") == {:ok, %Decimal{sign: sign, coef: :NaN, exp: 0}}
      end
    end

    test "of a subclass stays in Python" do
      name = define("import decimal\nclass NAME(decimal.Decimal): pass")
      assert {:ok, %Object{}} = Python.eval("#{name}(1)")
    end

    test "that is forged is refused" do
      for fields <- [
            %{coef: "12"},
            %{coef: -1},
            %{coef: 1.5},
            %{coef: nil},
            %{coef: :nan},
            %{coef: %Decimal{coef: 1}},
            %{coef: 1, sign: 0},
            %{coef: 1, sign: 2},
            %{coef: 1, sign: nil},
            %{coef: 1, exp: "1"},
            %{coef: 1, exp: nil}
          ] do
        assert_refused(Map.merge(%Decimal{}, fields))
      end

      assert_refused(%{__struct__: Decimal})
    end
  end

  describe "a struct of this library" do
    test "that is forged is refused" do
      assert_refused(%{__struct__: Python.Buffer})
      assert_refused(%{__struct__: Python.Buffer, data: 5})
      assert_refused(%{__struct__: Python.Iterator})
      assert_refused(%{__struct__: Python.Iterator, next: 5})
      assert_refused(%{__struct__: Python.Bytes}, "Python.Bytes")
      assert_refused(%{__struct__: Python.Object}, "Python.Object")
    end
  end

  describe "a class that only has the name of one" do
    test "is an object like others" do
      for module <- ["datetime", "decimal", "numpy", "numpy.core", "erlang", "builtins"] do
        name = define("class NAME: pass\nNAME.__module__ = '#{module}'")
        assert {:ok, %Object{}} = Python.eval("#{name}()")
      end
    end
  end

  describe "a struct that holds another of its kind" do
    # Followed without end, it would end the VM.
    test "without end is refused" do
      for struct <- [
            &%{__struct__: Range, first: &1, last: 1, step: 1},
            &%{__struct__: Decimal, coef: &1, sign: 1, exp: 0},
            &%{__struct__: MapSet, map: %{&1 => []}},
            &%{__struct__: Python.Buffer, data: &1},
            &%{__struct__: Python.Bytes, data: &1},
            &%{__struct__: Python.Object, ref: &1},
            &%{__struct__: Python.Iterator, next: &1},
            &%{__struct__: Date, year: &1, month: 1, day: 1, calendar: Calendar.ISO}
          ] do
        nested = Enum.reduce(1..100_000, 1, fn _, inner -> struct.(inner) end)
        assert {:error, %EncodeError{} = error} = there_and_back(nested)
        assert byte_size(error.message) < 2_000
      end
    end
  end
end
