defmodule Python.Callbacks.CallableTest do
  # A function of Elixir is as good a callable as one of Python's: what frameworks ask of it.

  use Python.EngineCase, async: true

  @moduletag blocks: "plain functions wait for Elixir"

  defmodule Shop do
    def add(a, b), do: a + b
    def free?(_), do: true
    def anonymous, do: fn x, y -> {x, y} end
    def many(a), do: a
    def many(a, b), do: {a, b}
  end

  @modules ~w(inspect weakref copy pickle functools typing types erlang)a

  defp eval(code, function), do: Python.eval(code, Map.put(modules(), :f, function))
  defp eval!(code, function), do: Python.eval!(code, Map.put(modules(), :f, function))
  defp modules, do: Map.new(@modules, &{&1, Python.import!(&1)})

  defp register(function) do
    name = unique()
    Python.register(name, function)
    on_exit(fn -> Python.unregister(name) end)
    name
  end

  describe "a function" do
    test "has the name and the module that it has in Elixir" do
      assert eval!("[f.__name__, f.__qualname__, f.__module__]", &Shop.add/2) ==
               ["add", "add", "Python.Callbacks.CallableTest.Shop"]

      assert eval!("[f.__name__, f.__module__]", &:lists.sort/1) == ["sort", "lists"]
      assert eval!("f.__name__", &Shop.free?/1) == "free?"
    end

    test "that is anonymous is called after the function that it is in" do
      assert eval!("f.__name__", Shop.anonymous()) =~ ~r/^anonymous_0_fun_\d+$/
      assert eval!("f.__module__", Shop.anonymous()) == "Python.Callbacks.CallableTest.Shop"
      assert eval!("f.__name__.isidentifier()", fn x -> x end)
      assert eval!("f.__name__", Code.eval_string("fn x -> x end") |> elem(0)) =~ ~r/^\w+$/
    end

    test "has a signature by its arity" do
      for {function, signature} <- [
            {fn -> 1 end, "()"},
            {&Shop.free?/1, "(arg1, /)"},
            {&Shop.add/2, "(arg1, arg2, /)"}
          ] do
        assert eval!("str(inspect.signature(f))", function) == signature
        assert eval!("len(inspect.signature(f).parameters) == f.__code__.co_argcount", function)
      end

      assert eval!(
               "[inspect.signature(f).bind(1, 2).args, f.__annotations__, typing.get_type_hints(f)]",
               &Shop.add/2
             ) ==
               [{1, 2}, %{}, %{}]
    end

    test "is a function to those that look, and of the class erlang.Function" do
      assert eval!(
               "[inspect.isfunction(f), inspect.isroutine(f), callable(f), isinstance(f, erlang.Function), isinstance(f, types.FunctionType)]",
               &Shop.add/2
             ) == [true, true, true, true, true]

      assert eval!(
               "[type(f).__name__, type(f).__module__, repr(type(f)), erlang.Function.__doc__]",
               &Shop.add/2
             ) ==
               [
                 "Function",
                 "erlang",
                 "<class 'erlang.Function'>",
                 "A function of Elixir or Erlang."
               ]

      assert eval!(
               "[inspect.iscoroutinefunction(f), inspect.isgeneratorfunction(f), inspect.getdoc(f), f.__doc__]",
               &Shop.add/2
             ) ==
               [false, false, nil, nil]

      assert eval!(
               "[f.__defaults__, f.__kwdefaults__, f.__closure__, f.__globals__]",
               &Shop.add/2
             ) == [nil, nil, nil, %{}]

      assert {:error, %Python.Error{type: "RuntimeError"}} =
               eval(
                 "types.FunctionType(f.__code__, {'__builtins__': __builtins__})(1, 2)",
                 &Shop.add/2
               )

      assert {:error, %Python.Error{type: "AttributeError"}} =
               eval("f.no_such_attribute", &Shop.add/2)

      assert eval!("hasattr(f, '__wrapped__')", &Shop.add/2) == false
    end

    test "takes attributes, as functools.wraps and frameworks give them" do
      name =
        define("""
        import functools, inspect
        def NAME(f):
            f.short_description = 'adds'
            f.__doc__ = 'Adds.'
            f.__name__ = 'plus'
            @functools.wraps(f)
            def g(*args):
                return f(*args)
            return [g.__name__, g.__doc__, g.short_description, g.__module__, str(inspect.signature(g)), g(1, 2)]
        """)

      assert Python.call!(:__main__, name, [&Shop.add/2]) ==
               [
                 "plus",
                 "Adds.",
                 "adds",
                 "Python.Callbacks.CallableTest.Shop",
                 "(arg1, arg2, /)",
                 3
               ]

      wrapped =
        define(
          "import functools\ndef NAME(f):\n    'Doc.'\n    return functools.update_wrapper(f, NAME)"
        )

      assert eval!(
               "(lambda g: [g.__name__, g.__doc__, g.__module__, g.__wrapped__.__name__])(w(f))"
               |> String.replace("w(", "__import__('__main__').#{wrapped}("),
               &Shop.add/2
             ) ==
               [wrapped, "Doc.", "__main__", wrapped]
    end

    test "can be referred to weakly" do
      assert eval!("weakref.ref(f)() is f", &Shop.add/2)
      assert eval!("(lambda s: (s.add(f), f in s))(weakref.WeakSet())[1]", &Shop.add/2)

      name =
        define("""
        import weakref, gc
        def NAME(f):
            global NAME_reference
            NAME_reference = weakref.ref(f)
        """)

      Python.call!(:__main__, name, [&Shop.add/2])

      eventually("it is gone", fn ->
        Python.call!(:gc, :collect)
        Python.eval!("#{name}_reference()") == nil
      end)
    end

    test "is equal to itself, hashes so, and copies as itself" do
      function = Shop.anonymous()

      assert Python.eval!("[f == g, hash(f) == hash(g), f != h, len({f, g, h})]", %{
               f: function,
               g: function,
               h: &Shop.add/2
             }) == [true, true, true, 2]

      assert eval!("[copy.copy(f) is f, copy.deepcopy([f])[0] is f]", function) == [true, true]
    end

    test "cannot be pickled, and says so" do
      for code <- ["pickle.dumps(f)", "pickle.dumps([f], protocol=2)"] do
        assert {:error, %Python.Error{type: "TypeError", message: message}} =
                 eval(code, &Shop.add/2)

        assert message =~ "exists only in its VM"
        assert message =~ "Python.register"
      end
    end

    test "is a method where it stands in a class, as Python's functions are" do
      assert {:ok, {%Python.Object{}, 1}} =
               eval("type('A', (), {'m': f})().m(1)", fn self, x -> {self, x} end)

      assert eval!("type('A', (), {'m': staticmethod(f)})().m(1, 2)", &Shop.add/2) == 3
      assert eval!("type('A', (), {'m': f}).m(1, 2)", &Shop.add/2) == 3
      assert eval!("functools.partial(f, 1)(2)", &Shop.add/2) == 3
    end

    test "comes back as it went" do
      for function <- [Shop.anonymous(), &Shop.add/2, &:lists.sort/1] do
        assert eval!("[f, {f: f}]", function) == [function, %{function => function}]
      end
    end

    test "cannot be made up" do
      for code <- [
            "erlang.Function()",
            "erlang.Function(1)",
            "type(f)()",
            "type(f)([])",
            "type('F', (erlang.Function,), {})()"
          ] do
        assert {:error, %Python.Error{type: "TypeError"}} = eval(code, &Shop.add/2)
      end
    end
  end

  describe "Python.function" do
    defp price do
      Python.function(fn item, count, unit -> {item, count, unit} end,
        name: "price",
        args: [item: "str", count: {"int", 1}, unit: {"Optional[str]", nil}],
        returns: "float",
        doc: "What it costs."
      )
    end

    test "gives name, signature, types and documentation" do
      plain =
        define("""
        from typing import Optional
        def NAME(item: str, count: int = 1, unit: Optional[str] = None) -> float: pass
        """)

      signature = Python.eval!("str(__import__('inspect').signature(#{plain}))")

      assert eval!("[f.__name__, f.__qualname__, f.__doc__, str(inspect.signature(f))]", price()) ==
               ["price", "price", "What it costs.", signature]

      assert eval!(
               "[f.__annotations__['item'] is str, f.__annotations__['return'] is float, typing.get_type_hints(f)['unit'] == typing.Optional[str]]",
               price()
             ) ==
               [true, true, true]

      assert eval!("[f.__defaults__, f.__code__.co_varnames, f.__code__.co_argcount]", price()) ==
               [{1, nil}, {"item", "count", "unit"}, 3]
    end

    test "is called by position and by keyword, as a function of Python's" do
      for {call, result} <- [
            {"f('tea')", {"tea", 1, nil}},
            {"f('tea', 2)", {"tea", 2, nil}},
            {"f('tea', unit='kg')", {"tea", 1, "kg"}},
            {"f(unit='kg', count=3, item='tea')", {"tea", 3, "kg"}},
            {"f(*['tea'], **{'count': 2})", {"tea", 2, nil}},
            {"functools.partial(f, count=5)('tea')", {"tea", 5, nil}}
          ] do
        assert eval!(call, price()) == result
      end
    end

    test "wrong arguments are a TypeError, as plain Python's" do
      plain = define("def NAME(item, count=1, unit=None): pass")

      for arguments <- ["()", "('a', 1, 2, 3)", "('a', item='b')", "('a', nope=1)", "(count=1)"] do
        assert {:error, %Python.Error{type: "TypeError", message: message}} =
                 eval("f" <> arguments, price())

        assert message =~ "price()"
        assert {:error, %Python.Error{type: "TypeError"}} = Python.eval(plain <> arguments)
      end

      assert {:error, %{message: message}} = eval("f('a', nope=1)", price())
      assert message == "price() got an unexpected keyword argument 'nope'"
    end

    test "resolves types of builtins, typing and modules, and takes objects" do
      function = fn types ->
        args = types |> Enum.with_index() |> Enum.map(fn {type, n} -> {:"a#{n}", type} end)
        Python.function(fn _, _ -> nil end, args: args)
      end

      decimal = Python.eval!("__import__('decimal').Decimal", return: :object)

      for {types, check} <- [
            {["int", :str], "a['a0'] is int and a['a1'] is str"},
            {["dict", "None"], "a['a0'] is dict and a['a1'] is None"},
            {["Dict[str, List[int]]", "Any"],
             "a == {'a0': typing.Dict[str, typing.List[int]], 'a1': typing.Any}"},
            {["decimal.Decimal", decimal], "a['a0'] is a['a1'] is __import__('decimal').Decimal"},
            {["collections.abc.Iterable", "concurrent.futures.Future"],
             "a['a0'] is __import__('collections.abc').abc.Iterable"},
            {["list[int]", "tuple[str, ...]"],
             "str(a['a0']).lower().replace('typing.', '') == 'list[int]'"},
            {[nil, "int"], "list(a) == ['a1']"}
          ] do
        assert Python.eval!(
                 "(lambda a: #{check})(f.__annotations__)",
                 Map.put(modules(), :f, function.(types))
               ),
               inspect(types)
      end
    end

    test "a type that there is not is an error that says so" do
      for type <- ["no_such_type", "decimal.Nothing", "int[", "1 +", "nowhere.Type"] do
        function = Python.function(&Shop.free?/1, args: [item: type])
        assert {:error, %Python.Error{type: "TypeError", message: message}} = eval("f", function)
        assert message =~ "the type of the argument 'item'"
        assert message =~ inspect(type) |> String.trim("\"")
      end
    end

    test "without args it has the signature by arity, and what else was given" do
      function = Python.function(&Shop.add/2, name: :plus, returns: "int")

      assert eval!(
               "[f.__name__, str(inspect.signature(f)), f.__annotations__['return'] is int, f(1, 2)]",
               function
             ) == ["plus", "(arg1, arg2, /) -> int", true, 3]

      assert eval!("[f.__name__, f.__doc__]", Python.function(&Shop.add/2)) == ["add", nil]
    end

    test "may be anywhere in an argument, goes to Erlang's calls, and comes back as the function" do
      function = &Shop.add/2
      described = Python.function(function, args: [a: "int", b: "int"])
      assert Python.eval!("x[0]['f'](b=1, a=2)", %{x: [%{"f" => described}]}) == 3
      assert :py.eval("f(b=1, a=2)", %{f: described}) == {:ok, 3}
      assert eval!("f", described) == function
      assert Python.eval!("g()(b=1, a=2)", %{g: fn -> described end}) == 3
    end

    test "a default may be anything that crosses" do
      function =
        Python.function(fn x, y -> [x, y] end,
          args: [x: {nil, ~D[2024-02-29]}, y: {"list", [1, {2}]}]
        )

      assert eval!("f()", function) == [~D[2024-02-29], [1, {2}]]
    end

    test "shows itself" do
      assert inspect(price()) ==
               ~s|#Python.Function<price(item: str, count: int = 1, unit: Optional[str] = nil) -> float>|

      assert inspect(Python.function(&Shop.add/2)) ==
               "#Python.Function<&Python.Callbacks.CallableTest.Shop.add/2>"
    end

    test "refuses invalid arguments" do
      for {function, options, text} <- [
            {5, [], ~r/expected a function, got: 5/},
            {{Shop, :add}, [], ~r/expected a function, got: /},
            {&Shop.add/2, :name,
             ~r/keyword list of options of a function \(:name, :args, :returns and :doc\)/},
            {&Shop.add/2, [nmae: "x"], ~r/unknown option :nmae/},
            {&Shop.add/2, [name: 5], ~r/:name/},
            {&Shop.add/2, [name: ""], ~r/:name/},
            {&Shop.add/2, [doc: 5], ~r/:doc/},
            {&Shop.add/2, [returns: 5], ~r/:returns/},
            {&Shop.add/2, [args: [x: "int"]],
             ~r/expected :args to describe 2 arguments.* got: 1/},
            {&Shop.add/2, [args: [x: "int", x: "int"]],
             ~r/expected different names in :args, got: "x" twice/},
            {&Shop.add/2, [args: [x: {"int", 1}, y: "int"]],
             ~r/expected a default for the argument "y", got: none/},
            {&Shop.add/2, [args: ["x", "y"]], ~r/keyword list of types/},
            {&Shop.add/2, [args: %{x: 1}], ~r/keyword list of types/},
            {&Shop.add/2, [args: [x: 1, y: 2]], ~r/type of the argument "x"/},
            {&Shop.add/2, [args: [{"a b", "int"}, {:y, "int"}]],
             ~r/identifier and not a reserved word, got: "a b"/},
            {&Shop.add/2, [args: [class: "int", y: "int"]],
             ~r/identifier and not a reserved word, got: "class"/}
          ] do
        assert_raise ArgumentError, text, fn -> Python.function(function, options) end
      end
    end

    test "a struct of the kind with a key of its own is refused" do
      assert {:error, %Python.EncodeError{}} =
               eval("f", Map.put(Python.function(&Shop.add/2), :more, 1))

      assert {:error, %Python.EncodeError{}} = eval("f", %{Python.function(&Shop.add/2) | fun: 5})
    end
  end

  describe "a registered function" do
    test "has its name, its module and its signature" do
      name = register(&Shop.add/2)
      about = "[f.__name__, f.__qualname__, f.__module__, str(inspect.signature(f)), f(1, 2)]"

      vars =
        Map.put(
          modules(),
          :f,
          Python.getattr!(Python.import!(:erlang), name) |> then(fn f -> f end)
        )

      assert Python.eval!(about, vars) == [
               name,
               name,
               "Python.Callbacks.CallableTest.Shop",
               "(arg1, arg2, /)",
               3
             ]

      assert Python.eval!("str(i.signature(e.#{register({Shop, :add})}))", %{
               i: modules().inspect,
               e: modules().erlang
             }) == "(arg1, arg2, /)"

      assert Python.eval!("str(i.signature(e.#{register({Shop, :many})}))", %{
               i: modules().inspect,
               e: modules().erlang
             }) == "(*args, **kwargs)"

      assert Python.eval!(
               "[e.#{name} == e.#{name}, e.#{name} == 1, len({e.#{name}, e.#{name}})]",
               %{e: modules().erlang}
             ) == [true, false, 1]
    end

    test "through py takes any number of arguments" do
      name = unique()
      :py.register_function(name, fn list -> list end)

      assert Python.eval!("[str(i.signature(e.#{name})), e.#{name}(1, 2)]", %{
               i: modules().inspect,
               e: modules().erlang
             }) == ["(*args, **kwargs)", [1, 2]]

      Python.unregister(name)
    end

    test "that is described is called by keyword, also by erlang.call" do
      name =
        register(
          Python.function(fn x, y -> {x, y} end, args: [x: "int", y: {"str", "a"}], doc: "Doc.")
        )

      vars = modules()

      assert Python.eval!(
               "[erlang.#{name}(y='b', x=1), erlang.call('#{name}', x=2), erlang.call('#{name}', 3, 'c')]",
               vars
             ) == [{1, "b"}, {2, "a"}, {3, "c"}]

      assert Python.eval!(
               "[erlang.#{name}.__name__, erlang.#{name}.__doc__, str(inspect.signature(erlang.#{name}))]",
               vars
             ) == [name, "Doc.", "(x: int, y: str = 'a')"]

      bare = register(Python.function(&Shop.add/2))

      assert Python.eval!(
               "[erlang.#{bare}.__name__, str(inspect.signature(erlang.#{bare})), erlang.#{bare}(1, 2)]",
               vars
             ) == [bare, "(arg1, arg2, /)", 3]

      assert {:error, %Python.Error{type: "TypeError"}} = Python.eval("erlang.#{name}(z=1)", vars)
      assert Python.call(:erlang, name, [1], kwargs: [y: "z"]) == {:ok, {1, "z"}}
    end

    test "is one object for as long as it is registered, so that signals can keep weak references to it" do
      for {function, value} <- [
            {&Shop.free?/1, true},
            {Python.function(fn x -> x end, args: [x: "int"]), 1}
          ] do
        name = register(function)

        code = """
        import erlang, gc, weakref
        receiver = weakref.ref(erlang.#{name})
        erlang.#{name}.tag = 7
        gc.collect()
        """

        context = start_context()
        Python.exec!(code, context: context)
        one = "[receiver() is erlang.#{name}, receiver()(1), erlang.#{name}.tag]"
        assert Python.eval!(one, %{}, context: context) == [true, value, 7]
        all = for _ <- 1..8, do: Python.eval_async("id(erlang.#{name})")
        assert all |> Enum.map(&Python.await/1) |> Enum.uniq() |> length() == 1

        Python.register(name, function)
        assert Python.eval!("hasattr(erlang.#{name}, 'tag')") == false
        Python.unregister(name)
        assert {:error, %Python.Error{type: "AttributeError"}} = Python.eval("erlang.#{name}")

        # Nobody has it any more; the reference is dropped in the background.
        gone? = fn -> Python.eval!("receiver() is None", %{}, context: context) end
        eventually("nobody has the function any more", gone?)
      end
    end

    test "that is replaced is the new one, for who has the name already" do
      name = register(fn x -> {:old, x} end)
      function = Python.eval!("__import__('erlang').#{name}", return: :object)
      assert Python.apply!(function, [1]) == {"old", 1}
      Python.register(name, fn x -> {:new, x} end)
      assert Python.apply!(function, [1]) == {"new", 1}
      Python.unregister(name)
      assert {:error, _} = Python.apply(function, [1])
    end
  end
end
