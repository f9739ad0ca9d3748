defmodule Python.Values.EncoderTest do
  # Structs of the user's own, by way of the protocol Python.Encoder.

  use Python.EngineCase, async: true

  alias Python.{Async, EncodeError}
  alias Python.TestStructs.{All, Endless, Except, Node, Point, Raising, Unknown, User, Wrapped}

  defp there_and_back(term), do: Python.eval("x", %{x: term})

  describe "an implementation" do
    test "says what stands for the struct" do
      assert there_and_back(%Point{x: 1, y: 2}) == {:ok, {1, 2}}
      assert :py.eval("x", %{x: %Point{x: nil, y: 2}}) == {:ok, {:none, 2}}
    end

    test "is found wherever the struct is" do
      point = %Point{x: 1, y: 2}

      for {term, back} <- [
            {[point], [{1, 2}]},
            {{point, [point]}, {{1, 2}, [{1, 2}]}},
            {%{"k" => point}, %{"k" => {1, 2}}},
            {%{point => 1}, %{{1, 2} => 1}},
            {MapSet.new([point]), MapSet.new([{1, 2}])},
            {%Wrapped{value: [%Wrapped{value: point}]}, [{1, 2}]},
            {%All{name: %{a: point}}, %{"name" => %{"a" => {1, 2}}, "count" => 0}}
          ] do
        assert there_and_back(term) == {:ok, back}
      end
    end

    test "is asked for arguments, keywords, variables, methods, items and what is kept" do
      point = %Point{x: 1, y: 2}
      assert Python.call(:builtins, :list, [point]) == {:ok, [1, 2]}
      assert Python.call(:builtins, :dict, [], kwargs: [a: point]) == {:ok, %{"a" => {1, 2}}}
      assert Python.eval("a", %{a: point}) == {:ok, {1, 2}}
      assert Python.map(:builtins, :list, [[point], [point]]) == {:ok, [[1, 2], [1, 2]]}
      assert Python.stream(:builtins, :list, [point]) |> Enum.to_list() == [1, 2]
      assert Python.stream_eval("x", %{x: point}) |> Enum.to_list() == [1, 2]
      assert %Async{} = async = Python.call_async(:builtins, :list, [point])
      assert Python.await(async) == {:ok, [1, 2]}

      list = Python.eval!("[None]", %{}, return: :object)
      assert Python.call(list, :append, [point]) == {:ok, nil}
      assert Python.setitem(list, 0, [point]) == :ok
      assert Python.to_term(list) == {:ok, [[{1, 2}], {1, 2}]}
      assert Python.repr(Python.to_object!(point)) == {:ok, "(1, 2)"}
      space = Python.call!(:types, :SimpleNamespace, [], return: :object)
      assert Python.setattr(space, :point, point) == :ok
      assert Python.getattr(space, :point) == {:ok, {1, 2}}
      length = Python.getattr!(Python.import!(:builtins), :len)
      assert Python.apply(length, [point]) == {:ok, 2}
    end

    test "may give a struct that Python knows" do
      assert there_and_back(%Wrapped{value: ~D[2024-01-01]}) == {:ok, ~D[2024-01-01]}
      assert there_and_back(%Wrapped{value: MapSet.new([1])}) == {:ok, MapSet.new([1])}
      object = Python.eval!("object()")
      assert Python.eval("a is b", %{a: object, b: %Wrapped{value: object}}) == {:ok, true}
      big = %Wrapped{value: Python.buffer(:binary.copy("x", 100_000))}
      assert Python.call(:builtins, :len, [big]) == {:ok, 100_000}
    end

    test "may be derived, with all fields, with some, without some" do
      assert there_and_back(%All{name: "a"}) == {:ok, %{"name" => "a", "count" => 0}}

      user = [name: "a", email: "b", password: "c"]
      assert there_and_back(struct(User, user)) == {:ok, %{"name" => "a", "email" => "b"}}
      assert there_and_back(struct(Except, user)) == {:ok, %{"name" => "a", "email" => "b"}}
    end

    test "derived with invalid options does not compile" do
      for options <- [[only: [:b]], [except: [:b]], [only: [:a], except: [:a]], [all: [:a]]] do
        # What @derive calls: a module that is made now would have no effect on the protocol.
        arguments = [__ENV__, Made, %{__struct__: Made, a: nil}, options]

        assert_raise ArgumentError, fn ->
          apply(Python.Encoder.Any, :"MACRO-__deriving__", arguments)
        end
      end
    end

    test "is asked for a struct as deep as values may be" do
      nested = fn levels -> Enum.reduce(1..levels, 1, fn _, inner -> %Node{next: inner} end) end
      assert {:ok, back} = there_and_back(nested.(999))
      assert back == Enum.reduce(1..999, 1, fn _, inner -> %{"next" => inner} end)
      assert {:ok, _} = there_and_back(nested.(1_000))

      for levels <- [1_001, 1_005, 2_000, 100_000] do
        assert {:error, %EncodeError{} = error} = there_and_back(nested.(levels))
        assert error.message =~ "1000"
      end
    end

    test "that raises, raises in the caller" do
      assert_raise RuntimeError, "cannot encode 5", fn -> there_and_back(%Raising{value: 5}) end

      assert_raise RuntimeError, "cannot encode 5", fn ->
        Python.call_async(:builtins, :len, [%Raising{value: 5}])
      end
    end

    test "that gives the struct itself is found out" do
      endless = %Endless{value: 1}
      assert_raise ArgumentError, ~r/to an end/, fn -> there_and_back([endless]) end

      assert_raise ArgumentError, ~r/to an end/, fn ->
        there_and_back(%Wrapped{value: endless})
      end
    end

    test "that makes two keys or elements one is found out" do
      one = %Wrapped{value: 1}
      assert_raise ArgumentError, ~r/lost/, fn -> there_and_back(%{one => 1, 1 => 2}) end
      assert_raise ArgumentError, ~r/lost/, fn -> there_and_back(MapSet.new([one, 1])) end
    end
  end

  describe "a struct without an implementation" do
    test "is an error with its name and its path" do
      for {term, path} <- [
            {%Unknown{}, ""},
            {[1, %{"a" => {%Unknown{}}}], ~s([1]["a"][0])},
            {%{%Unknown{} => 1}, "[…]"},
            {[%Point{x: 1, y: %Unknown{}}], "[0][1]"},
            {MapSet.new([%Unknown{}]), "[0]"}
          ] do
        assert {:error, %EncodeError{} = error} = there_and_back(term)
        assert error.path == path
        assert error.message =~ "Python.TestStructs.Unknown"
        assert error.message =~ "Python.Encoder"
      end
    end

    test "is an error of call_async as well, when it is waited for" do
      async = Python.call_async(:builtins, :len, [[%Unknown{}]])
      assert {:error, %EncodeError{path: "[0][0]"}} = Python.await(async)
    end

    test "says which call of many it was" do
      assert {:error, %EncodeError{} = error} =
               Python.map(:builtins, :len, [[[]], [[%Unknown{}]]])

      assert error.message =~ "index 1"
    end

    test "is what it says, however it is called" do
      for name <- ["x", 5, nil, {}, [], %{}, 1.5, self()] do
        assert {:error, %EncodeError{path: "[0]"}} = there_and_back([%{__struct__: name}])
      end

      for name <- [:x, :"", :"größe 日本", Enum, String.to_atom(String.duplicate("ä", 255))] do
        assert {:error, %EncodeError{} = error} = there_and_back([%{__struct__: name}])
        assert error.message =~ String.replace_prefix(Atom.to_string(name), "Elixir.", "")
      end
    end

    test "may be one of Elixir's own" do
      for struct <- [%RuntimeError{}, ~r/x/, URI.parse("http://a"), Version.parse!("1.0.0")] do
        assert {:error, %EncodeError{} = error} = there_and_back(struct)
        assert error.message =~ inspect(struct.__struct__)
      end
    end
  end
end
