defmodule Python.Errors.ExceptionsTest do
  use Python.EngineCase, async: true

  alias Python.{Error, Object}

  defp error(code) do
    assert {:error, %Error{} = error} = Python.exec(code)
    error
  end

  describe "an exception" do
    test "has its type, module and text" do
      assert {:error, %Error{} = error} = Python.eval("1 / 0")

      assert %{type: "ZeroDivisionError", module: "builtins", message: "division by zero"} = error
      assert %{notes: [], cause: nil} = error
    end

    test "of a class of one's own has the class's qualified name and module" do
      name =
        define("""
        class NAME:
            class Inner(Exception): pass
        """)

      assert %{type: type, module: "__main__", message: "a"} = error("raise #{name}.Inner('a')")
      assert type == name <> ".Inner"

      assert {:error, %Error{type: "JSONDecodeError", module: "json.decoder"}} =
               Python.call(:json, :loads, ["{"])
    end

    test "is there itself" do
      name =
        define("""
        class NAME(Exception):
            def __init__(self, code):
                super().__init__('failed')
                self.code = code
        """)

      assert %{value: %Object{} = value} = error("raise #{name}(42)")
      assert Python.call(value, "code.__int__") == {:ok, 42}
      assert Python.eval("type(e).__name__", %{e: value}) == {:ok, name}
    end

    test "without text has an empty one" do
      assert %{type: "ValueError", message: ""} = error("raise ValueError")
    end

    test "from C code is like any other" do
      assert {:error, %Error{type: "ValueError", frames: []}} = Python.call(:math, :sqrt, [-1])

      assert {:error, %Error{type: "Error", module: "binascii"}} =
               Python.call(:binascii, :unhexlify, ["x"])
    end

    test "may have a text in any script" do
      assert %{message: "größer als 日本 🐍"} = error("raise ValueError('größer als 日本 🐍')")
    end

    test "may have a text with NULs and line breaks" do
      assert %{message: "a\0b\nc\r\n"} = error(~S|raise ValueError("a\0b\nc\r\n")|)
    end

    test "may have a huge text" do
      error = error("raise ValueError('x' * 10_000_000)")
      assert byte_size(error.message) == 10_000_000
    end

    test "whose text has lone surrogates has them written out" do
      error = error(~S|raise ValueError("a\ud800b")|)
      assert error.message == ~S|a\ud800b|
      assert String.valid?(Exception.message(error))
    end

    test "has the notes that were added to it" do
      name =
        define("""
        def NAME(*notes):
            e = ValueError('a')
            e.__notes__ = list(notes)
            raise e
        """)

      assert {:error, %Error{notes: ["one", "zwölf"]}} =
               Python.call(:__main__, name, ["one", "zwölf"])
    end

    @tag python: "3.11"
    test "shows the notes in its message" do
      error = error("e = ValueError('a')\ne.add_note('the note')\nraise e")
      assert error.notes == ["the note"]
      assert Exception.message(error) =~ ~r/ValueError: a\nthe note$/
    end

    test "with a very long class name is no more than that" do
      name = define("NAME = type('E' * 100_000, (Exception,), {})")
      error = error("raise #{name}('a')")
      assert error.type == String.duplicate("E", 100_000)
      assert_raise Error, fn -> Python.exec!("raise #{name}('a')") end
    end

    test "from a function with a very long name can be raised" do
      long = "f" <> String.duplicate("x", 1_000)
      assert_raise Error, fn -> Python.exec!("def #{long}(): 1 / 0\n#{long}()") end
    end
  end

  describe "what is not an Exception in Python is an error like the rest:" do
    test "SystemExit" do
      assert {:error, %Error{type: "SystemExit", message: "3"}} = Python.call(:sys, :exit, [3])
      assert %{type: "SystemExit", message: ""} = error("raise SystemExit")
      assert %{type: "SystemExit", message: "bye"} = error("import sys; sys.exit('bye')")
      assert %{type: "SystemExit"} = error("exit()")
    end

    test "KeyboardInterrupt" do
      assert %{type: "KeyboardInterrupt"} = error("raise KeyboardInterrupt")
    end

    test "GeneratorExit and StopIteration" do
      assert %{type: "GeneratorExit"} = error("raise GeneratorExit('a')")
      assert {:error, %Error{type: "StopIteration"}} = Python.eval("next(iter([]))")
      assert %{type: "StopAsyncIteration"} = error("raise StopAsyncIteration")
    end

    test "a BaseException of one's own" do
      name = define("class NAME(BaseException): pass")
      assert %{type: ^name, message: "a"} = error("raise #{name}('a')")
    end

    test "erlang.Interrupt raised by the code itself" do
      assert %{type: "Interrupt", module: "erlang"} =
               error("import erlang; raise erlang.Interrupt")

      assert Python.eval("1") == {:ok, 1}
    end
  end

  describe "a syntax error" do
    test "has the line, and shows it" do
      error = error("x = 1\ny = = 2\n")
      assert error.type == "SyntaxError"
      assert error.message =~ "line 2"
      message = Exception.message(error)
      assert message =~ "line 2"
      assert message =~ "y = = 2"
      assert message =~ "^"
      assert {:ok, 2} = Python.eval("e.lineno", %{e: error.value})
    end

    test "of an expression too" do
      assert {:error, %Error{type: "SyntaxError"} = error} = Python.eval("1 +* 2")
      assert Exception.message(error) =~ "1 +* 2"
      assert {:error, %Error{type: "SyntaxError"} = error} = Python.eval("a +* 2", %{a: 1})
      assert Exception.message(error) =~ "a +* 2"
    end

    @tag :tmp_dir
    test "of a module has its file", %{tmp_dir: dir} do
      module = write_module(dir, "def f(:\n  pass\n")
      assert {:error, %Error{type: "SyntaxError"} = error} = Python.call(module, :f)
      assert Exception.message(error) =~ Path.join(dir, module <> ".py")
      assert Exception.message(error) =~ "def f(:"
    end
  end

  describe "an exception that resists" do
    # Bodies of classes whose instances are raised: those that leave the text alone, and the others.
    for {readable, bodies} <- [
          {true,
           [
             {"has a __repr__ that raises", "def __repr__(self): raise ValueError('no')"},
             {"has a __getattribute__ that raises",
              "def __getattribute__(self, name): raise RuntimeError('no')"},
             {"has a __getattribute__ that recurses",
              "def __getattribute__(self, name): return getattr(self, name)"},
             {"has notes that are no list", "__notes__ = 5"},
             {"has notes that raise", "__notes__ = property(lambda self: 1 / 0)"},
             {"has a __module__ that is no str", "__module__ = 5"},
             {"has no __module__", "__module__ = None"},
             {"lies about its class", "__class__ = property(lambda self: int)"},
             {"has a __hash__ that raises", "def __hash__(self): raise ValueError('no')"},
             {"has an __eq__ that raises", "def __eq__(self, other): raise ValueError('no')"},
             {"has a __bool__ that raises", "def __bool__(self): raise ValueError('no')"},
             {"has a __len__ of 0", "def __len__(self): return 0"},
             {"raises when its cause is asked for",
              "__cause__ = __context__ = property(lambda self: 1 / 0)"},
             {"has a cause that is none", "__cause__ = 5; __context__ = 7"},
             {"has a traceback that is none", "__traceback__ = 5"}
           ]},
          {false,
           [
             {"has a __str__ that raises", "def __str__(self): raise ValueError('no')"},
             {"has a __str__ that exits", "def __str__(self): raise SystemExit"},
             {"has a __str__ that gives no str", "def __str__(self): return 5"},
             {"has a __str__ that recurses", "def __str__(self): return str(self)"}
           ]}
        ],
        {what, body} <- bodies do
      test "because it #{what} still arrives" do
        name = define("class NAME(Exception):\n    #{unquote(body)}")
        assert {:error, %Error{} = error} = Python.exec("raise #{name}('the text')")
        assert error.type == name
        assert Exception.message(error) =~ name

        if unquote(readable) do
          assert error.message == "the text"
          assert Exception.message(error) =~ ~r/#{name}: the text/
        end

        assert Python.eval("1 + 1") == {:ok, 2}
      end
    end

    test "because it has a __setattr__ that raises still arrives" do
      name = define("class NAME(Exception):\n    def __setattr__(self, n, v): raise RuntimeError")
      assert %{type: ^name, message: "the text"} = error("raise #{name}('the text')")
    end

    for {what, source} <- [
          {"a class whose module raises",
           "class Meta(type):\n    __module__ = property(lambda c: 1 / 0)\n" <>
             "class NAME(Exception, metaclass=Meta): pass"},
          {"a class that cannot be hashed",
           "class Meta(type):\n    __hash__ = None\nclass NAME(Exception, metaclass=Meta): pass"},
          {"a class that cannot be shown",
           "class Meta(type):\n    def __repr__(c): raise ValueError\n" <>
             "class NAME(Exception, metaclass=Meta): pass"},
          {"a class whose __getattribute__ raises",
           "class Meta(type):\n    def __getattribute__(c, n): raise ValueError\n" <>
             "class NAME(Exception, metaclass=Meta): pass"}
        ] do
      test "because it has #{what} is still an error" do
        name = define(unquote(source))
        assert {:error, %Error{} = error} = Python.exec("raise #{name}('the text')")
        assert is_binary(Exception.message(error))
        assert Python.eval("1 + 1") == {:ok, 2}
      end
    end

    test "because its class pretends to be another is still what it is" do
      name =
        define("""
        class Meta(type):
            def __hash__(cls): return hash(ValueError)
            def __eq__(cls, other): return True
        class NAME(Exception, metaclass=Meta): pass
        """)

      assert %{type: ^name, builtin: false} = error("raise #{name}('a')")
    end

    test "because it cannot be made is the exception of its making" do
      name = define("class NAME(Exception):\n    def __init__(self, a, b): pass")
      assert %{type: "TypeError", message: message} = error("raise #{name}")
      assert message =~ "required positional argument"
    end

    test "because it is none is a TypeError" do
      assert %{type: "TypeError"} = error("raise 5")
      assert %{type: "TypeError"} = error("raise ValueError from 5")
    end
  end

  describe "Exception.message/1" do
    test "does not depend on what the error's class does later" do
      name = define("class NAME(Exception): pass")
      error = error("raise #{name}('a')")
      Python.exec!("#{name}.__str__ = lambda self: 1 / 0")
      assert Exception.message(error) =~ "#{name}: a"
    end
  end

  test "an error can be inspected, printed and sent" do
    error = error("raise ValueError('a')")
    assert inspect(error) =~ "ValueError"
    assert Exception.format(:error, error) =~ "ValueError: a"
    assert Task.await(Task.async(fn -> error.message end)) == "a"
  end
end
