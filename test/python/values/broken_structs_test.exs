defmodule Python.Values.BrokenStructsTest do
  # Structs that were made or changed by hand, so that they are not what their name says.

  use Python.EngineCase, async: true

  alias Python.{Bytes, EncodeError}

  # Nothing that any field of these structs may be, but for what `fits?` says.
  @strange [
             nil,
             1.5,
             :strange,
             "x",
             <<255>>,
             <<1::3>>,
             [],
             [1 | 2],
             %{},
             %{1 => 2},
             {},
             {1},
             {1, 9},
             {1, "x"}
           ] ++
             [
               {-1, 7},
               -1,
               123_456_789_012_345_678_901_234_567_890,
               ~D[2024-02-29],
               %{__struct__: Date}
             ]

  defp structs do
    [
      ~D[2024-02-29],
      ~T[12:00:00.123],
      ~N[2024-02-29 12:00:00],
      ~U[2024-02-29 12:00:00Z],
      1..3,
      MapSet.new([1]),
      %Decimal{sign: 1, coef: 15, exp: -1},
      %Bytes{data: "abc"},
      Python.buffer("abc"),
      Python.iterator([1]),
      Python.function(fn x -> x end, name: "f", args: [x: "int"])
    ]
  end

  defp with_handle, do: [Python.to_object!([1]) | structs()]

  defp fields(struct), do: Map.keys(struct) -- [:__struct__]

  defp refused(struct, text, value \\ fn x -> x end) do
    assert {:error, %EncodeError{message: message, path: path}} =
             Python.eval("x", %{x: [0, value.(struct)]})

    assert message =~ "this %#{inspect(struct.__struct__)}{}"
    assert message =~ text
    assert path =~ "[1]"
    assert {:error, %EncodeError{}} = Python.call(:builtins, :dict, [], kwargs: %{a: struct})
    assert {:error, {:encode_error, _}} = :py.call(:builtins, :len, [struct])
  end

  test "one that lacks a field is refused, and the error names both" do
    for struct <- structs(),
        field <- fields(struct),
        {struct.__struct__, field} != {MapSet, :version} do
      refused(Map.delete(struct, field), "#{inspect(field)} is missing")
      refused(%{__struct__: struct.__struct__}, "is missing")
      refused(%{:__struct__ => struct.__struct__, 1 => 2}, "the key 1")
    end
  end

  test "a handle without its reference is refused" do
    handle = Python.to_object!([1])
    refused(Map.delete(handle, :ref), "is not a handle that Python returned")
    refused(%{__struct__: Python.Object}, "is not a handle that Python returned")
    assert Python.eval("x", %{x: Map.delete(handle, :home)}) == {:ok, [1]}
  end

  test "one that has a key too many is refused, wherever it is" do
    for struct <- with_handle(), key <- [:more, "more", 1, 1.5, {1}] do
      refused(Map.put(struct, key, 1), "which is not a field of the struct and would be lost")
      refused(struct |> Map.delete(hd(fields(struct))) |> Map.put(key, 1), "the key")
      refused(Map.put(struct, key, 1), "the key", &%{1 => {&1}})
      refused(Map.put(struct, key, 1), "the key", &MapSet.new([&1]))
    end
  end

  test "one that has something strange in a field is converted or refused" do
    for struct <- with_handle(), field <- fields(struct), strange <- @strange do
      changed = Map.put(struct, field, strange)
      # In a Python that is none the worse for it.
      case Python.eval("[x]", %{x: changed}) do
        {:ok, [_]} ->
          assert fits?(struct.__struct__, field, strange),
                 inspect({field, strange, changed}, structs: false)

        {:error, %EncodeError{message: message}} ->
          assert message =~ "%#{inspect(struct.__struct__)}{}" or message =~ "%Date{}" or
                   message =~ "an improper list" or message =~ "a bitstring"

        # A type that Python does not know.
        {:error, %Python.Error{type: "TypeError", message: message}} ->
          assert {Python.Function, :returns} == {struct.__struct__, field}
          assert message =~ "of this function"
      end
    end

    assert Python.eval("1 + 1") == {:ok, 2}
  end

  # A home says where a call about the handle runs: as an argument it has none.
  defp fits?(Python.Object, :home, _any), do: true
  defp fits?(MapSet, :map, %{} = map), do: map == %{}
  defp fits?(MapSet, :version, version), do: version == -1
  defp fits?(module, :data, data) when module in [Bytes, Python.Buffer], do: is_binary(data)
  defp fits?(DateTime, field, text) when field in [:time_zone, :zone_abbr], do: text == "x"
  defp fits?(DateTime, :utc_offset, offset), do: offset == -1
  defp fits?(DateTime, :std_offset, offset), do: offset == -1
  defp fits?(Range, _field, number), do: is_integer(number)
  defp fits?(Decimal, :coef, coef), do: is_integer(coef) and coef > 0
  defp fits?(Decimal, field, number) when field in [:exp, :sign], do: number == -1
  defp fits?(Python.Function, field, text) when field in [:name, :doc], do: text in [nil, "x"]
  defp fits?(Python.Function, :args, args), do: args in [nil, []]
  defp fits?(Python.Function, :returns, _type), do: true
  defp fits?(_module, _field, _strange), do: false

  test "a MapSet is converted with and without what some versions of Elixir have in it" do
    assert Python.eval("s", %{s: %{__struct__: MapSet, map: %{1 => [], 2 => []}}}) ==
             {:ok, MapSet.new([1, 2])}

    assert Python.eval("s", %{s: %{__struct__: MapSet, map: %{1 => []}, version: 2}}) ==
             {:ok, MapSet.new([1])}

    # Not even where structs in it are encoded first.
    inner = %Python.TestStructs.All{name: "x"}

    assert {:error, %EncodeError{message: message}} =
             Python.eval("[s, t]", %{s: Map.put(MapSet.new([1]), :more, 1), t: inner})

    assert message =~ "this %MapSet{} has the key :more"

    refused(
      %{__struct__: MapSet, map: %{1 => 2}, version: 2},
      "is not a valid struct: its field :map is invalid"
    )

    refused(%{__struct__: MapSet, map: 1}, "is not a valid struct: its field :map is invalid")
  end

  test "what Python's datetime refuses names the struct" do
    refused(
      %{~T[12:00:00] | hour: 24},
      "this %Time{} is not valid in Python's datetime: hour must be in 0..23"
    )

    refused(%{~D[2024-02-29] | day: 30}, "this %Date{} is not valid in Python's datetime: day")
    refused(%{~D[2024-02-29] | calendar: Nope}, "Calendar.ISO")

    refused(
      %{~N[2024-02-29 12:00:00] | year: 10_000},
      "%NaiveDateTime{} is not valid in Python's datetime: year 10000 is out of range"
    )

    refused(
      %{~U[2024-02-29 12:00:00Z] | utc_offset: 90_000},
      "%DateTime{} is not valid in Python's datetime: offset must be"
    )
  end

  test "a map whose :__struct__ is no atom is refused" do
    for other <- [1, "Date", [], %{}, {1}] do
      assert {:error, %EncodeError{message: message}} =
               Python.eval("x", %{x: %{__struct__: other}})

      assert message =~ "is not an atom"
    end
  end

  test "a handle that lacks its home is no target" do
    handle = Map.delete(Python.to_object!([1]), :home)
    assert_raise ArgumentError, ~r/without the key :home/, fn -> Python.call(handle, :copy) end

    assert_raise ArgumentError, ~r/the key :more/, fn ->
      Python.call(Map.put(handle, :more, 1), :copy)
    end
  end
end
