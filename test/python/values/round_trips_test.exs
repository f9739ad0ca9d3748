defmodule Python.Values.RoundTripsTest do
  use Python.TestCase, async: true

  alias Python.{Bytes, DecodeError, Object}

  # What Python makes of a term: the class and the representation.
  defp in_python(term), do: Python.eval!("(type(x).__name__, repr(x))", %{x: term})

  defp there_and_back(term), do: Python.eval("x", %{x: term})

  describe "to Python" do
    test "an integer is an int" do
      assert in_python(0) == {"int", "0"}
      assert in_python(-42) == {"int", "-42"}
    end

    test "a float is a float" do
      assert in_python(1.5) == {"float", "1.5"}
      assert in_python(0.0) == {"float", "0.0"}
      assert in_python(-0.0) == {"float", "-0.0"}
      assert in_python(1.0e308) == {"float", "1e+308"}
      assert in_python(5.0e-324) == {"float", "5e-324"}
    end

    test "a binary that is UTF-8 is a str" do
      assert in_python("abc") == {"str", "'abc'"}
      assert in_python("") == {"str", "''"}
      assert in_python("größe 日本 🐍") == {"str", "'größe 日本 🐍'"}
      assert in_python("a\0b") == {"str", ~S('a\x00b')}
    end

    test "a binary that is not UTF-8 is bytes" do
      assert in_python(<<255, 0>>) == {"bytes", ~S(b'\xff\x00')}
      # A surrogate, and a zero in two bytes.
      assert in_python(<<0xED, 0xA0, 0x80>>) == {"bytes", ~S(b'\xed\xa0\x80')}
      assert in_python(<<0xC0, 0x80>>) == {"bytes", ~S(b'\xc0\x80')}
    end

    test "a binary that is said to be bytes is bytes" do
      assert in_python(%Bytes{data: "abc"}) == {"bytes", "b'abc'"}
      assert in_python({:bytes, "abc"}) == {"bytes", "b'abc'"}
      assert in_python({:bytes, ""}) == {"bytes", "b''"}
      assert in_python([{:bytes, "abc"}]) == {"list", "[b'abc']"}
    end

    test "true and false are True and False" do
      assert in_python(true) == {"bool", "True"}
      assert in_python(false) == {"bool", "False"}
    end

    test "nil, none and undefined are None" do
      for none <- [nil, :none, :undefined], do: assert(in_python(none) == {"NoneType", "None"})
    end

    test "another atom is a str" do
      assert in_python(:abc) == {"str", "'abc'"}
      assert in_python(:größe) == {"str", "'größe'"}
      assert in_python(:"") == {"str", "''"}
      assert in_python(Enum) == {"str", "'Elixir.Enum'"}
      assert in_python(:error) == {"str", "'error'"}
    end

    test "nan and the infinities are floats" do
      assert in_python(:nan) == {"float", "nan"}
      assert in_python(:infinity) == {"float", "inf"}
      assert in_python(:neg_infinity) == {"float", "-inf"}
    end

    test "a list is a list" do
      assert in_python([]) == {"list", "[]"}
      assert in_python([1, "a", [nil]]) == {"list", "[1, 'a', [None]]"}
      assert in_python(~c"abc") == {"list", "[97, 98, 99]"}
      assert in_python(a: 1) == {"list", "[('a', 1)]"}
    end

    test "a tuple is a tuple" do
      assert in_python({}) == {"tuple", "()"}
      assert in_python({1}) == {"tuple", "(1,)"}
      assert in_python({1, {"a", []}}) == {"tuple", "(1, ('a', []))"}
      assert in_python({:bytes, 1}) == {"tuple", "('bytes', 1)"}
      assert in_python({:bytes, "a", "b"}) == {"tuple", "('bytes', 'a', 'b')"}
    end

    test "a map is a dict" do
      assert in_python(%{}) == {"dict", "{}"}
      assert in_python(%{a: 1}) == {"dict", "{'a': 1}"}
      assert in_python(%{"a" => %{1 => [2.5]}}) == {"dict", "{'a': {1: [2.5]}}"}
    end

    test "the keys of a map may be anything that can be hashed" do
      for {key, shown} <- [
            {1, "1"},
            {1.5, "1.5"},
            {nil, "None"},
            {true, "True"},
            {{1, "a"}, "(1, 'a')"},
            {<<255>>, ~S(b'\xff')},
            {2 ** 80, "1208925819614629174706176"},
            {:nan, "'nan'"}
          ] do
        assert in_python(%{key => 1}) == {"dict", "{#{shown}: 1}"}
      end
    end

    test "an object is itself" do
      object = Python.call!(:builtins, :object)

      assert Python.eval("a is b[0] and a is c['k']", %{a: object, b: [object], c: %{k: object}})
             |> elem(1)
    end
  end

  describe "from Python" do
    for {code, term} <- [
          {"42", 42},
          {"-1", -1},
          {"1.5", 1.5},
          {"True", true},
          {"False", false},
          {"None", nil},
          {"'größe 🐍'", "größe 🐍"},
          {"''", ""},
          {"'a\\0b'", "a\0b"},
          {"b'abc'", "abc"},
          {"b''", ""},
          {"b'\\xff\\x00'", <<255, 0>>},
          {"bytearray(b'ab')", "ab"},
          {"memoryview(b'abcdef')[::2]", "ace"},
          {"[]", []},
          {"[1, 'a', [None]]", [1, "a", [nil]]},
          {"()", {}},
          {"(1, (2,))", {1, {2}}},
          {"{}", %{}},
          {"{'a': 1, 2: [3]}", %{"a" => 1, 2 => [3]}},
          {"{(1, 2): None, None: (), 1.5: b''}", %{{1, 2} => nil, nil => {}, 1.5 => ""}},
          {"float('nan')", :nan},
          {"float('inf')", :infinity},
          {"[-float('inf')]", [:neg_infinity]},
          {"-0.0", -0.0}
        ] do
      test "#{code} is #{inspect(term)}" do
        assert Python.eval(unquote(code)) == {:ok, unquote(Macro.escape(term))}
      end
    end

    test "subclasses are what their base is" do
      name =
        define("""
        import collections, enum
        class NAMEInt(int): pass
        class NAMEFloat(float): pass
        class NAMEStr(str): pass
        class NAMEList(list): pass
        class NAMEDict(dict): pass
        class NAMETuple(tuple): pass
        class NAMEBytes(bytes): pass
        class NAMEEnum(enum.IntEnum): A = 3
        NAME = [NAMEInt(5), NAMEFloat(1.5), NAMEStr('a'), NAMEList([1]), NAMEDict(a=1),
                NAMETuple((1,)), NAMEBytes(b'x'), NAMEEnum.A,
                collections.OrderedDict(a=1), collections.defaultdict(int, a=1),
                collections.namedtuple('P', 'x y')(1, 2)]
        """)

      assert Python.eval!(name) ==
               [5, 1.5, "a", [1], %{"a" => 1}, {1}, "x", 3, %{"a" => 1}, %{"a" => 1}, {1, 2}]
    end

    test "subclasses cannot lie about what they are" do
      name =
        define("""
        def lie(*_): return True
        class NAMEInt(int):
            __lt__ = __gt__ = __neg__ = __abs__ = bit_length = to_bytes = __index__ = __int__ = lie
        class NAMEFloat(float):
            __float__ = lambda self: 7.5
        class NAMEStr(str):
            encode = __str__ = lie
            __len__ = lambda self: 99
        class NAMEBytes(bytes):
            __len__ = lambda self: 99
            __bytes__ = lie
        class NAMEList(list):
            __len__ = lambda self: 99
            __iter__ = __getitem__ = lie
        class NAMEDict(dict):
            __len__ = lambda self: 99
            __iter__ = __getitem__ = items = keys = lie
        class NAMETuple(tuple):
            __len__ = lambda self: 99
            __iter__ = __getitem__ = lie
        NAME = [NAMEInt(5), NAMEFloat(1.5), NAMEStr('a'),
                NAMEBytes(b'b'), NAMEList([1]), NAMEDict(a=1), NAMETuple((1, 2))]
        """)

      assert Python.eval!(name) ==
               [5, 1.5, "a", "b", [1], %{"a" => 1}, {1, 2}]
    end

    test "an int beyond 64 bits keeps its sign, whatever its class says" do
      name = define("class NAME(int):\n    __lt__ = lambda self, other: self > 0")
      assert Python.eval("#{name}(2 ** 70)") == {:ok, 2 ** 70}
      assert Python.eval("#{name}(-2 ** 70)") == {:ok, -(2 ** 70)}
    end

    test "what has no counterpart is an object" do
      for code <- [
            "object()",
            "len",
            "int",
            "__import__('math')",
            "(x for x in [])",
            "iter([])",
            "3 + 4j",
            "lambda: 1",
            "Ellipsis",
            "NotImplemented",
            "type('A', (), {})()",
            "slice(1)",
            "ValueError('a')"
          ] do
        assert {:ok, %Object{}} = Python.eval(code)

        assert {:ok, {1, [%Object{}], %{"a" => %Object{}}}} =
                 Python.eval("(1, [#{code}], {'a': #{code}})")
      end
    end

    test "a text never becomes an atom" do
      assert Python.eval("['true', 'nil', 'ok', 'nan']") == {:ok, ["true", "nil", "ok", "nan"]}
    end

    test "a text with a lone surrogate is an error that says so" do
      assert {:error, %DecodeError{path: ~s([1]["name"])} = error} =
               Python.eval(~S"[0, {'name': '\ud800'}]")

      assert Exception.message(error) =~ "surrogate"
      assert Python.eval(~S"{'\udfff': 1}") |> elem(0) == :error
    end

    test "keys that are the same term are an error, as one would be lost" do
      assert {:error, %DecodeError{} = error} = Python.eval("{'a': 1, b'a': 2}")
      assert Exception.message(error) =~ "key"
    end

    test "1, True and 1.0 as keys are told apart as far as Python does" do
      assert Python.eval("{1: 'a', True: 'b'}") == {:ok, %{1 => "b"}}

      assert Python.eval("{0: 'a', '0': 'b', 0.5: 'c'}") ==
               {:ok, %{0 => "a", "0" => "b", 0.5 => "c"}}
    end
  end

  describe "there and back" do
    test "integers of any size are the same" do
      around =
        for n <- [7, 8, 31, 32, 53, 59, 60, 62, 63, 64, 65, 127, 128, 2039, 2040, 2048, 20_000],
            do: 2 ** n

      for n <- around, d <- -2..2, sign <- [1, -1] do
        assert there_and_back(sign * (n + d)) == {:ok, sign * (n + d)}
      end
    end

    test "integers are the same number in Python" do
      for n <- [2 ** 63, 2 ** 64 - 1, 2 ** 64, 2 ** 70 + 1, 3 ** 200], sign <- [1, -1] do
        assert Python.eval("x + 1", %{x: sign * n}) == {:ok, sign * n + 1}
        assert in_python(sign * n) == {"int", Integer.to_string(sign * n)}
      end
    end

    test "an integer of a million digits is the same" do
      n = Bitwise.bsl(1, 3_321_928) + 7
      assert there_and_back(n) == {:ok, n}
      assert Python.eval("2 ** 3_321_928 + 7") == {:ok, n}
    end

    test "floats are the same, to the last bit" do
      floats = [0.1, -0.0, 1.7976931348623157e308, 5.0e-324, 2.2250738585072014e-308, 1 / 3]

      for f <- floats do
        assert {:ok, back} = there_and_back(f)
        assert <<back::float>> == <<f::float>>
      end
    end

    test "texts and bytes are the same" do
      for binary <- ["", "a", "ß", "日本", "🐍", "\0", <<255>>, :binary.copy("x🐍", 500_000)] do
        assert there_and_back(binary) == {:ok, binary}
      end

      bytes = for n <- 0..255, into: <<>>, do: <<n>>
      assert there_and_back({:bytes, bytes}) == {:ok, bytes}
      big = :crypto.strong_rand_bytes(5_000_000)
      assert there_and_back(%Bytes{data: big}) == {:ok, big}
    end

    test "a part of a binary is that part" do
      <<_, part::binary-size(3), _::binary>> = "xabcx" <> String.duplicate("y", 100)
      assert there_and_back(part) == {:ok, "abc"}
    end

    test "collections are the same, empty, large and nested" do
      for term <- [
            [],
            {},
            %{},
            [[], {}, %{}],
            Enum.to_list(1..100_000),
            List.to_tuple(Enum.to_list(1..1_000)),
            Map.new(1..10_000, &{"key #{&1}", &1}),
            Map.new(1..100, &{&1, %{&1 => {&1, [&1]}}})
          ] do
        assert there_and_back(term) == {:ok, term}
      end
    end

    test "a thousand random values are the same" do
      for seed <- 1..1_000 do
        :rand.seed(:exsss, {1, 2, seed})
        term = random(5)
        assert there_and_back(term) == {:ok, term}, "seed #{seed}: #{inspect(term)}"
      end
    end

    defp random(0), do: random_leaf()

    defp random(depth) do
      case :rand.uniform(6) do
        1 -> for _ <- many(), do: random(depth - 1)
        2 -> List.to_tuple(for _ <- many(), do: random(depth - 1))
        3 -> for _ <- many(), into: %{}, do: {random_key(), random(depth - 1)}
        _ -> random_leaf()
      end
    end

    defp many, do: Enum.take(1..5, :rand.uniform(6) - 1)

    defp random_key do
      case :rand.uniform(3) do
        1 -> :rand.uniform(1_000)
        2 -> "key #{:rand.uniform(1_000)}"
        3 -> {:rand.uniform(10), "t"}
      end
    end

    defp random_leaf do
      case :rand.uniform(7) do
        1 -> :rand.uniform(1_000_000_000) - 500_000_000
        2 -> (:rand.uniform() - 0.5) * 2 ** :rand.uniform(200)
        3 -> 2 ** :rand.uniform(300) * Enum.random([1, -1])
        4 -> :rand.bytes(:rand.uniform(20))
        5 -> String.duplicate("é🐍", :rand.uniform(5))
        6 -> Enum.random([true, false, nil])
        7 -> Enum.random([:nan, :infinity, :neg_infinity])
      end
    end
  end
end
