defmodule Python.Arrays.RefusalsTest do
  # What is no array, both ways, and what is said of it. Without numpy.

  use Python.EngineCase, async: true

  alias Python.{Array, DecodeError, EncodeError}

  defp object(code), do: Python.eval!(code, %{}, return: :object)

  defp refused(code, options \\ []) do
    assert {:error, %DecodeError{reason: reason} = error} = Array.from(object(code), options)

    assert_raise DecodeError, Exception.message(error), fn ->
      Array.from!(object(code), options)
    end

    reason
  end

  describe "Array.new" do
    test "takes what fits together" do
      assert Array.new("", {:f, 64}, {0}) == %Array{data: "", dtype: {:f, 64}, shape: {0}}
      assert %Array{shape: {}} = Array.new(<<1>>, {:bool, 8}, {})
      assert %Array{} = Array.new(<<0::96>>, {:s, 16}, {2, 1, 3})
    end

    test "refuses the rest" do
      assert_raise ArgumentError,
                   ~r/expected the dtype of an array, one of {:f, 16}.*got: {:f, 8}/,
                   fn ->
                     Array.new(<<1>>, {:f, 8}, {1})
                   end

      assert_raise ArgumentError, ~r/expected a binary of 8 bytes .* got: one of 7/, fn ->
        Array.new("1234567", {:s, 64}, {})
      end

      for shape <- [[1], nil, {-1}, {1.0}, {:a}, 8] do
        assert_raise ArgumentError, ~r/expected the shape of an array, a tuple/, fn ->
          Array.new("12345678", {:s, 64}, shape)
        end
      end

      for data <- [nil, [1], <<1::3>>] do
        assert_raise ArgumentError, ~r/expected the data of an array, a binary/, fn ->
          Array.new(data, {:s, 64}, {1})
        end
      end
    end
  end

  describe "a struct that is not valid" do
    test "is an EncodeError that says why" do
      array = Array.new(<<1::64-native>>, {:s, 64}, {1})

      for {broken, text} <- [
            {%{array | data: "1234"}, "its data has 4 bytes"},
            {%{array | shape: {2}}, "its data has 8 bytes"},
            {%{array | shape: {9_223_372_036_854_775_807, 9_223_372_036_854_775_807}},
             "its data has"},
            {%{array | shape: [1]}, "its field :shape is invalid"},
            {%{array | shape: {-1}}, "its field :shape is invalid"},
            {%{array | dtype: {:f, 8}}, "its field :dtype is invalid"},
            {%{array | dtype: :f64}, "its field :dtype is invalid"},
            {%{array | dtype: {:s, 63}}, "its field :dtype is invalid"},
            {%{array | data: nil}, "its field :data is invalid"},
            {Map.delete(array, :data), "its field :data is missing"},
            {Map.put(array, :names, []), "has the key :names"}
          ] do
        assert {:error, %EncodeError{reason: reason}} = Python.call(:builtins, :id, [broken])
        assert reason =~ text
      end
    end
  end

  describe "Array.from without numpy" do
    test "takes whatever has a buffer of numbers" do
      for {code, dtype, shape, data} <- [
            {"b'abc'", {:u, 8}, {3}, "abc"},
            {"bytearray(b'abc')", {:u, 8}, {3}, "abc"},
            {"memoryview(b'abcdef')[::-2]", {:u, 8}, {3}, "fdb"},
            {"memoryview(b'abcdef').cast('B', (2, 3))", {:u, 8}, {2, 3}, "abcdef"},
            {"memoryview(b'\\1\\0').cast('?')", {:bool, 8}, {2}, <<1, 0>>},
            {"memoryview(b'abcd').cast('f', ())", {:f, 32}, {}, "abcd"},
            {"b''", {:u, 8}, {0}, ""},
            {"__import__('array').array('h', [-1, 2])", {:s, 16}, {2},
             <<-1::16-native, 2::16-native>>},
            {"__import__('array').array('d', [1.5])", {:f, 64}, {1}, <<1.5::float-native>>},
            {"(__import__('ctypes').c_int32 * 2)(1, -1)", {:s, 32}, {2},
             <<1::32-native, -1::32-native>>},
            {"(__import__('ctypes').c_uint16.__ctype_be__ * 2)(1, 2)", {:u, 16}, {2},
             <<1::16-native, 2::16-native>>},
            {"((__import__('ctypes').c_uint8 * 2) * 3)()", {:u, 8}, {3, 2}, <<0::48>>}
          ] do
        assert {code, Array.from(object(code))} ==
                 {code, {:ok, %Array{data: data, dtype: dtype, shape: shape}}}
      end
    end

    test "names what is something else" do
      assert refused("[1, 2]") =~ "got: an object of the class list, it has no buffer"
      assert refused("'abc'") =~ "class str"
      assert refused("None") =~ "class NoneType"
      assert refused("memoryview(b'ab').cast('c')") =~ "dtype 'c' of 1 bytes"
      assert refused("__import__('ctypes').c_void_p(1)") =~ "of 8 bytes; call its tolist()"

      pair =
        "type('P', (__import__('ctypes').Structure,), {'_fields_': [('a', __import__('ctypes').c_int)]})()"

      assert refused(pair) =~ "dtype 'T{"
      released = define("NAME = memoryview(b'a')\nNAME.release()")
      assert refused(released) =~ "operation forbidden on released memoryview object"
    end

    test "is told by an interface that lies" do
      make = fn interface -> "type('I', (), {'__array_interface__': #{interface}})()" end
      valid = "{'typestr': '<i4', 'shape': (2,), 'data': b'12345678', 'version': 3}"

      assert {:ok, %Array{dtype: {:s, 32}, shape: {2}, data: "12345678"}} =
               Array.from(object(make.(valid)))

      for {change, text} <- [
            {"shape=(3,)", "reach beyond its memory"},
            {"strides=(8,)", "reach beyond its memory"},
            {"strides=(-4,)", "reach beyond its memory"},
            {"offset=1", "reach beyond its memory"},
            {"offset=100", "reach beyond its memory"},
            {"shape=(2**62, 2**62)", "more than 4 GiB"},
            {"shape=(2**40,), strides=(0,)", "more than 4 GiB"},
            {"shape=(-1,)", "is not valid"},
            {"shape=None", "is not valid"},
            {"typestr='<M8'", "dtype <M8"},
            {"typestr='|V4'", "dtype |V4"},
            {"typestr=''", "is not valid"},
            {"strides=('a',)", "is not valid"},
            {"mask=1", "items that are missing"}
          ] do
        assert {change, true} == {change, refused(make.("dict(#{valid}, #{change})")) =~ text}
      end
    end

    test "raises what the object raises" do
      raises = "type('R', (), {'__array_interface__': property(lambda self: 1 / 0)})()"
      assert {:error, %Python.Error{type: "ZeroDivisionError"}} = Array.from(object(raises))
    end
  end

  describe "copy: false" do
    test "shares what cannot change" do
      {:ok, array} = Array.from(object("b'x' * 200_000"), copy: false)
      assert array.data == :binary.copy("x", 200_000)
      data = :rand.bytes(300_000)
      given = Python.to_object!(Python.buffer(data))
      assert {:ok, %Array{data: ^data}} = Array.from(given, copy: false)
      assert {:ok, %Array{data: "abc"}} = Array.from(object("b'abc'"), copy: false)
    end

    test "refuses what can, and what has to be put in order" do
      assert refused("bytearray(100_000)", copy: false) =~ "may change"
      assert refused("memoryview(bytearray(100_000)).toreadonly()", copy: false) =~ "may change"
      assert refused("memoryview(b'x' * 200_000)[::2]", copy: false) =~ "have gaps"
    end

    test "is a boolean" do
      assert_raise ArgumentError, ~r/expected the option :copy to be/, fn ->
        Array.from(object("b''"), copy: nil)
      end

      assert_raise ArgumentError, ~r/unknown option :kopy.*Did you mean :copy/is, fn ->
        Array.from(object("b''"), kopy: true)
      end
    end
  end

  test "what is no handle is refused" do
    assert_raise ArgumentError, ~r/Python.Object/, fn -> Array.from([1, 2]) end
    array = Array.new("a", {:u, 8}, {1})
    assert Array.from(array) == {:ok, array}
    assert_raise ArgumentError, fn -> Array.from(array, timeout: -1) end
  end
end
