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

  # So many elements come before, that dicts are made like others.
  @many 400

  defp identity(value), do: Python.eval("value", %{value: value})

  test "maps that have the keys of others become dicts of their own" do
    maps = for n <- 1..@many, do: %{"id" => n, "tags" => [n], :at => %{"id" => -n, "tags" => nil}}
    assert identity(maps) == {:ok, Enum.map(maps, &text_keys/1)}

    code = """
    (lambda first: (
        first.update(id='changed', more=1), first['tags'].append('more'), first['at'].clear(), values[-1]
    )[-1])(values[-2])
    """

    assert Python.eval!(String.trim(code), %{values: maps}) == text_keys(List.last(maps))
    assert Python.eval!("len({tuple(value) for value in values})", %{values: maps}) == 1

    assert Python.eval!("all(value['at'] is not values[0]['at'] for value in values[1:])", %{
             values: maps
           })
  end

  defp text_keys(%{at: at} = map), do: map |> Map.delete(:at) |> Map.put("at", at)

  test "keys that are nearly those of others are their own" do
    keys = [
      ["a", "b"],
      [:a, "b"],
      ["a", :b],
      ["a", "c"],
      ["b", "a"],
      ["a"],
      ["a", "b", "c"],
      [1, "b"],
      [1.0, "b"],
      [nil, "b"],
      [true, "b"],
      [{"a"}, "b"],
      ["ä", "b"],
      [<<0xFF>>, "b"],
      [String.duplicate("a", 64), "b"],
      [String.duplicate("a", 65), "b"],
      []
    ]

    maps = for n <- 1..@many, keys <- keys, do: Map.new(keys, &{&1, n})

    expected = for map <- maps, do: Map.new(map, fn {key, value} -> {text(key), value} end)
    assert identity(maps) == {:ok, expected}
  end

  defp text(key) when is_atom(key) and key not in [nil, true], do: Atom.to_string(key)
  defp text(key), do: key

  test "maps within one that has the same keys" do
    nest = fn nest, depth ->
      if depth == 0, do: %{"a" => 0}, else: %{"a" => nest.(nest, depth - 1), "b" => depth}
    end

    value = for _ <- 1..@many, do: nest.(nest, 5)
    assert identity(value) == {:ok, value}
  end

  test "structs, large binaries and handles in between" do
    handle = Python.eval!("object()")
    large = String.duplicate("x", 100_000)
    parts = [1, ~D[2024-02-29], large, {:bytes, large}, handle, MapSet.new([1])]
    maps = for n <- 1..@many, do: %{"a" => Enum.at(parts, rem(div(n, 60), 6)), "b" => n}
    assert {:ok, back} = identity(maps)
    assert Enum.map(back, &known/1) == Enum.map(maps, &known/1)
  end

  # A handle that is back is another one.
  defp known(%{"a" => {:bytes, data}} = map), do: %{map | "a" => data}
  defp known(%{"a" => %Python.Object{}} = map), do: %{map | "a" => :handle}
  defp known(map), do: map

  test "errors in one of many say where" do
    maps = for n <- 1..@many, do: %{"a" => n, "b" => [n]}
    path = "[#{@many}]"

    for {bad, step} <- [
          {%{"a" => 1, "b" => [2, <<1::3>>]}, ~s(["b"][1])},
          {%{"a" => <<1::3>>, "b" => 1}, ~s(["a"])},
          {%{"a" => 1, :a => 2}, ""}
        ] do
      assert {:error, %Python.EncodeError{path: found}} = identity(maps ++ [bad] ++ maps)
      assert String.starts_with?(found, path <> step)
    end
  end
end
