defmodule Python.Values.TableTest do
  # The table of types in guides/types.md, a test for each row, from Elixir and through `py`.
  # What is at the edge of a row is in the other files of this folder.

  use Python.EngineCase, async: true

  alias Python.{Bytes, EncodeError, FreshVM, Object}
  alias Python.TestStructs.{All, Unknown}

  # The class and the representation that Python sees; from Elixir and from Erlang it is the same.
  defp in_python(term) do
    code = "(type(x).__module__ + '.' + type(x).__qualname__, repr(x))"
    shown = Python.eval!(code, %{x: term})
    assert :py.eval(code, %{x: term}) == {:ok, shown}
    assert Python.call!(:builtins, :repr, [term]) == elem(shown, 1)
    shown
  end

  # What comes of an expression, in Elixir and in Erlang.
  defp from_python(code, vars \\ %{}) do
    value = Python.eval!(code, vars)
    {:ok, through_py} = :py.eval(code, vars)
    {value, through_py}
  end

  # The same on both sides.
  defp same(code, vars \\ %{}) do
    {value, value} = from_python(code, vars)
    value
  end

  defp there_and_back(term), do: same("x", %{x: term})

  describe "Elixir to Python:" do
    test "integer, any size: int" do
      assert in_python(0) == {"builtins.int", "0"}
      assert in_python(-42) == {"builtins.int", "-42"}
      assert in_python(2 ** 63 - 1) == {"builtins.int", "9223372036854775807"}
      assert in_python(2 ** 63) == {"builtins.int", "9223372036854775808"}
      assert in_python(-(2 ** 63) - 1) == {"builtins.int", "-9223372036854775809"}
      assert in_python(2 ** 100) == {"builtins.int", "1267650600228229401496703205376"}
      assert Python.eval!("x == 3 ** 10_000", %{x: 3 ** 10_000})
      assert Python.eval!("x == -(1 << 2 ** 20)", %{x: -(2 ** (2 ** 20))})
    end

    test "float: float" do
      assert in_python(1.5) == {"builtins.float", "1.5"}
      assert in_python(0.0) == {"builtins.float", "0.0"}
      assert in_python(1.0e308) == {"builtins.float", "1e+308"}
      assert in_python(-0.0) == {"builtins.float", "-0.0"}
      assert in_python(1.7976931348623157e308) == {"builtins.float", "1.7976931348623157e+308"}
      assert in_python(5.0e-324) == {"builtins.float", "5e-324"}
    end

    test "binary, valid UTF-8: str" do
      assert in_python("") == {"builtins.str", "''"}
      assert in_python("größe 日本 🐍") == {"builtins.str", "'größe 日本 🐍'"}
      assert in_python("a\0b") == {"builtins.str", ~S('a\x00b')}
      assert Python.eval!("len(x)", %{x: "e\u0301"}) == 2
    end

    test "binary, not UTF-8: bytes" do
      assert in_python(<<0, 255>>) == {"builtins.bytes", ~S(b'\x00\xff')}
      # A surrogate, an overlong zero, the beginning of a character, beyond Unicode.
      for binary <- [<<0xED, 0xA0, 0x80>>, <<0xC0, 0x80>>, <<0xC3>>, <<0xF4, 0x90, 0x80, 0x80>>] do
        shown = for <<byte <- binary>>, do: "\\x" <> String.downcase(Base.encode16(<<byte>>))
        assert in_python(binary) == {"builtins.bytes", "b'#{shown}'"}
      end
    end

    test "%Python.Bytes{data: b}, {:bytes, b}: bytes" do
      assert in_python(%Bytes{data: "abc"}) == {"builtins.bytes", "b'abc'"}
      assert in_python({:bytes, "abc"}) == {"builtins.bytes", "b'abc'"}
      assert in_python({:bytes, ""}) == {"builtins.bytes", "b''"}
      assert in_python([{:bytes, "a"}, {:bytes, 1}]) == {"builtins.list", "[b'a', ('bytes', 1)]"}
    end

    test "true, false: True, False" do
      assert in_python(true) == {"builtins.bool", "True"}
      assert in_python(false) == {"builtins.bool", "False"}
    end

    test "nil, :none, :undefined: None" do
      for none <- [nil, :none, :undefined] do
        assert in_python(none) == {"builtins.NoneType", "None"}
        assert in_python([{none}]) == {"builtins.list", "[(None,)]"}
      end
    end

    test ":nan, :infinity, :neg_infinity: float" do
      assert in_python(:nan) == {"builtins.float", "nan"}
      assert in_python(:infinity) == {"builtins.float", "inf"}
      assert in_python(:neg_infinity) == {"builtins.float", "-inf"}
      assert in_python([:infinity]) == {"builtins.list", "[inf]"}
      assert in_python(%{"a" => :neg_infinity}) == {"builtins.dict", "{'a': -inf}"}
    end

    test "other atom: str" do
      assert in_python(:abc) == {"builtins.str", "'abc'"}
      assert in_python(:"größe 日本 🐍") == {"builtins.str", "'größe 日本 🐍'"}
      assert in_python(:"") == {"builtins.str", "''"}
      assert in_python(Enum) == {"builtins.str", "'Elixir.Enum'"}
      assert in_python(:error) == {"builtins.str", "'error'"}

      for letter <- ["a", "ä", "日", "🐍"] do
        longest = String.duplicate(letter, 255)
        assert Python.eval!("x == y", %{x: String.to_atom(longest), y: longest})
      end
    end

    test "list: list" do
      assert in_python([]) == {"builtins.list", "[]"}
      assert in_python([1, [2.5, "a"], nil]) == {"builtins.list", "[1, [2.5, 'a'], None]"}
      assert in_python(~c"ab") == {"builtins.list", "[97, 98]"}
      assert in_python(a: 1) == {"builtins.list", "[('a', 1)]"}
    end

    test "tuple: tuple" do
      assert in_python({}) == {"builtins.tuple", "()"}
      assert in_python({1}) == {"builtins.tuple", "(1,)"}
      assert in_python({:a, {1, []}}) == {"builtins.tuple", "('a', (1, []))"}
      assert in_python({:bytes, 1}) == {"builtins.tuple", "('bytes', 1)"}
      assert in_python({:bytes, "a", "b"}) == {"builtins.tuple", "('bytes', 'a', 'b')"}
    end

    test "map: dict" do
      assert in_python(%{}) == {"builtins.dict", "{}"}
      assert in_python(%{a: %{"b" => 1}}) == {"builtins.dict", "{'a': {'b': 1}}"}
      assert in_python(%{1 => 2}) == {"builtins.dict", "{1: 2}"}
      assert in_python(%{{1, "a"} => nil}) == {"builtins.dict", "{(1, 'a'): None}"}
      assert in_python(%{nil => 1}) == {"builtins.dict", "{None: 1}"}
      assert in_python(%{<<255>> => 1}) == {"builtins.dict", ~S({b'\xff': 1})}
      assert in_python(%{2.5 => 1}) == {"builtins.dict", "{2.5: 1}"}
      assert in_python(%{true => 1}) == {"builtins.dict", "{True: 1}"}
      assert in_python(%{(2 ** 80) => 1}) == {"builtins.dict", "{1208925819614629174706176: 1}"}
      assert in_python(%{nan: 1}) == {"builtins.dict", "{'nan': 1}"}
      assert Python.eval!("x == {i: str(i) for i in range(100_000)}", %{x: numbered(100_000)})
    end

    test "pid, reference, port: erlang.Pid, erlang.Ref, erlang.Port" do
      for {term, name} <- [{self(), "Pid"}, {make_ref(), "Ref"}, {hd(:erlang.ports()), "Port"}] do
        assert {class, repr} = in_python(term)
        assert class == "erlang." <> name
        assert repr =~ "erlang." <> name
        assert Python.eval!("type(x) is __import__('erlang').#{name}", %{x: term})
      end
    end

    test "function: a callable" do
      for function <- [fn -> 1 end, &String.upcase/1, &:lists.map/2] do
        assert {"erlang.Function", _} = in_python(function)
        assert Python.eval!("callable(x)", %{x: function})
      end
    end

    test "%Python.Object{}: the object itself" do
      for code <- ["object()", "[1]", "5", "len", "(i for i in ())"] do
        object = Python.eval!(code, %{}, return: :object)
        assert Python.eval!("a is b[0] is c['k']", %{a: object, b: [object], c: %{k: object}})
      end
    end

    test "MapSet: set" do
      assert in_python(MapSet.new()) == {"builtins.set", "set()"}
      assert in_python(MapSet.new(["a"])) == {"builtins.set", "{'a'}"}
      assert Python.eval!("x == {1, 'a', None, (1, 2)}", %{x: MapSet.new([1, :a, nil, {1, 2}])})
    end

    test "Date, Time, NaiveDateTime, DateTime: datetime.*" do
      assert in_python(~D[2024-02-29]) == {"datetime.date", "datetime.date(2024, 2, 29)"}
      assert in_python(~T[01:02:03.000004]) == {"datetime.time", "datetime.time(1, 2, 3, 4)"}

      assert in_python(~N[2024-02-29 01:02:03]) ==
               {"datetime.datetime", "datetime.datetime(2024, 2, 29, 1, 2, 3)"}

      assert in_python(~U[2024-02-29 01:02:03.5Z]) ==
               {"datetime.datetime",
                "datetime.datetime(2024, 2, 29, 1, 2, 3, 500000, tzinfo=datetime.timezone.utc)"}

      assert {"datetime.datetime", repr} =
               in_python(%{~U[2024-02-29 01:02:03Z] | utc_offset: 3600, std_offset: 1800})

      assert repr =~ "timedelta(seconds=5400)"
    end

    test "Decimal, if loaded: decimal.Decimal" do
      for {sign, coef, exp, repr} <- [
            {1, 15, -1, "1.5"},
            {-1, 0, 0, "-0"},
            {1, 1, 3, "1E+3"},
            {1, 100, -2, "1.00"},
            {-1, :inf, 0, "-Infinity"},
            {1, :NaN, 0, "NaN"}
          ] do
        assert in_python(%Decimal{sign: sign, coef: coef, exp: exp}) ==
                 {"decimal.Decimal", "Decimal('#{repr}')"}
      end
    end

    test "Range: range" do
      assert in_python(1..3) == {"builtins.range", "range(1, 4)"}
      assert in_python(3..1//-1) == {"builtins.range", "range(3, 0, -1)"}
      assert in_python(1..10//3) == {"builtins.range", "range(1, 11, 3)"}
      assert Python.eval!("list(x)", %{x: 1..0//1}) == []
      assert Python.eval!("list(x)", %{x: 10..1//-4}) == Enum.to_list(10..1//-4)
      assert Python.eval!("x[-1]", %{x: 0..(2 ** 100)}) == 2 ** 100
      assert Python.eval!("x.step", %{x: 0..(2 ** 100)//2 ** 80}) == 2 ** 80
    end

    test "Python.buffer(binary): a read-only memoryview, without a copy" do
      buffer = Python.buffer("größe")

      assert Python.eval!("(type(x).__name__, x.readonly, bytes(x).decode())", %{x: buffer}) ==
               {"memoryview", true, "größe"}

      assert there_and_back(buffer) == "größe"
    end

    @tag blocks: "a plain function waits for Elixir"
    test "Python.iterator(enumerable): an iterator" do
      squares = Stream.map(1..1_000, &(&1 * &1))
      assert Python.eval!("iter(x) is x", %{x: Python.iterator(squares)})
      assert Python.eval!("sum(x)", %{x: Python.iterator(squares)}) == Enum.sum(squares)
    end

    test "other struct: what Python.Encoder says, or an error naming the struct" do
      assert Python.eval!("x", %{x: %All{name: "a"}}) == %{"name" => "a", "count" => 0}
      assert {:ok, %{"name" => "a"}} = :py.eval("x", %{x: %All{name: "a"}})

      assert {:error, %EncodeError{} = error} = Python.eval("x", %{x: [%Unknown{}]})
      assert error.path == "[0]"
      assert error.message =~ "Python.TestStructs.Unknown"
      assert {:error, {:encode_error, text}} = :py.eval("x", %{x: %Unknown{}})
      assert List.to_string(text) =~ "Python.TestStructs.Unknown"
    end
  end

  describe "Python to Elixir:" do
    test "int, any size: integer" do
      for {code, n} <- [
            {"0", 0},
            {"-42", -42},
            {"2 ** 63 - 1", 2 ** 63 - 1},
            {"2 ** 63", 2 ** 63},
            {"-2 ** 63", -(2 ** 63)},
            {"-2 ** 63 - 1", -(2 ** 63) - 1},
            {"2 ** 64", 2 ** 64},
            {"3 ** 10_000", 3 ** 10_000},
            {"-(1 << 2 ** 20)", -(2 ** (2 ** 20))}
          ] do
        assert same(code) === n
      end
    end

    test "float: float" do
      assert same("1.5") === 1.5
      assert <<same("-0.0")::float>> == <<-0.0::float>>
      assert same("1.7976931348623157e308") === 1.7976931348623157e308
      assert same("5e-324") === 5.0e-324
      assert same("1e22") === 1.0e22
    end

    test "str: binary (UTF-8)" do
      assert same("''") == ""
      assert same("'größe 日本 🐍'") == "größe 日本 🐍"
      assert same("'a\\0b'") == "a\0b"
      assert same("'x' * 1_000_000") == String.duplicate("x", 1_000_000)
      # Not an atom, whatever it says.
      assert same("['nil', 'true', 'ok', 'nan']") == ["nil", "true", "ok", "nan"]
    end

    test "bytes, bytearray, memoryview: binary" do
      assert same("b''") == ""
      assert same("b'abc'") == "abc"
      assert same("b'\\xff\\0'") == <<255, 0>>
      assert same("bytearray(b'ab\\xff')") == <<"ab", 255>>
      assert same("memoryview(b'abcdef')") == "abcdef"
      assert same("memoryview(b'abcdef')[1:5:2]") == "bd"
      assert same("memoryview(b'abcdef')[::2]") == "ace"
      assert same("memoryview(b'abc')[::-1]") == "cba"
      assert same("memoryview(bytes(range(6))).cast('B', [2, 3])") == <<0, 1, 2, 3, 4, 5>>
      assert same("memoryview(__import__('array').array('h', [1, 2]))") |> byte_size() == 4
      assert same("memoryview(b'')") == ""
    end

    test "True, False: true, false" do
      assert same("[True, False]") === [true, false]
    end

    test "None: nil in Elixir, none through py" do
      assert from_python("None") == {nil, :none}
      assert from_python("[(None,)]") == {[{nil}], [{:none}]}

      assert from_python("{None: {'a': None}}") ==
               {%{nil => %{"a" => nil}}, %{none: %{"a" => :none}}}
    end

    test "float('nan'), inf, -inf: :nan, :infinity, :neg_infinity" do
      assert same("[float('nan'), float('inf'), -float('inf')]") == [
               :nan,
               :infinity,
               :neg_infinity
             ]

      assert same("{float('inf'): 1}") == %{infinity: 1}
    end

    test "list: list" do
      assert same("[]") == []
      assert same("[1, [2.5, 'a']]") == [1, [2.5, "a"]]
      assert same("list(range(100_000))") == Enum.to_list(0..99_999)
    end

    test "tuple, named tuple: tuple" do
      assert same("()") == {}
      assert same("(1, ('a',))") == {1, {"a"}}
      assert same("__import__('collections').namedtuple('P', 'x y')(1, 2)") == {1, 2}
      assert same("__import__('time').gmtime(0)") == {1970, 1, 1, 0, 0, 0, 3, 1, 0}
      assert same("('bytes', 'a')") == {"bytes", "a"}
    end

    test "dict: map, keys converted like values" do
      assert same("{}") == %{}
      assert same("{'a': {'b': 1}}") == %{"a" => %{"b" => 1}}

      assert same("{1: 1, 2.5: 2, (1, 'a'): 3, b'\\xff': 4, True: 5}") ==
               %{1 => 5, 2.5 => 2, {1, "a"} => 3, <<255>> => 4}

      # As far as Python tells them apart.
      assert same("{1: 'a', True: 'b'}") == %{1 => "b"}
      assert same("{0: 'a', '0': 'b', 0.5: 'c'}") == %{0 => "a", "0" => "b", 0.5 => "c"}

      assert from_python("{(1, 2): None, None: (), 1.5: b''}") ==
               {%{{1, 2} => nil, nil => {}, 1.5 => ""},
                %{{1, 2} => :none, :none => {}, 1.5 => ""}}

      assert from_python("{None: 1, frozenset({1}): 2}") ==
               {%{nil => 1, MapSet.new([1]) => 2}, %{:none => 1, [1] => 2}}

      assert same("{i: str(i) for i in range(100_000)}") == numbered(100_000)
    end

    test "erlang.Pid, erlang.Ref, erlang.Port: the same term" do
      other = spawn(fn -> :ok end)

      for term <- [self(), make_ref(), hd(:erlang.ports())] do
        assert there_and_back(term) === term
        assert there_and_back(%{term => [{term}]}) === %{term => [{term}]}

        assert Python.eval!("a == b and hash(a) == hash(b) and {a: 1}[b] == 1", %{
                 a: term,
                 b: term
               })

        refute Python.eval!("a == b", %{a: term, b: other})
      end
    end

    test "erlang.Atom: the atom that it names" do
      for atom <- [:ok, :größe, :"日本 🐍", :"", String.to_atom(String.duplicate("日", 255))] do
        assert same("__import__('erlang').Atom(x)", %{x: Atom.to_string(atom)}) === atom
      end

      for name <- ["no such atom", "kein Atom 日本", String.duplicate("日", 256), "\0"] do
        assert {:error, error} = Python.eval("__import__('erlang').Atom(x)", %{x: name})
        assert error.type == "ValueError"
      end
    end

    test "an Elixir function: the same function" do
      text = "captured"

      for function <- [fn -> text end, &String.upcase/1, &:lists.map/2] do
        assert there_and_back(function) === function
      end

      assert there_and_back(fn x -> text <> x end).("!") == "captured!"
    end

    test "set, frozenset: MapSet, a list through py" do
      assert from_python("{1}") == {MapSet.new([1]), [1]}
      assert from_python("frozenset(('a',))") == {MapSet.new(["a"]), ["a"]}
      assert from_python("set()") == {MapSet.new(), []}
      {set, list} = from_python("{1, 'a', None, (1, 2), frozenset()}")
      assert set == MapSet.new([1, "a", nil, {1, 2}, MapSet.new()])
      assert Enum.sort(list) == Enum.sort([1, "a", :none, {1, 2}, []])
      assert Python.eval!("set(range(1000))") == MapSet.new(0..999)
    end

    test "datetime.*: the same structs, calendar tuples through py" do
      [date, time, moment] = for name <- ~w(date time datetime), do: attribute(:datetime, name)

      assert from_python("d(2024, 2, 29)", %{d: date}) == {~D[2024-02-29], {2024, 2, 29}}
      assert from_python("t(1, 2, 3)", %{t: time}) == {~T[01:02:03], {1, 2, 3}}

      assert from_python("t(1, 2, 3, 500_000)", %{t: time}) ==
               {~T[01:02:03.500000], {1, 2, 3.5}}

      assert from_python("d(2024, 2, 29, 1, 2, 3)", %{d: moment}) ==
               {~N[2024-02-29 01:02:03], {{2024, 2, 29}, {1, 2, 3}}}

      assert from_python("d(2024, 2, 29, 1, 2, 3, 4)", %{d: moment}) ==
               {~N[2024-02-29 01:02:03.000004], {{2024, 2, 29}, {1, 2, 3.000004}}}
    end

    test "datetime with a zone: DateTime in UTC" do
      code = "m.datetime(2024, 2, 29, 1, tzinfo=m.timezone(m.timedelta(hours=5, minutes=30)))"

      assert from_python(code, %{m: Python.import!(:datetime)}) ==
               {~U[2024-02-28 19:30:00Z], {{2024, 2, 28}, {19, 30, 0}}}

      code = "m.datetime(2024, 2, 29, 1, tzinfo=m.timezone.utc)"

      assert from_python(code, %{m: Python.import!(:datetime)}) ==
               {~U[2024-02-29 01:00:00Z], {{2024, 2, 29}, {1, 0, 0}}}
    end

    test "decimal.Decimal: Decimal, if loaded" do
      for {text, sign, coef, exp} <- [
            {"1.5", 1, 15, -1},
            {"-0", -1, 0, 0},
            {"1E+3", 1, 1, 3},
            {"1.00", 1, 100, -2},
            {"-Infinity", -1, :inf, 0},
            {"NaN", 1, :NaN, 0},
            {"123456789012345678901234567890.5", 1, 1_234_567_890_123_456_789_012_345_678_905, -1}
          ] do
        assert same("d(x)", %{d: attribute(:decimal, "Decimal"), x: text}) ==
                 %Decimal{sign: sign, coef: coef, exp: exp}
      end
    end

    @tag :tmp_dir
    test "decimal.Decimal: %Python.Object{}, if not loaded", %{tmp_dir: folder} do
      # A VM that has all modules of the project but this one.
      code = """
      ebin = Path.expand("#{Application.app_dir(:erlang_python, "ebin")}")
      app = Path.join("#{folder}", "erlang_python")
      File.mkdir_p!(Path.join(app, "ebin"))
      for file <- File.ls!(ebin), file != "Elixir.Decimal.beam",
        do: File.ln_s!(Path.join(ebin, file), Path.join([app, "ebin", file]))
      File.ln_s!(Path.expand("../priv", ebin), Path.join(app, "priv"))
      for path <- :code.get_path(), Path.expand(path) == ebin, do: :code.del_path(path)
      true = :code.add_patha(String.to_charlist(Path.join(app, "ebin")))
      {:ok, _} = Application.ensure_all_started(:erlang_python)
      false = Code.ensure_loaded?(Decimal)
      {:ok, object} = Python.eval("__import__('decimal').Decimal('1.50')")
      IO.inspect(object)
      IO.puts(Python.eval!("str(x + x)", %{x: object}))
      """

      assert {output, 0} = FreshVM.run(code, start: false)
      assert output =~ "#Python.Object<<class 'decimal.Decimal'> Decimal('1.50')>"
      assert output =~ "3.00"
    end

    test "range, generators, iterators, instances, modules, classes, functions: %Python.Object{}" do
      for code <- [
            "range(3)",
            "range(10 ** 30)",
            "(i for i in ())",
            "iter([])",
            "object()",
            "__import__('math')",
            "int",
            "len",
            "lambda: 1",
            "3 + 4j",
            "Ellipsis",
            "NotImplemented",
            "slice(1)",
            "ValueError()",
            "ValueError('a')",
            "type('A', (), {})()",
            "{'a': 1}.items()",
            "{}.keys()",
            "__import__('fractions').Fraction(1, 3)",
            "__import__('uuid').UUID(int=1)",
            "__import__('datetime').timedelta(1)",
            "__import__('array').array('i', [1])",
            "__import__('collections').deque([1])",
            "__import__('types').MappingProxyType({})"
          ] do
        assert {%Object{} = object, %Object{}} = from_python(code)
        assert {[%Object{}], [%Object{}]} = from_python("[#{code}]")

        assert {{1, %{"a" => %Object{}}}, {1, %{"a" => %Object{}}}} =
                 from_python("(1, {'a': #{code}})")

        made = if code =~ "'A'", do: "type(x)", else: "type(#{code})"
        assert Python.eval!("type(x) is #{made}", %{x: object})
      end
    end

    test "subclasses of int, float, str, list, tuple, dict, bytes, set: as their base" do
      name =
        define("""
        import collections, enum
        class NAMEInt(int): pass
        class NAMEFloat(float): pass
        class NAMEStr(str): pass
        class NAMEList(list): pass
        class NAMETuple(tuple): pass
        class NAMEDict(dict): pass
        class NAMEBytes(bytes): pass
        class NAMEBytearray(bytearray): pass
        class NAMEEnum(enum.IntEnum): A = 3
        class NAMEStrEnum(str, enum.Enum): A = 'a'
        NAME = [NAMEInt(5), NAMEInt(2 ** 70), NAMEFloat(1.5), NAMEStr('a'), NAMEList([1]), NAMETuple((1,)),
                NAMEDict(a=1), NAMEBytes(b'b'), NAMEBytearray(b'c'), NAMEEnum.A, NAMEStrEnum.A,
                collections.OrderedDict(a=1), collections.defaultdict(int, a=1),
                collections.Counter('a')]
        """)

      assert same(name) ===
               [5, 2 ** 70, 1.5, "a", [1], {1}, %{"a" => 1}, "b", "c", 3, "a"] ++
                 [%{"a" => 1}, %{"a" => 1}, %{"a" => 1}]

      for base <- ["set", "frozenset"] do
        name = define("class NAME(#{base}): pass")
        assert from_python("#{name}([1])") == {MapSet.new([1]), [1]}
      end
    end
  end

  test "each row of the guide has a test of its name" do
    names = for %{name: name} <- __ex_unit__().tests, do: Atom.to_string(name)
    guide = File.read!(Path.expand("../../../guides/types.md", __DIR__))

    # A third shows examples; test/docs/guides_test.exs runs them.
    [[_ | to_python], [_ | from_python] | _] =
      for [table] <- Regex.scan(~r/(?:^\|.*\n)+/m, guide) do
        for row <- String.split(table, "\n", trim: true), not String.starts_with?(row, "|---") do
          row
          |> String.replace("`", "")
          |> String.trim("|")
          |> String.trim()
          |> String.replace(" | ", ": ")
        end
      end

    assert length(to_python) > 15
    for row <- to_python, do: assert("test Elixir to Python: #{row}" in names)
    for row <- from_python, do: assert("test Python to Elixir: #{row}" in names)
  end

  defp numbered(count), do: Map.new(0..(count - 1), &{&1, Integer.to_string(&1)})
  defp attribute(module, name), do: Python.getattr!(Python.import!(module), name)
end
