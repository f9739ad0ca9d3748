defmodule Python.Calls.CallTest do
  use Python.EngineCase, async: true

  alias Python.Object

  describe "a function" do
    test "is called by the names of its module and its own" do
      assert Python.call(:math, :sqrt, [16]) == {:ok, 4.0}
      assert Python.call("math", "sqrt", [16]) == {:ok, 4.0}
      assert Python.call(:math, "sqrt", [16]) == {:ok, 4.0}
    end

    test "may be in a submodule that nobody has imported" do
      assert Python.call("xml.sax.saxutils", :escape, ["a<b"]) == {:ok, "a&lt;b"}
      assert Python.call(:"os.path", :join, ["a", "b"]) == {:ok, "a/b"}
    end

    test "may be reached through attributes" do
      assert Python.call(:os, "path.join", ["a", "b"]) == {:ok, "a/b"}
      assert Python.call(:builtins, "str.upper", ["a"]) == {:ok, "A"}
      assert Python.call(:datetime, "date.fromordinal.__name__.upper", []) == {:ok, "FROMORDINAL"}
    end

    test "needs no arguments" do
      assert {:ok, cwd} = Python.call(:os, :getcwd)
      assert cwd == File.cwd!()
    end

    test "may be a class" do
      assert Python.call(:builtins, :int, ["42"]) == {:ok, 42}
      assert {:ok, %Object{}} = Python.call(:threading, :Lock)
    end

    test "may be one that exec has defined" do
      name = define("def NAME(a, b=1): return a + b")
      assert Python.call(:__main__, name, [5]) == {:ok, 6}
      assert Python.call(:__main__, name, [5, 5]) == {:ok, 10}
    end

    test "may have a name beyond ASCII" do
      name = define("def größe_NAME(x): return x")
      assert Python.call(:__main__, "größe_" <> name, [1]) == {:ok, 1}
      assert Python.call(:__main__, String.to_atom("größe_" <> name), [1]) == {:ok, 1}
    end

    test "that is defined anew is the new one at the next call" do
      name = define("def NAME(): return 'old'")
      assert Python.call(:__main__, name) == {:ok, "old"}
      Python.exec!("def #{name}(): return 'new'")
      assert Python.call(:__main__, name) == {:ok, "new"}
      Python.exec!("del #{name}")
      assert {:error, %Python.Error{type: "AttributeError"}} = Python.call(:__main__, name)
    end

    @tag :tmp_dir
    test "of a module that was reloaded or replaced is the new one", %{tmp_dir: dir} do
      module = write_module(dir, "def f(): return 'file'")
      assert Python.call(module, :f) == {:ok, "file"}

      Python.exec!("import #{module}; #{module}.f = lambda: 'patched'")
      assert Python.call(module, :f) == {:ok, "patched"}

      Python.exec!("import importlib, #{module}; importlib.reload(#{module})")
      assert Python.call(module, :f) == {:ok, "file"}

      Python.exec!("""
      import sys, types
      sys.modules['#{module}'] = types.ModuleType('#{module}')
      sys.modules['#{module}'].f = lambda: 'replaced'
      """)

      assert Python.call(module, :f) == {:ok, "replaced"}
    end

    @tag :tmp_dir
    test "of a module that could not be imported works once it can", %{tmp_dir: dir} do
      module = write_module(dir, "raise RuntimeError('not yet')")

      for _ <- 1..2 do
        assert {:error, %Python.Error{type: "RuntimeError", message: "not yet"}} =
                 Python.call(module, :f)
      end

      File.write!(Path.join(dir, module <> ".py"), "def f(): return 'at last'")
      Python.call!(:importlib, :invalidate_caches)

      Python.call!(:shutil, :rmtree, [Path.join(dir, "__pycache__")],
        kwargs: %{ignore_errors: true}
      )

      assert Python.call(module, :f) == {:ok, "at last"}
    end
  end

  describe "keyword arguments" do
    test "are a map or a keyword list, named by atoms or strings" do
      for kwargs <- [%{indent: 1}, [indent: 1], %{"indent" => 1}, [{"indent", 1}]] do
        assert Python.call(:json, :dumps, [[1]], kwargs: kwargs) == {:ok, "[\n 1\n]"}
      end
    end

    test "may be empty" do
      assert Python.call(:json, :dumps, [[1]], kwargs: %{}) == {:ok, "[1]"}
      assert Python.call(:json, :dumps, [[1]], kwargs: []) == {:ok, "[1]"}
    end

    test "may carry names beyond ASCII" do
      assert Python.call(:builtins, :dict, [], kwargs: %{"größe" => 1}) == {:ok, %{"größe" => 1}}
    end

    test "that the function does not know are its TypeError" do
      assert {:error, %Python.Error{type: "TypeError", message: message}} =
               Python.call(:json, :dumps, [1], kwargs: %{nonsense: 1})

      assert message =~ "nonsense"
    end

    test "whose name is no text are an error, whatever is called" do
      names = [
        builtins: :dict,
        builtins: :int,
        functools: :partial,
        operator: :methodcaller,
        types: :SimpleNamespace
      ]

      for {module, name} <- names do
        args = %{partial: [Python.eval!("print")], methodcaller: ["f"]}[name] || []
        result = Python.call(module, name, args, kwargs: %{<<255>> => 1}, return: :object)
        assert {:error, error} = result
        assert Exception.message(error) =~ ~r/keyword|UTF-8|str/
      end
    end
  end

  describe "a method" do
    test "is called on its object" do
      counter = Python.call!(:collections, :Counter, ["abracadabra"], return: :object)
      assert Python.call(counter, :most_common, [1]) == {:ok, [{"a", 5}]}
      assert Python.call(counter, "__len__", []) == {:ok, 5}
    end

    test "may be reached through attributes" do
      path = Python.call!(:pathlib, :Path, ["/tmp/some.txt"])
      assert Python.call(path, "parent.as_posix") == {:ok, "/tmp"}
    end

    test "that the object does not have is an AttributeError" do
      object = Python.call!(:builtins, :object)

      assert {:error, %Python.Error{type: "AttributeError", message: message}} =
               Python.call(object, :no_such_method)

      assert message =~ "no_such_method"
    end
  end

  describe "what is not there" do
    test "is a ModuleNotFoundError for a module" do
      assert {:error, %Python.Error{type: "ModuleNotFoundError", message: message}} =
               Python.call(:no_such_module, :f)

      assert message =~ "no_such_module"

      assert {:error, %Python.Error{type: "ModuleNotFoundError"}} =
               Python.call("os.no_such_module", :f)
    end

    test "is an AttributeError for a function" do
      assert {:error, %Python.Error{type: "AttributeError", message: message}} =
               Python.call(:math, :no_such_function)

      assert message =~ "no_such_function"
    end

    test "is a TypeError if it cannot be called" do
      assert {:error, %Python.Error{type: "TypeError", message: message}} =
               Python.call(:math, :pi)

      assert message =~ "not callable"
    end

    test "is a TypeError if the arguments do not fit" do
      assert {:error, %Python.Error{type: "TypeError"}} = Python.call(:math, :sqrt, [])
      assert {:error, %Python.Error{type: "TypeError"}} = Python.call(:math, :sqrt, ["x"])
    end

    test "is an error if its name is not one" do
      for name <- ["", ".", "a.", ".a", "a..b", "a\0b"] do
        assert {:error, %Python.Error{}} = Python.call(:math, name, [1])
        assert {:error, %Python.Error{}} = Python.call(name, :f, [1])
      end
    end

    test "is an error that says so if the name is no text" do
      assert {:error, error} = Python.call(:math, <<255>>, [1])
      assert Exception.message(error) =~ ~r/name|UTF-8/
      assert {:error, error} = Python.call(<<255>>, :f, [1])
      assert Exception.message(error) =~ ~r/name|UTF-8/
    end
  end

  describe "the result" do
    test "stays in Python with return: :object" do
      assert {:ok, %Object{} = root} = Python.call(:math, :sqrt, [16], return: :object)
      assert Python.call(root, :is_integer) == {:ok, true}
    end

    test "is converted with return: :value" do
      assert Python.call(:math, :sqrt, [16], return: :value) == {:ok, 4.0}
    end
  end

  describe "what a call leaves behind" do
    test "is gone when it returns, if that runs code" do
      for {value, gone} <- [{"[NAME(n) for n in range(300)]", 300}, {"NAME_list(range(300))", 1}] do
        name =
          define("""
          import time
          class Slow:
              gone = 0
              def __del__(self):
                  time.sleep(0.001)
                  Slow.gone += 1
          class NAME(Slow, int): pass
          class NAME_list(Slow, list): pass
          def NAME_make(): return #{value}
          def NAME_gone(): return NAME.__mro__[1].gone
          """)

        assert Python.call!(:__main__, name <> "_make") == Enum.to_list(0..299)
        assert Python.call!(:__main__, name <> "_gone") == gone
      end
    end

    test "can be large" do
      for _ <- 1..5 do
        list = Enum.to_list(1..50_000)
        assert Python.call!(:builtins, :sorted, [list]) == list
        assert Python.call!(:builtins, :len, [%{"a" => list, "b" => {list, list}}]) == 2
      end
    end
  end

  describe "call!" do
    test "returns the value" do
      assert Python.call!(:math, :sqrt, [16]) == 4.0
    end

    test "raises the exception" do
      assert_raise Python.Error, ~r/ValueError: math domain error|nonnegative/, fn ->
        Python.call!(:math, :sqrt, [-1])
      end
    end
  end

  describe "invalid options are refused in the caller, with what is allowed:" do
    test "an option that does not exist" do
      error = assert_raise ArgumentError, fn -> Python.call(:math, :sqrt, [1], tiemout: 1) end
      assert error.message =~ ":tiemout"
      assert error.message =~ ":timeout"
      assert_raise ArgumentError, ~r/:kwargs/, fn -> Python.eval("1", %{}, kwargs: %{}) end
      assert_raise ArgumentError, ~r/:return/, fn -> Python.exec("1", return: :object) end
    end

    test "options that are no keyword list" do
      for options <- [%{timeout: 1}, :timeout, [:timeout], [{"timeout", 1}], 5] do
        assert_raise ArgumentError, fn -> Python.call(:math, :sqrt, [1], options) end
      end
    end

    test "a timeout" do
      for timeout <- [-1, 1.5, "1", nil, :never, 4_294_967_296] do
        error =
          assert_raise ArgumentError, fn -> Python.call(:math, :pi, [], timeout: timeout) end

        assert error.message =~ inspect(timeout)
        assert error.message =~ ":infinity"
      end
    end

    test "a :return" do
      error = assert_raise ArgumentError, fn -> Python.call(:math, :sqrt, [1], return: :term) end
      assert error.message =~ ":term"
      assert error.message =~ ":object"
    end

    test "a pool that is no name" do
      for pool <- ["pool", nil, true, self()] do
        assert_raise ArgumentError, ~r/pool/, fn -> Python.call(:math, :sqrt, [1], pool: pool) end
      end
    end

    test "keyword arguments" do
      for kwargs <- [5, [:a], %{1 => 2}, [{1, 2}], [{:a, 1} | :b], ~D[2024-01-01], nil] do
        assert_raise ArgumentError, ~r/keyword arguments/, fn ->
          Python.call(:json, :dumps, [1], kwargs: kwargs)
        end
      end
    end

    test "arguments that are no proper list" do
      for args <- [16, {16}, [16 | 1], %{}, "16", nil] do
        error = assert_raise ArgumentError, fn -> Python.call(:math, :sqrt, args) end
        assert error.message =~ ~r/\Aexpected a (proper )?list of arguments, got: /
        assert error.message =~ inspect(args)
      end

      message = assert_raise(ArgumentError, fn -> Python.call(:math, :sqrt, 16) end).message
      assert message == "expected a list of arguments, got: 16. Did you mean [16]?"
    end

    test "a target or a name" do
      for target <- [nil, true, 5, ~c"math", {:math}, self()] do
        assert_raise ArgumentError, ~r/target/, fn -> Python.call(target, :sqrt, [1]) end
      end

      for name <- [nil, false, 5, ~c"sqrt"] do
        assert_raise ArgumentError, ~r/name/, fn -> Python.call(:math, name, [1]) end
      end
    end
  end
end
