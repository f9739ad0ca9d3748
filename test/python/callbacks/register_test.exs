defmodule Python.Callbacks.RegisterTest do
  use Python.EngineCase, async: true

  @moduletag blocks: "plain functions wait for Elixir"

  alias Python.FreshVM

  defmodule Shop do
    def add(a, b), do: a + b
    def add(a, b, %{"scale" => scale}), do: (a + b) * scale
    def total(prices), do: Enum.sum(prices)
  end

  # Registers under a name of its own, for this test.
  defp register(function) do
    name = unique("function")
    assert Python.register(name, function) == :ok
    on_exit(fn -> Python.unregister(name) end)
    name
  end

  defp error_of(code, vars \\ %{}) do
    assert {:error, %Python.Error{} = error} = Python.eval(code, vars)
    error
  end

  describe "a registered function" do
    test "is an attribute of the module erlang" do
      name = register(fn a, b -> a - b end)
      assert Python.exec("import erlang; left_#{name} = erlang.#{name}(5, 3)") == :ok
      assert Python.eval("left_#{name}") == {:ok, 2}
    end

    test "can be imported from it" do
      name = register(fn a -> a * 2 end)
      Python.exec!("from erlang import #{name} as imported_#{name}")
      assert Python.eval("imported_#{name}(21)") == {:ok, 42}
    end

    test "is called by its name, which need not be an identifier" do
      name = register(fn a -> {:got, a} end)
      assert Python.call(:erlang, :call, [name, "x"]) == {:ok, {"got", "x"}}
      Python.register("größe und/oder 🐍", fn -> "fits" end)
      assert Python.call(:erlang, :call, ["größe und/oder 🐍"]) == {:ok, "fits"}
      Python.unregister("größe und/oder 🐍")
    end

    test "is called from Elixir as the function of a module" do
      name = register(fn a, b -> [a, b] end)
      assert Python.call(:erlang, name, [1, nil]) == {:ok, [1, nil]}
    end

    @tag engine: :main
    test "cannot have a name of the module's own, as the list for processes says too" do
      vm = Python.FreshVM.start()
      names = Python.FreshVM.call(vm, Python, :eval!, ["dir(erlang)"])
      assert Enum.reject(names, &Python.Engine.Process.Names.taken?/1) == []
    end

    test "may be named by an atom" do
      name = String.to_atom(unique("function"))
      assert Python.register(name, fn -> "atom" end) == :ok
      assert Python.call(:erlang, name) == {:ok, "atom"}
      assert Python.unregister(name) == :ok
      assert {:error, %Python.Error{type: "AttributeError"}} = Python.call(:erlang, name)
    end

    test "gets as many arguments as it takes" do
      functions = [
        fn -> [] end,
        fn a -> [a] end,
        fn a, b -> [a, b] end,
        fn a, b, c -> [a, b, c] end,
        fn a, b, c, d, e, f, g, h -> [a, b, c, d, e, f, g, h] end
      ]

      for function <- functions do
        {:arity, arity} = Function.info(function, :arity)
        args = Enum.take(1..10, arity)
        assert Python.call(:erlang, register(function), args) == {:ok, args}
      end
    end

    test "is told how many it was given instead" do
      name = register(fn a, b -> a + b end)
      error = error_of("erlang.#{name}(1)", %{erlang: Python.import!(:erlang)})
      assert error.type == "Error"
      assert error.module == "erlang"
      assert error.message =~ "expected 2 arguments, got: 1"
    end

    test "gets keyword arguments as a last map" do
      name = register(fn a, b, options -> {a, b, options} end)

      assert Python.call(:erlang, name, [1, 2], kwargs: [scale: 3, name: "größe"]) ==
               {:ok, {1, 2, %{"scale" => 3, "name" => "größe"}}}

      only = register(fn options -> options end)
      assert Python.call(:erlang, only, [], kwargs: [a: 1]) == {:ok, %{"a" => 1}}
    end

    test "that takes no keyword arguments refuses them and says why" do
      name = register(fn a, b -> a + b end)
      assert {:error, error} = Python.call(:erlang, name, [1, 2], kwargs: [scale: 3])

      assert error.message =~
               "expected 2 arguments, got: 3 (keyword arguments are one more argument, a map"
    end

    test "may be the name of a module and of a function, of any arity" do
      name = register({Shop, :add})
      assert Python.call(:erlang, name, [1, 2]) == {:ok, 3}
      assert Python.call(:erlang, name, [1, 2], kwargs: [scale: 10]) == {:ok, 30}
      assert {:error, error} = Python.call(:erlang, name, [1])
      assert error.message =~ "UndefinedFunctionError"
      assert error.message =~ "add/1"
    end

    test "may be a capture" do
      assert Python.call(:erlang, register(&String.upcase/1), ["abc"]) == {:ok, "ABC"}
      assert Python.call(:erlang, register(&:erlang.max/2), [3, 7]) == {:ok, 7}
    end

    test "returns anything that can cross" do
      values = [nil, true, 1, 1.5, "text", <<255>>, [1, [2]], {1, {}}, %{"a" => [1]}, self()]
      name = register(fn index -> Enum.at(values, index) end)

      for {value, index} <- Enum.with_index(values) do
        assert Python.call(:erlang, name, [index]) === {:ok, value}
      end
    end

    test "returns structs as arguments give them" do
      name = register(fn -> [~D[2024-02-29], MapSet.new([1]), 1..3] end)
      code = "[type(x).__name__ for x in __import__('erlang').call(name)]"
      assert Python.eval(code, %{name: name}) == {:ok, ["date", "set", "range"]}
    end

    test "cannot have a name that the module erlang has itself" do
      names = Python.eval!("list(vars(erlang))", %{erlang: Python.import!(:erlang)})
      assert "log" in names and "Pid" in names and "__name__" in names

      for name <- names do
        assert_raise ArgumentError, ~r/does not have itself, got: "#{name}"/, fn ->
          Python.register(name, fn -> 1 end)
        end
      end

      assert_raise ArgumentError, fn -> Python.register(:log, {Shop, :add}) end
      assert {:badarg, text} = catch_error(:py.register_function(:log, fn _, _ -> 1 end))
      assert text =~ ~s("log")
      assert {:badarg, _} = catch_error(:py.register_function(~c"send", Shop, :add))
      assert Python.call(:erlang, :log, ["debug", "still the built-in"]) == {:ok, nil}
    end

    test "cannot have a name that every module has, nor that of a module of the package" do
      for name <- ~w(__class__ __dict__ __eq__ __setattr__ _object _hints __init__) do
        assert_raise ArgumentError, ~r/does not have itself, got: "#{name}"/, fn ->
          Python.register(name, fn -> 1 end)
        end
      end

      assert Python.eval!("erlang.__class__.__mro__[1].__name__") == "module"
      assert Python.import!("erlang._object") |> Python.type() == "module"
    end

    test "can have a name that begins with an underscore" do
      for name <- ["_private#{unique()}", "__mine#{unique()}__"] do
        assert {:error, _} = Python.eval("getattr(erlang, n)", %{n: name})
        assert Python.register(name, fn x -> x + 1 end) == :ok
        assert Python.eval!("getattr(erlang, n)(4)", %{n: name}) == 5
        assert Python.eval!("erlang.call(n, 4)", %{n: name}) == 5
        Python.unregister(name)
        assert {:error, _} = Python.eval("getattr(erlang, n)", %{n: name})
      end
    end

    # Each process has a module erlang of its own, which knows its names itself.
    @tag engine: :main
    test "cannot have a name that somebody has given the module erlang, and does not lose its own to it" do
      erlang = Python.import!(:erlang)
      name = unique()
      Python.setattr!(erlang, name, 5)
      assert_raise ArgumentError, ~r/"#{name}"/, fn -> Python.register(name, fn -> 1 end) end
      Python.call!(:builtins, :delattr, [erlang, name])
      assert Python.register(name, fn -> 1 end) == :ok

      assert {:error, %Python.Error{type: "AttributeError", message: message}} =
               Python.setattr(erlang, name, 5)

      assert message =~ "is a registered function"
      assert Python.call(:erlang, name) == {:ok, 1}
      Python.unregister(name)
      assert Python.setattr(erlang, name, 5) == :ok
      Python.call!(:builtins, :delattr, [erlang, name])
    end

    test "is replaced when its name is registered again" do
      name = register(fn -> "old" end)
      Python.exec!("from erlang import #{name} as kept_#{name}")
      assert Python.eval("kept_#{name}()") == {:ok, "old"}
      assert Python.register(name, fn _ -> "new" end) == :ok
      assert Python.call(:erlang, name, [1]) == {:ok, "new"}
      # What was imported is the name, not what it stood for.
      assert Python.eval("kept_#{name}(1)") == {:ok, "new"}
    end

    test "is unknown once it is unregistered" do
      name = register(fn -> "there" end)
      Python.exec!("from erlang import #{name} as kept_#{name}")
      assert Python.unregister(name) == :ok
      assert Python.unregister(name) == :ok

      assert {:error, %Python.Error{type: "AttributeError"}} = Python.call(:erlang, name)
      assert {:error, %Python.Error{module: "erlang"} = error} = Python.eval("kept_#{name}()")
      assert error.message =~ "no function is registered as"
    end

    test "is seen by every pool and context" do
      name = register(fn -> "everywhere" end)
      context = start_context()
      assert Python.call(:erlang, name, [], context: context) == {:ok, "everywhere"}
      assert Python.call(:erlang, name, [], pool: start_pool()) == {:ok, "everywhere"}
    end

    test "outlives the process that registered it" do
      name = unique("function")
      on_exit(fn -> Python.unregister(name) end)
      Task.await(Task.async(fn -> Python.register(name, fn -> "still here" end) end))
      assert Python.call(:erlang, name) == {:ok, "still here"}
    end

    test "does not hide what the module has itself" do
      assert_raise ArgumentError, fn -> Python.register("send", fn -> "mine" end) end

      assert Python.eval("type(__import__('erlang').send).__name__") ==
               {:ok, "builtin_function_or_method"}

      assert {:error, _} = Python.call(:erlang, :call, ["send"])
    end
  end

  describe "a name that nobody registered" do
    test "is no attribute" do
      error = error_of("__import__('erlang').no_such_function")
      assert error.type == "AttributeError"
      assert error.message =~ "no function 'no_such_function'"
      assert error.message =~ "Python.register"
      assert Python.eval("hasattr(__import__('erlang'), 'no_such_function')") == {:ok, false}
    end

    test "cannot be imported" do
      assert {:error, %Python.Error{type: "ImportError"} = error} =
               Python.exec("from erlang import no_such_function")

      assert error.message =~ "no_such_function"
    end

    test "cannot be called" do
      error = error_of("__import__('erlang').call('no_such_function', 1)")
      assert error.message =~ ~s(no function is registered as "no_such_function")
    end
  end

  describe "what cannot be registered" do
    test "is refused at once" do
      for name <- [nil, true, 1, ~c"f", "", <<255>>, {:f}] do
        assert_raise ArgumentError, fn -> Python.register(name, fn -> 1 end) end
      end

      for function <- [nil, :f, "f", {"String", :f}, {String, :upcase, 1}] do
        error = assert_raise ArgumentError, fn -> Python.register(:never, function) end
        assert error.message =~ inspect(function)
      end

      assert Python.eval("hasattr(__import__('erlang'), 'never')") == {:ok, false}
    end
  end

  describe "in a VM of its own" do
    @tag engine: :main
    test "what is registered outlives the process that runs callbacks, not the application" do
      vm = FreshVM.start()
      assert FreshVM.call(vm, Python, :register, [:upper, {String, :upcase}]) == :ok
      server = FreshVM.call(vm, Process, :whereis, [Python.Callback])
      FreshVM.call(vm, Process, :exit, [server, :kill])

      eventually("callbacks work again", fn ->
        FreshVM.call(vm, Python, :call, [:erlang, :upper, ["a"]]) == {:ok, "A"}
      end)

      assert FreshVM.call(vm, Application, :stop, [:erlang_python]) == :ok
      assert {:ok, _} = FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])
      known = "hasattr(__import__('erlang'), 'upper')"
      assert FreshVM.call(vm, Python, :eval, [known]) == {:ok, false}
      assert FreshVM.call(vm, Python, :register, [:upper, {String, :upcase}]) == :ok
      assert FreshVM.call(vm, Python, :eval, [known]) == {:ok, true}
    end

    @tag engine: :main
    test "functions that Python has called end with the application" do
      vm = FreshVM.start()

      started = """
      test = self()
      Python.register(:wait, fn traps -> Process.flag(:trap_exit, traps); send(test, self()); Process.sleep(:infinity) end)

      for traps <- [false, true] do
        spawn(fn -> Python.call(:erlang, :wait, [traps]) end)
        receive do: (pid -> pid)
      end
      """

      {pids, _} = FreshVM.call(vm, Code, :eval_string, [started])
      assert FreshVM.call(vm, Application, :stop, [:erlang_python]) == :ok

      for pid <- pids do
        eventually("it has ended", fn -> not FreshVM.call(vm, Process, :alive?, [pid]) end)
      end
    end

    test "without an interpreter a function can be registered, for nobody" do
      vm = FreshVM.start(settings: [python_path: "/no/such/python"])
      assert FreshVM.call(vm, Python, :register, [:upper, {String, :upcase}]) == :ok
      assert FreshVM.call(vm, Python, :unregister, [:upper]) == :ok
    end
  end

  # As it is typed in the shell of Erlang.
  defp erlang(source, bindings \\ []) do
    {:ok, tokens, _} = source |> String.to_charlist() |> :erl_scan.string()
    {:ok, expressions} = :erl_parse.parse_exprs(tokens)
    {:value, value, _} = :erl_eval.exprs(expressions, bindings)
    value
  end

  describe "from Erlang" do
    test "a fun of arity 1 gets the list of the arguments" do
      assert erlang("py:register_function(reg_sum, fun(L) -> lists:sum(L) end).") == :ok
      on_exit(fn -> :py.unregister_function(:reg_sum) end)
      assert erlang("py:eval(<<\"__import__('erlang').reg_sum(1, 2, 3)\">>).") == {:ok, 6}
      assert erlang("py:eval(<<\"__import__('erlang').reg_sum()\">>).") == {:ok, 0}
      assert erlang("py:call(erlang, reg_sum, [1, 2]).") == {:ok, 3}
      assert erlang("py:call(erlang, call, [reg_sum, 4, 5]).") == {:ok, 9}
    end

    test "a fun of another arity gets the arguments" do
      assert erlang("py:register_function(\"reg_two\", fun(A, B) -> {A, B} end).") == :ok
      on_exit(fn -> :py.unregister_function(:reg_two) end)
      assert erlang("py:call(erlang, reg_two, [1, none]).") == {:ok, {1, :none}}

      assert erlang("py:register_function(<<\"reg_none\">>, fun() -> <<\"ok\">> end).") == :ok
      on_exit(fn -> :py.unregister_function(:reg_none) end)
      assert erlang("py:call(erlang, reg_none, []).") == {:ok, "ok"}
    end

    test "a module and a function get the list of the arguments" do
      assert erlang("py:register_function(reg_total, M, total).", M: Shop) == :ok
      on_exit(fn -> :py.unregister_function(:reg_total) end)
      assert erlang("py:call(erlang, reg_total, [3, 4]).") == {:ok, 7}
    end

    test "keyword arguments are the last of the list" do
      assert erlang("py:register_function(reg_kwargs, fun(L) -> L end).") == :ok
      on_exit(fn -> :py.unregister_function(:reg_kwargs) end)

      assert erlang("py:call(erlang, reg_kwargs, [1], \#{a => 2}).") ==
               {:ok, [1, %{"a" => 2}]}
    end

    test "an unregistered function is unknown" do
      assert erlang("py:register_function(reg_gone, fun(_) -> 1 end).") == :ok
      assert erlang("py:unregister_function(reg_gone).") == :ok
      assert {:error, {:AttributeError, text}} = erlang("py:call(erlang, reg_gone, []).")
      assert List.to_string(text) =~ "reg_gone"
    end

    test "an invalid argument is a badarg with a reason" do
      assert {{:badarg, text}, _} =
               catch_error_of(fn -> :py.register_function("", fn -> 1 end) end)

      assert text =~ "name"
    end
  end

  defp catch_error_of(function) do
    function.()
    flunk("nothing was raised")
  catch
    :error, reason -> {reason, __STACKTRACE__}
  end
end
