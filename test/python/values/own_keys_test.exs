defmodule Python.Values.OwnKeysTest do
  # Structs into which somebody has put a key that they do not have.

  use Python.EngineCase, async: true

  alias Python.{Bytes, EncodeError}

  defp refused(struct, key) do
    assert {:error, %EncodeError{message: message, path: "[1][\"k\"]"}} =
             Python.eval("x", %{x: [0, %{"k" => struct}]})

    assert message =~ "the key #{key}"
    assert {:error, %EncodeError{path: "[0]"}} = Python.call(:builtins, :len, [struct])
    assert {:error, %EncodeError{}} = Python.call(:builtins, :dict, [], kwargs: [a: struct])
    assert {:error, {:encode_error, _}} = :py.call(:builtins, :len, [struct])
  end

  test "a handle that was changed with Map is refused, and the object is what it was" do
    handle = Python.to_object!(%{"a" => 1})
    changed = Map.put(handle, "c", 1)
    refused(changed, ~s("c"))
    refused(Map.put(handle, :c, 1), ":c")
    refused(Map.merge(handle, %{1 => 2}), "1")
    assert {:error, %EncodeError{message: message}} = Python.to_object(changed)
    assert message =~ "Python.setitem/3"
    assert_raise EncodeError, ~r/the key "c"/, fn -> changed["a"] end
    assert_raise EncodeError, ~r/the key "c"/, fn -> Enum.to_list(changed) end
    assert {:error, %EncodeError{}} = Python.setitem(changed, "d", 1)
    assert Python.to_term!(handle) == %{"a" => 1}
  end

  test "a handle that was changed so is no target" do
    changed = Map.put(Python.to_object!(%{"a" => 1}), "c", 1)
    assert_raise ArgumentError, ~r/the key "c"/, fn -> Python.call(changed, :keys) end
    assert_raise ArgumentError, ~r/the key "c"/, fn -> Python.apply(changed, []) end

    assert_raise ArgumentError, ~r/the key "c"/, fn ->
      Python.stream(changed, :keys) |> Enum.to_list()
    end
  end

  test "a field that was taken away does not make room for another key" do
    for {struct, field} <- [{Python.buffer("abc"), :copy}, {~D[2024-02-29], :day}, {1..2, :step}] do
      refused(struct |> Map.delete(field) |> Map.put(:more, 1), ":more")
    end
  end

  test "other structs that Python has a counterpart for are refused, too" do
    for struct <- [
          %Bytes{data: "abc"},
          Python.buffer("abc"),
          Python.iterator([1]),
          ~D[2024-02-29],
          ~T[12:00:00],
          ~N[2024-02-29 12:00:00],
          ~U[2024-02-29 12:00:00Z],
          1..3
        ] do
      refused(Map.put(struct, :more, 1), ":more")
    end
  end

  test "a function of Elixir may give no such struct back" do
    handle = Python.to_object!([1])
    assert {:error, error} = Python.eval("f()", %{f: fn -> Map.put(handle, :more, 1) end})
    assert error.type == "TypeError"
    assert error.message =~ "the key :more"
  end

  test "as they are, they cross" do
    handle = Python.to_object!([1])
    assert Python.eval("x is y", %{x: handle, y: handle}) == {:ok, true}

    assert Python.eval("[x, y]", %{x: ~D[2024-02-29], y: %Bytes{data: "a"}}) ==
             {:ok, [~D[2024-02-29], "a"]}
  end
end
