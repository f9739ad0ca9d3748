defmodule Python.Values.RepeatedKeysTest do
  # Keys that dicts of one value have in common, or nearly.

  use Python.EngineCase, async: true

  test "keys are what they are in each dict" do
    code = """
    [{k: n for n, k in enumerate(keys)} for keys in [
        ['a', 'b'], ['b', 'a'], ['a' * 64, 'a' * 65, 'a' * 63], ['ä', b'a', 'b'], [1, '1', 1.5, None], ['a' * 64],
        [('a', 'b'), 'a'], ['', 'a'], ['x' * 100_000, 'b'],
    ]]
    """

    long = String.duplicate("a", 64)

    assert Python.eval!(String.trim(code)) == [
             %{"a" => 0, "b" => 1},
             %{"b" => 0, "a" => 1},
             %{long => 0, (long <> "a") => 1, String.duplicate("a", 63) => 2},
             %{"ä" => 0, "a" => 1, "b" => 2},
             %{1 => 0, "1" => 1, 1.5 => 2, nil => 3},
             %{long => 0},
             %{{"a", "b"} => 0, "a" => 1},
             %{"" => 0, "a" => 1},
             %{String.duplicate("x", 100_000) => 0, "b" => 1}
           ]
  end

  test "keys that are made on the way are not mistaken for others" do
    code = """
    class Made(dict):
        pass

    def documents(count):
        for n in range(count):
            yield {f'key {n}': n, ''.join(['k', str(n)]): -n}

    made = list(documents(3000))
    """

    context = start_supervised!({Python.Context, []})
    Python.exec!(code, context: context)
    expected = for n <- 0..2_999, do: %{"key #{n}" => n, "k#{n}" => -n}
    assert Python.eval!("made", %{}, context: context) == expected
    assert Python.eval!("[dict(d) for d in made]", %{}, context: context) == expected
  end

  test "keys of a class of its own are asked anew" do
    code = """
    class Text(str):
        def __hash__(self):
            return 1
        def __eq__(self, other):
            return self is other

    one = Text('same')
    values = [{one: 1}, {one: 2, 'same': 3}, {'same': 4}]
    """

    context = start_supervised!({Python.Context, []})
    Python.exec!(code, context: context)

    assert Python.eval!("[values[0], values[2], values[0]]", %{}, context: context) == [
             %{"same" => 1},
             %{"same" => 4},
             %{"same" => 1}
           ]

    assert {:error, %Python.DecodeError{path: "[1]"}} =
             Python.eval("values", %{}, context: context)
  end

  test "a decoder of one key does not change the next" do
    code = "[{'a': {'a': {'a': [{'a': None}]}}}, {'a': {1: {'a': {}}}}]"

    assert Python.eval!(code) == [
             %{"a" => %{"a" => %{"a" => [%{"a" => nil}]}}},
             %{"a" => %{1 => %{"a" => %{}}}}
           ]
  end
end
