defmodule Python.Values.ReturnBytesTest do
  # `return: :bytes`: what was bytes comes back as bytes.

  use Python.EngineCase, async: true

  alias Python.{Bytes, Object}

  @nested "(b'a', [bytearray(b'b')], {b'k': memoryview(b'v')}, {b's'}, frozenset([b'f']), 'text', None, 1)"
  @marked {%Bytes{data: "a"}, [%Bytes{data: "b"}], %{%Bytes{data: "k"} => %Bytes{data: "v"}},
           MapSet.new([%Bytes{data: "s"}]), MapSet.new([%Bytes{data: "f"}]), "text", nil, 1}

  test "marks bytes at any depth, as keys and in sets too" do
    assert Python.eval(@nested, return: :bytes) == {:ok, @marked}

    assert Python.eval("type('B', (bytes,), {})(b'x')", return: :bytes) ==
             {:ok, %Bytes{data: "x"}}

    assert Python.eval("b''", return: :bytes) == {:ok, %Bytes{data: ""}}
  end

  test "whether they are UTF-8 or not, and however many" do
    for data <- ["abc", <<255>>, :binary.copy("a", 100_000), :binary.copy(<<255>>, 2_000_000)] do
      vars = %{x: %Bytes{data: data}}
      assert Python.eval("x", vars, return: :bytes) == {:ok, %Bytes{data: data}}
      assert Python.eval("bytearray(x)", vars, return: :bytes) == {:ok, %Bytes{data: data}}
      # And so it goes back as what it was.
      {:ok, again} = Python.eval("[x]", vars, return: :bytes)
      assert Python.eval("type(x[0]).__name__", %{x: again}) == {:ok, "bytes"}
    end
  end

  test "a str stays a string, and two keys that were one are two" do
    assert Python.eval("{'a': 1, b'a': 2}", return: :bytes) ==
             {:ok, %{"a" => 1, %Bytes{data: "a"} => 2}}

    assert {:error, %Python.DecodeError{}} = Python.eval("{'a': 1, b'a': 2}")
  end

  test "holds for every way to call" do
    name = define("def NAME(x): return [x]")
    bytes = %Bytes{data: "a"}
    assert Python.call(:__main__, name, [bytes], return: :bytes) == {:ok, [bytes]}

    assert Python.map(:__main__, name, [[bytes], ["a"]], return: :bytes) ==
             {:ok, [[bytes], ["a"]]}

    assert Enum.to_list(Python.stream(:__main__, name, [bytes], return: :bytes)) == [bytes]

    assert Enum.to_list(Python.stream_eval("(b for b in [b'a', 'a', 1])", return: :bytes)) == [
             bytes,
             "a",
             1
           ]

    assert Python.await(Python.call_async(:__main__, name, [bytes], return: :bytes)) ==
             {:ok, [bytes]}

    assert Python.apply(Python.eval!("lambda x: x"), [bytes], return: :bytes) == {:ok, bytes}
    assert Python.eval("b'a'", return: :bytes, timeout: :infinity) == {:ok, bytes}
    context = start_context()
    assert Python.eval("b'a'", return: :bytes, context: context) == {:ok, bytes}
  end

  test "without it nothing is marked" do
    assert {:ok, {"a", ["b"], %{"k" => "v"}, _, _, "text", nil, 1}} = Python.eval(@nested)
    assert {:ok, %Object{}} = Python.eval("b'a'", return: :object)
  end

  test "is one of three" do
    assert_raise ArgumentError, ~r/:value, :object or :bytes, got: :binary/, fn ->
      Python.eval("1", return: :binary)
    end

    assert_raise ArgumentError, fn -> Python.exec("1", return: :bytes) end
  end
end
