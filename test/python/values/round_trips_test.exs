defmodule Python.Values.RoundTripsTest do
  # Values that come back as they went, and what they are whatever their class says of itself. Random ones
  # are in properties_test.exs.
  use Python.EngineCase, async: true

  alias Python.Bytes

  # What Python makes of a term: the class and the representation.
  defp in_python(term), do: Python.eval!("(type(x).__name__, repr(x))", %{x: term})

  defp there_and_back(term), do: Python.eval("x", %{x: term})

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
  end

  describe "methods of a subclass" do
    test "cannot lie about what it is" do
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

    test "do not change the sign of an int beyond 64 bits" do
      name = define("class NAME(int):\n    __lt__ = lambda self, other: self > 0")
      assert Python.eval("#{name}(2 ** 70)") == {:ok, 2 ** 70}
      assert Python.eval("#{name}(-2 ** 70)") == {:ok, -(2 ** 70)}
    end

    test "which change a list while it is converted, give an error or a value" do
      name =
        define("""
        class NAMEKey(str):
            pass
        class NAMEInt(int):
            def __index__(self):
                target.clear()
                return 5
            __abs__ = __lt__ = lambda self, *_: (target.clear(), 5)[1]
        target = []
        def NAME():
            target[:] = [NAMEInt(2 ** 70), 1, 2, 3]
            return target
        """)

      assert {kind, _} = Python.call(:__main__, name)
      assert kind in [:ok, :error]
      assert Python.eval("1") == {:ok, 1}
    end
  end
end
