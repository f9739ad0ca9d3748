defmodule Python.Values.DecodersTest do
  # `erlang.register_decoder(cls, function)`: what instances of a class become.

  use Python.EngineCase, async: true

  alias Python.{DecodeError, Object}

  defp register(class, function) do
    Python.eval!("__import__('erlang').register_decoder(#{class}, #{function})")

    ExUnit.Callbacks.on_exit(fn ->
      Python.eval!("__import__('erlang').register_decoder(#{class}, None)")
    end)
  end

  defp class(bases \\ "", body \\ "pass"),
    do: define("class NAME(#{bases}):\n    #{body}", "Class")

  test "instances become what the function gives, at any depth, whatever the way" do
    c = class("", "def __init__(self, v): self.v = v")
    assert {:ok, %Object{}} = Python.eval("#{c}(1)")
    register(c, "lambda m: {'v': m.v}")
    assert Python.eval("#{c}(1)") == {:ok, %{"v" => 1}}

    assert Python.eval("[(#{c}(1),), {'k': #{c}([#{c}(2)])}]") ==
             {:ok, [{%{"v" => 1}}, %{"k" => %{"v" => [%{"v" => 2}]}}]}

    assert Enum.to_list(Python.stream_eval("iter([#{c}(1)])")) == [%{"v" => 1}]
    assert Python.map(:__main__, c, [[1], [2]]) == {:ok, [%{"v" => 1}, %{"v" => 2}]}
    assert :py.eval("#{c}(None)") == {:ok, %{"v" => :none}}
    # Elixir's functions are given it, too.
    assert Python.eval("f(#{c}(1))", %{f: & &1}) == {:ok, %{"v" => 1}}
    Python.eval!("e.send(to, #{c}(3))", %{e: Python.import!(:erlang), to: self()})
    assert_receive %{"v" => 3}
    assert {:ok, %Object{}} = Python.eval("#{c}(1)", return: :object)
  end

  test "holds for subclasses, and the nearest class decides" do
    a = class()
    b = class(a)
    c = class(b)
    register(a, "lambda _: 'a'")
    assert Python.eval("[#{a}(), #{b}(), #{c}()]") == {:ok, ["a", "a", "a"]}
    register(b, "lambda _: 'b'")
    assert Python.eval("[#{a}(), #{b}(), #{c}()]") == {:ok, ["a", "b", "b"]}
    other = class("#{a}, #{class()}")
    assert Python.eval("#{other}()") == {:ok, "a"}
  end

  test "None takes it back" do
    c = class()
    register(c, "lambda _: 1")
    assert Python.eval("#{c}()") == {:ok, 1}
    Python.eval!("__import__('erlang').register_decoder(#{c}, None)")
    assert {:ok, %Object{}} = Python.eval("#{c}()")
    Python.eval!("__import__('erlang').register_decoder(#{c}, None)")
  end

  test "subclasses of what has a counterpart can have one, that itself not" do
    for {base, value} <- [
          {"dict", "{}"},
          {"list", "[]"},
          {"int", "5"},
          {"str", "'a'"},
          {"__import__('datetime').date", "2024, 1, 1"},
          {"__import__('decimal').Decimal", "1"},
          {"set", ""}
        ] do
      c = class(base)
      register(c, "lambda v: ['mine', isinstance(v, #{c})]")
      assert Python.eval("[#{c}(#{value})]") == {:ok, [["mine", true]]}
    end

    for own <-
          ~w[int bool str dict list tuple bytes set type(None)] ++
            ["__import__('datetime').date", "__import__('datetime').datetime"] do
      assert {:error, %Python.Error{type: "TypeError", message: message}} =
               Python.eval("__import__('erlang').register_decoder(#{own}, repr)")

      assert message =~ "expected a class without a counterpart"
    end
  end

  test "classes that are not written in Python can have one" do
    register("complex", "lambda z: (z.real, z.imag)")
    register("__import__('types').SimpleNamespace", "vars")

    assert Python.eval("[1 + 2j, {'k': __import__('types').SimpleNamespace(a=3j)}]") ==
             {:ok, [{1.0, 2.0}, %{"k" => %{"a" => {0.0, 3.0}}}]}

    Python.eval!("__import__('erlang').register_decoder(complex, None)")
    assert {:ok, %Object{}} = Python.eval("1j")
  end

  test "what it raises is the call's error, with the path" do
    c = class()
    name = define("def NAME(_):\n    raise LookupError('not today')")
    register(c, name)
    assert {:error, error} = Python.eval("[1, {'k': (#{c}(),)}]")
    assert error.type == "LookupError"
    assert error.message == "not today"
    assert error.notes == [~s(while the result was converted, at [1]["k"][0])]
    assert Exception.message(error) =~ ~s([1]["k"][0])
    assert Enum.any?(error.frames, &(&1.function == name))
    assert {:error, %{notes: []}} = Python.eval("#{c}()")
    assert {:error, {:LookupError, ~c"not today"}} = :py.eval("#{c}()")
    assert_raise Python.Error, fn -> Enum.to_list(Python.stream_eval("iter([#{c}()])")) end
  end

  test "one that gives the instance leaves it in Python, one that goes round is an error" do
    same = class()
    register(same, "lambda m: m")
    assert {:ok, [%Object{}]} = Python.eval("[#{same}()]")
    round = class()
    register(round, "lambda m: [m]")
    assert {:error, %DecodeError{reason: reason, path: "[0]"}} = Python.eval("#{round}()")
    assert reason =~ "contains itself"
    endless = class()
    register(endless, "lambda m: [type(m)()]")
    assert {:error, %DecodeError{reason: reason}} = Python.eval("#{endless}()")
    assert reason =~ "nested deeper"
    surrogate = class()
    register(surrogate, "lambda m: {'k': '\\ud800'}")
    assert {:error, %DecodeError{path: ~s([1]["k"])}} = Python.eval("[1, #{surrogate}()]")
  end

  test "it comes before the option :decode, unless the option is for a nearer class" do
    c = define("import dataclasses\n@dataclasses.dataclass\nclass NAME:\n    x: int = 1")
    register(c, "lambda m: 'mine'")
    assert Python.eval("#{c}()", decode: [dataclass: :map]) == {:ok, "mine"}
    sub = define("import dataclasses\n@dataclasses.dataclass\nclass NAME(#{c}):\n    y: int = 2")

    assert Python.eval("[#{c}(), #{sub}()]", decode: [dataclass: :map]) ==
             {:ok, ["mine", %{"x" => 1, "y" => 2}]}

    assert Python.eval("#{sub}()") == {:ok, "mine"}
  end

  test "a class may go, and its decoder with it" do
    name =
      define("""
      import erlang, gc, weakref
      def NAME():
          class Local:
              pass
          erlang.register_decoder(Local, lambda m: Local.__name__)
          return weakref.ref(Local), Local()
      """)

    assert {:ok, {reference, "Local"}} = Python.call(:__main__, name)

    eventually("the class is gone", fn ->
      :erlang.garbage_collect()
      Python.call!(:gc, :collect)
      Python.apply!(reference, []) == nil
    end)
  end

  test "anything but a class and a function is refused" do
    for {class, function} <- [{"1", "repr"}, {"'x'", "repr"}, {class(), "1"}, {class(), "'f'"}] do
      assert {:error, %Python.Error{type: "TypeError"}} =
               Python.eval("__import__('erlang').register_decoder(#{class}, #{function})")
    end
  end
end
