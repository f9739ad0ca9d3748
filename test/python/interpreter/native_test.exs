defmodule Python.Interpreter.NativeTest do
  # The settings `native_layouts` and `native_memory`. With NATIVE=off the whole suite runs without both.
  use Python.TestCase, async: true

  alias Python.FreshVM

  defp start(settings), do: FreshVM.start(settings: settings)

  defp native(vm), do: FreshVM.call(vm, :erlang_python, :runtime_native, [])

  # The memory of a large object: ours begins so far behind the beginning of a page.
  @place "[id(part) % 4096 for part in (b'x' * 1_000_000, 'x' * 500_000)]"

  test "by default both are in use" do
    vm = start(native_layouts: true, native_memory: true)

    assert native(vm) ==
             {[
                "int",
                "list",
                "str",
                "term",
                "thread state",
                "trace function",
                "coroutines",
                "handled exceptions"
              ], true}

    assert [64, 64] = FreshVM.call(vm, Python, :eval!, [@place])
  end

  test "without layouts none is looked at, and values cross" do
    vm = start(native_layouts: false, native_memory: true)
    assert native(vm) == {[], true}
    assert_values(vm)
  end

  test "without the store of memory Python uses its own" do
    vm = start(native_layouts: true, native_memory: false)
    assert {[_ | _], false} = native(vm)
    assert [bytes, text] = FreshVM.call(vm, Python, :eval!, [@place])
    assert bytes != 64 and text != 64
    assert_values(vm)
  end

  test "both are settings of the interpreter, which lives on when the application is stopped" do
    vm = start(native_layouts: true, native_memory: true)

    for key <- [:native_layouts, :native_memory] do
      FreshVM.call(vm, Application, :stop, [:erlang_python])
      FreshVM.call(vm, Application, :put_env, [:erlang_python, key, false])
      FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])
      assert {:error, error} = FreshVM.call(vm, Python, :eval, ["1"])
      assert error.message =~ "#{inspect(key)} true instead of false"
      FreshVM.call(vm, Application, :put_env, [:erlang_python, key, true])
    end
  end

  test "the doctor tells" do
    vm = start(native_layouts: false, native_memory: false)
    text = FreshVM.call(vm, Python.Doctor, :run, []) |> Python.Doctor.format()
    assert text =~ ~r/native_layouts +false/
    assert text =~ ~r/native_memory +false/
    assert text =~ ~r/layouts read in place +none/
    assert text =~ ~r/large pieces of memory +Python's/
  end

  defp assert_values(vm) do
    for value <- [
          0,
          -1,
          2 ** 59 - 1,
          -(2 ** 59),
          2 ** 60,
          -(2 ** 64),
          10 ** 100,
          1.5,
          "",
          "a",
          "ASCII",
          "größer",
          "𝒳",
          String.duplicate("a", 2_000_000),
          String.duplicate("ä", 1_000_000),
          :binary.copy(<<255>>, 2_000_000),
          [],
          Enum.to_list(-300..300),
          [[1, [2, [3]]], {1, {2, 3}}],
          %{"a" => [1, 2.5, nil, true], 5 => %{}}
        ] do
      assert FreshVM.call(vm, Python, :eval!, ["x", %{x: value}]) == value
    end

    # A handle is weighed, and its memory counted.
    assert %Python.Object{} =
             FreshVM.call(vm, Python, :eval!, ["{1: [bytes(10_000)] * 3}", [return: :object]])
  end
end
