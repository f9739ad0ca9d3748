defmodule Python.Objects.OperationsTest do
  # What can be done with a %Python.Object{}: the functions, and the protocols.
  # What keeps one alive, and for how long, is in garbage_test.exs.

  use Python.EngineCase, async: true

  alias Python.{DecodeError, EncodeError, Error, Object}

  setup_all do: Python.SupportModules.find()

  defp object(code, vars \\ %{}), do: Python.eval!(code, vars, return: :object)
  defp new(class), do: Python.call!(:managers, class)

  # An object of a class with one method, which gives this.
  defp bad(method, code), do: object("type('Bad', (), {'__#{method}__': lambda self: #{code}})()")

  describe "import" do
    test "gives a module as an object" do
      assert {:ok, %Object{} = json} = Python.import(:json)
      assert Python.call(json, :dumps, [[1, nil]]) == {:ok, "[1, null]"}
      assert %Object{} = path = Python.import!("os.path")
      assert Python.getattr!(path, :__name__) in ["posixpath", "ntpath"]
    end

    test "of what is not there is an error" do
      assert {:error, %Error{type: "ModuleNotFoundError"}} = Python.import(:no_such_module)
      assert {:error, %Error{type: "ModuleNotFoundError"}} = Python.import("json.no_such_module")
      assert_raise Error, ~r/no_such_module/, fn -> Python.import!(:no_such_module) end
      assert {:error, _} = Python.import("")
    end
  end

  describe "getattr and setattr" do
    test "read and write" do
      space = object("__import__('types').SimpleNamespace(a=1)")
      assert Python.getattr(space, :a) == {:ok, 1}
      assert Python.getattr(space, "a") == {:ok, 1}
      assert Python.getattr!(space, :a) == 1
      assert Python.setattr(space, :a, [2]) == :ok
      assert Python.setattr!(space, "größe", %{"b" => nil}) == :ok
      assert Python.getattr!(space, :a) == [2]
      assert Python.getattr!(space, "größe") == %{"b" => nil}
      assert Python.eval!("x.a", %{x: space}) == [2]
    end

    test "give an object for what has no counterpart" do
      assert {:ok, %Object{} = method} = Python.getattr(object("[3, 1]"), :sort)
      assert Python.callable?(method)
    end

    test "of what is not there, or must not be set, are errors" do
      assert {:error, %Error{type: "AttributeError"}} = Python.getattr(object("[]"), :nope)
      assert_raise Error, ~r/nope/, fn -> Python.getattr!(object("[]"), :nope) end
      assert {:error, %Error{type: "AttributeError"}} = Python.setattr(object("5"), :real, 1)
      assert_raise Error, fn -> Python.setattr!(object("5"), :nope, 1) end
      assert {:error, %EncodeError{}} = Python.setattr(object("object()"), :a, <<1::3>>)
    end

    test "run what a property does" do
      name =
        define("""
        class NAME:
            @property
            def value(self): return self.kept * 2
            @value.setter
            def value(self, value):
                if value < 0: raise ValueError('negative')
                self.kept = value
        """)

      made = Python.call!(:__main__, name)
      assert Python.setattr(made, :value, 21) == :ok
      assert Python.getattr(made, :value) == {:ok, 42}
      assert {:error, %Error{type: "ValueError"}} = Python.setattr(made, :value, -1)
    end
  end

  describe "getitem and setitem" do
    test "read and write" do
      dict = object("{'a': 1, 2: 'b', (1, 2): None}")
      assert Python.getitem(dict, "a") == {:ok, 1}
      assert Python.getitem(dict, 2) == {:ok, "b"}
      assert Python.getitem(dict, {1, 2}) == {:ok, nil}
      assert Python.getitem!(dict, :a) == 1
      assert Python.setitem(dict, "a", [1]) == :ok
      assert Python.setitem!(dict, nil, 5) == :ok
      assert Python.getitem!(dict, "a") == [1]
      assert Python.getitem!(dict, nil) == 5

      list = object("[1, 2, 3]")
      assert Python.getitem!(list, -1) == 3
      assert Python.setitem!(list, 0, "x") == :ok
      assert Python.to_term!(list) == ["x", 2, 3]
    end

    test "take objects as keys" do
      slice = Python.call!(:builtins, :slice, [1, nil])
      assert Python.getitem!(object("'größe'"), slice) == "röße"
      key = object("object()")
      dict = object("{}")
      assert Python.setitem(dict, key, 1) == :ok
      assert Python.getitem(dict, key) == {:ok, 1}
    end

    test "of what is not there, or cannot be, are errors" do
      assert {:error, %Error{type: "KeyError"}} = Python.getitem(object("{}"), "a")
      assert {:error, %Error{type: "IndexError"}} = Python.getitem(object("[]"), 0)
      assert {:error, %Error{type: "TypeError"}} = Python.getitem(object("5"), 0)
      assert {:error, %Error{type: "TypeError"}} = Python.getitem(object("{}"), [1])
      assert {:error, %Error{type: "TypeError"}} = Python.setitem(object("(1,)"), 0, 1)
      assert_raise Error, fn -> Python.getitem!(object("{}"), "a") end
      assert_raise Error, fn -> Python.setitem!(object("[]"), 5, 1) end
    end
  end

  describe "len, str, repr, type, callable?" do
    test "are Python's" do
      assert Python.len(object("{'a': 1}")) == {:ok, 1}
      assert Python.len!(object("range(10 ** 6)")) == 1_000_000
      assert Python.str(object("'it''s'")) == {:ok, "its"}
      assert Python.str!(object("1.50")) == "1.5"
      assert Python.repr(object("'größe'")) == {:ok, "'größe'"}
      assert Python.repr!(object("[None]")) == "[None]"
      assert Python.type(object("__import__('collections').Counter()")) == "collections.Counter"
      assert Python.type(object("5")) == "int"
      assert Python.type(object("int")) == "type"
      assert Python.callable?(object("int"))
      refute Python.callable?(object("5"))
    end

    test "give a nested class with the name of its outer one" do
      name = define("class NAME:\n    class Inner: pass")
      assert Python.type(object("#{name}.Inner()")) == "__main__.#{name}.Inner"
    end

    test "that fail are errors" do
      assert {:error, %Error{type: "TypeError"}} = Python.len(object("5"))
      assert_raise Error, fn -> Python.len!(object("iter([])")) end
      assert {:error, %Error{type: "ValueError"}} = Python.len(bad("len", "-1"))
      assert {:error, %Error{type: "TypeError"}} = Python.len(bad("len", "'x'"))
      assert {:error, %Error{type: "TypeError"}} = Python.str(bad("str", "5"))
      assert {:error, %Error{type: "ZeroDivisionError"}} = Python.repr(bad("repr", "1 / 0"))
      assert {:error, %DecodeError{}} = Python.str(object("'\\ud800'"))
      assert_raise DecodeError, fn -> Python.str!(object("'\\ud800'")) end
      assert_raise Error, fn -> Python.repr!(bad("repr", "1 / 0")) end
    end
  end

  describe "apply" do
    test "calls an object" do
      add = object("lambda a, b=1: a + b")
      assert Python.apply(add, [2]) == {:ok, 3}
      assert Python.apply(add, [2], kwargs: %{b: 3}) == {:ok, 5}
      assert Python.apply!(add, ["a"], kwargs: [b: "b"]) == "ab"
      assert {:ok, %Object{} = list} = Python.apply(object("list"), ["ab"], return: :object)
      assert Python.to_term!(list) == ["a", "b"]

      sleep = object("__import__('time').sleep")
      assert {:error, %Python.TimeoutError{}} = Python.apply(sleep, [5], timeout: 20)
    end

    test "of what cannot be called, or raises, is an error" do
      assert {:error, %Error{type: "TypeError"}} = Python.apply(object("5"), [])
      assert_raise Error, ~r/division/, fn -> Python.apply!(object("lambda: 1 / 0"), []) end
      assert_raise ArgumentError, fn -> Python.apply(5, []) end
      assert_raise ArgumentError, fn -> Python.apply(object("len"), [1 | 2]) end
      assert_raise ArgumentError, fn -> Python.apply(object("len"), [], nope: 1) end
    end
  end

  describe "to_term and to_object" do
    test "convert now, or later" do
      for term <- [1, "a", [1, %{"k" => nil}], MapSet.new([1]), ~D[2024-01-01]] do
        assert {:ok, %Object{} = object} = Python.to_object(term)
        assert Python.to_term(object) == {:ok, term}
        assert Python.to_term!(Python.to_object!(term)) == term
      end
    end

    test "leave what is an object, or stays one" do
      object = object("object()")
      assert {:ok, %Object{} = again} = Python.to_object(object)
      assert Python.eval!("a is b", %{a: object, b: again})
      assert {:ok, %Object{} = again} = Python.to_term(object)
      assert Python.eval!("a is b", %{a: object, b: again})
    end

    test "see what has become of the object meanwhile" do
      list = Python.to_object!([1])
      Python.call!(list, :append, [2])
      assert Python.to_term!(list) == [1, 2]
    end

    test "of what cannot cross are errors" do
      assert {:error, %EncodeError{path: "[0]"}} = Python.to_object([<<1::3>>])
      assert_raise EncodeError, fn -> Python.to_object!(<<1::3>>) end
      assert {:error, %DecodeError{path: "[1]"}} = Python.to_term(object("[1, '\\ud800']"))
      assert_raise DecodeError, fn -> Python.to_term!(object("'\\ud800'")) end
    end
  end

  describe "a handle" do
    test "is the target of a call" do
      list = object("[3, 1, 2]")
      assert Python.call(list, :sort, [], kwargs: %{reverse: true}) == {:ok, nil}
      assert Python.call!(list, "copy") == [3, 2, 1]
      assert Python.call(list, :index, [2]) == {:ok, 1}
      assert Python.call!(Python.import!(:os), "path.join", ["a", "b"]) == "a/b"
    end

    test "can be sent, stored, and passed inside of others, at any depth" do
      object = object("object()")
      table = :ets.new(:table, [:public])
      :ets.insert(table, {:key, object})

      task =
        Task.async(fn ->
          [{:key, stored}] = :ets.lookup(table, :key)
          Python.eval!("a is b[0]['k'][0]", %{a: object, b: [%{"k" => {stored}}]})
        end)

      assert Task.await(task)
      list = object("[]")
      Task.await(Task.async(fn -> Python.call!(list, :append, [1]) end))
      assert Python.call(list, :copy) == {:ok, [1]}

      vars = %{a: object, b: [object], c: {object}, d: %{"k" => object}, e: %{object => 1}}
      assert Python.eval!("a is b[0] is c[0] is d['k'] and e[a] == 1", vars)
      assert %Object{} = Python.call!(:builtins, :dict, [], kwargs: %{x: object})["x"]

      kept = :erlang.term_to_binary(%{object: object}) |> :erlang.binary_to_term()
      assert Python.eval!("a is b", %{a: object, b: kept.object})
    end

    test "is inspected as Python shows it, whatever that is" do
      assert inspect(object("__import__('collections').Counter('aab')")) ==
               "#Python.Object<<class 'collections.Counter'> Counter({'a': 2, 'b': 1})>"

      for code <- ["[0] * 10 ** 6", "list(range(1_000_000))"] do
        assert inspect(object(code)) |> String.length() < 300
      end

      assert inspect(object("type('A' * 100_000, (), {})()")) |> String.length() < 600
      assert inspect([object("5")]) == "[#Python.Object<<class 'int'> 5>]"
      assert inspect(%{a: object("'ü'")}) == "%{a: #Python.Object<<class 'str'> 'ü'>}"
      assert inspect(object("'größe 🐍'")) =~ "größe 🐍"
      shown = inspect(object(~S"'\ud800'"))
      assert String.valid?(shown)
      assert shown =~ "ud800"
    end

    test "whose repr does not work is inspected all the same" do
      for body <- ["raise ValueError", "raise SystemExit", "return 5", "return repr(self)"] do
        name = define("class NAME:\n    def __repr__(self): #{body}")
        object = Python.call!(:__main__, name)
        assert inspect(object) =~ "#Python.Object<"
      end
    end

    test "whose repr does not end is inspected all the same" do
      name = define("class NAME:\n    def __repr__(self):\n        while True: pass")
      object = Python.call!(:__main__, name)
      {ms, shown} = timed(fn -> inspect(object) end)
      assert shown =~ "#Python.Object<"
      assert ms < 10_000
      assert Python.eval("1") == {:ok, 1}
    end

    test "that is none any more is refused" do
      assert {:error, error} = Python.call(%Object{ref: make_ref()}, :copy)
      assert Exception.message(error) =~ "object"
      assert {:error, error} = Python.call(:builtins, :len, [%Object{ref: make_ref()}])

      assert Exception.message(error) =~
               "this %Python.Object{} is not a handle that Python returned"

      assert_raise ArgumentError, fn -> Python.call(%Object{ref: nil}, :copy) end
      assert inspect(%Object{ref: make_ref()}) =~ "#Python.Object<"
    end

    test "of another kind of reference is refused" do
      %Python.Async{ticket: ticket} = async = Python.call_async(:math, :sqrt, [4])
      assert {:error, _} = Python.call(%Object{ref: ticket}, :copy)
      assert Python.await(async) == {:ok, 2.0}
    end

    test "is in a string what Python's str makes of it" do
      assert "#{object("[1, None]")}" == "[1, None]"
      assert to_string(object("__import__('pathlib').PurePosixPath('a') / 'b'")) == "a/b"
      assert_raise DecodeError, fn -> "#{object("'\\ud800'")}" end
      assert_raise Error, fn -> "#{bad("str", "1 / 0")}" end
    end
  end

  describe "Access" do
    test "reads" do
      dict = object("{'a': {'b': [1, 2]}, 'none': None}")
      assert dict["a"] == %{"b" => [1, 2]}
      assert dict["x"] == nil
      assert dict["none"] == nil
      assert get_in(dict, ["a", "b"]) == [1, 2]
      assert Access.fetch(dict, "none") == {:ok, nil}
      assert Access.fetch(dict, "x") == :error
      assert Access.get(dict, "x", 5) == 5
      assert_raise KeyError, fn -> Access.fetch!(dict, "x") end

      list = object("['a', 'b']")
      assert {list[0], list[-1], list[2]} == {"a", "b", nil}
    end

    test "takes whatever look-ups raise for nothing" do
      registry = object("__import__('managers').Registry()")
      assert registry["x"] == nil
      assert Access.fetch(registry, "x") == :error
      Python.setitem!(registry, "x", 1)
      assert registry["x"] == 1
    end

    test "raises what else is raised" do
      assert_raise Error, ~r/TypeError/, fn -> object("5")["x"] end
      assert_raise Error, ~r/TypeError/, fn -> object("[1]")["x"] end
      assert_raise DecodeError, fn -> object("{'a': '\\ud800'}")["a"] end
      assert_raise EncodeError, fn -> object("{}")[<<1::3>>] end
    end

    test "writes to the object itself" do
      dict = object("{'a': 1}")
      assert put_in(dict["b"], [2]) == dict
      assert update_in(dict["a"], &(&1 + 1)) == dict
      assert Python.to_term!(dict) == %{"a" => 2, "b" => [2]}
      assert pop_in(dict["a"]) == {2, dict}
      assert pop_in(dict["a"]) == {nil, dict}
      assert get_and_update_in(dict["b"], &{&1, 3}) == {[2], dict}
      assert get_and_update_in(dict["b"], fn _ -> :pop end) == {3, dict}
      assert Python.to_term!(dict) == %{}
      assert Access.pop(object("[1, 2]"), 0) |> elem(0) == 1
    end
  end

  describe "Enumerable" do
    test "goes through what Python can iterate" do
      assert Enum.to_list(object("[1, None, 'a']")) == [1, nil, "a"]
      assert Enum.sort(object("{'a': 1, 'b': 2}")) == ["a", "b"]
      assert Enum.sort(object("{3, 1, 2}")) == [1, 2, 3]
      assert Enum.map(object("range(5)"), &(&1 * 2)) == [0, 2, 4, 6, 8]
      assert Enum.to_list(object("'aü🐍'")) == ["a", "ü", "🐍"]
      assert Enum.to_list(object("(x * x for x in range(3))")) == [0, 1, 4]
      assert Enum.to_list(object("map(str, [1, 2])")) == ["1", "2"]
      assert Enum.to_list(object("{'a': 1}.items()")) == [{"a", 1}]
      assert Enum.to_list(object("[]")) == []
      assert for([x] <- object("[[1], [2]]"), do: x) == [1, 2]
    end

    test "goes through asynchronous iterators too" do
      name = define("async def NAME():\n    yield 1\n    yield 2")
      assert Enum.to_list(object("#{name}()")) == [1, 2]
      assert Enum.take(object("#{name}()"), 1) == [1]
    end

    test "counts, finds and cuts" do
      assert Enum.count(object("range(100_000)")) == 100_000
      assert Enum.member?(object("range(10)"), 5)
      refute 50 in object("range(10)")
      assert Enum.at(object("range(10)"), 3) == 3
      assert Enum.slice(object("range(10)"), 2..4) == [2, 3, 4]
      assert Enum.empty?(object("()"))
      assert Enum.zip(object("range(3)"), object("'abc'")) == [{0, "a"}, {1, "b"}, {2, "c"}]
      assert Enum.reduce(object("range(1001)"), 0, &+/2) == 500_500
      chunks = object("range(6)") |> Stream.chunk_every(2) |> Enum.to_list()
      assert chunks == [[0, 1], [2, 3], [4, 5]]
    end

    test "gives objects for items that have no counterpart" do
      assert [%Object{}, %Object{}] = Enum.to_list(object("[object(), len]"))
    end

    test "takes a few of an infinite generator, at once, and closes it" do
      numbers = new(:Numbers)

      {ms, taken} = timed(fn -> Enum.take(numbers, 10) end)
      assert taken == Enum.to_list(0..9)
      # As soon as from one that has an end.
      assert ms < 1_000 + 20 * fastest(3, fn -> Enum.take(object("range(10)"), 10) end)
      eventually("it is closed", fn -> Python.getattr!(numbers, :closed) == 1 end)

      generator = Python.call!(numbers, :__iter__)
      assert Enum.take(generator, 10) == Enum.to_list(0..9)
      # The generator itself has come to its end.
      assert Enum.take(generator, 10) == []
      eventually("it is closed", fn -> Python.getattr!(numbers, :closed) == 2 end)

      assert Enum.find(numbers, &(&1 > 5_000)) == 5_001
      assert Enum.at(numbers, 7) == 7
      assert numbers |> Stream.take_while(&(&1 < 20)) |> Enum.count() == 20
      assert_raise RuntimeError, fn -> Enum.each(numbers, &if(&1 > 5, do: raise("enough"))) end
      assert catch_throw(Enum.each(numbers, &throw/1)) == 0
      eventually("all are closed", fn -> Python.getattr!(numbers, :closed) == 7 end)
    end

    test "closes a generator whose reader dies" do
      numbers = new(:Numbers)
      reader = spawn(fn -> Enum.each(numbers, fn _ -> Process.sleep(:infinity) end) end)
      eventually("it is being read", fn -> Python.getattr!(numbers, :made) > 0 end)
      Process.exit(reader, :kill)
      eventually("it is closed", fn -> Python.getattr!(numbers, :closed) == 1 end)
    end

    test "leaves iterators open that are not generators" do
      file = object("__import__('io').StringIO('a\\nb\\nc\\n')")
      assert Enum.take(file, 1) == ["a\n"]
      assert Python.getattr!(file, :closed) == false
    end

    test "starts anew with each reader" do
      list = object("[1, 2, 3]")
      assert {Enum.take(list, 2), Enum.take(list, 2)} == {[1, 2], [1, 2]}
      assert Enum.zip(list, list) == [{1, 1}, {2, 2}, {3, 3}]
      Python.call!(list, :append, [4])
      assert Enum.sum(list) == 10
    end

    test "raises what Python raises, after the items before it" do
      name = define("def NAME():\n    yield 1\n    yield 2\n    raise ValueError('third')")
      generator = Python.call!(:__main__, name)
      {:ok, seen} = Agent.start_link(fn -> [] end)

      assert_raise Error, ~r/third/, fn ->
        Enum.each(generator, fn item -> Agent.update(seen, &[item | &1]) end)
      end

      assert Agent.get(seen, & &1) == [2, 1]
      assert_raise Error, ~r/not iterable/, fn -> Enum.to_list(object("5")) end
      assert_raise DecodeError, fn -> Enum.to_list(object("['a', '\\ud800']")) end
      growing = object("{n: n for n in range(100_000)}")

      assert_raise Error, ~r/changed size/, fn ->
        Enum.each(growing, &Python.setitem!(growing, -1 - &1, nil))
      end
    end

    test "gives items that are large" do
      generator = object("(bytes(100_000) for _ in range(200))")
      assert generator |> Stream.map(&byte_size/1) |> Enum.sum() == 20_000_000
    end
  end
end
