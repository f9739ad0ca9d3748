defmodule Python.Calls.ExecTest do
  use Python.EngineCase, async: true

  describe "statements" do
    test "are executed" do
      assert Python.exec("pass") == :ok
      assert Python.exec("") == :ok
      assert Python.exec!("x = 1\n\n# done") == :ok
    end

    test "define names that later calls see, from every process" do
      name =
        define("""
        def NAME(x):
            return x * 2
        """)

      assert Python.call(:__main__, name, [5]) == {:ok, 10}
      assert Python.eval("#{name}(6)") == {:ok, 12}
      assert Task.await(Task.async(fn -> Python.call!(:__main__, name, [7]) end)) == 14
    end

    test "may import, and the import stays" do
      assert Python.exec("import string") == :ok
      assert Python.eval("string.digits") == {:ok, "0123456789"}
    end

    test "may define classes and functions that use each other" do
      name =
        define("""
        class NAME:
            total = 0
            def add(self, n):
                NAME.total += helper_NAME(n)
                return self
        def helper_NAME(n):
            return n * 10
        """)

      assert Python.eval("#{name}().add(1).add(2).total") == {:ok, 30}
    end

    test "run in __main__, whose globals are their locals" do
      name = define("NAME = (__name__, globals() is locals())")
      assert Python.eval(name) == {:ok, {"__main__", true}}
    end

    test "that were executed before are executed anew" do
      name = define("NAME = 0")
      for _ <- 1..5, do: Python.exec!("#{name} += 1")
      assert Python.eval(name) == {:ok, 5}
    end

    test "may be many" do
      name = unique()
      code = Enum.map_join(1..20_000, "\n", &"#{name} = #{&1}")
      assert Python.exec(code) == :ok
      assert Python.eval(name) == {:ok, 20_000}
    end

    test "may have Windows line ends and tabs" do
      name = define("def NAME():\r\n\tx = 1\r\n\treturn x\r\n")
      assert Python.call(:__main__, name) == {:ok, 1}
    end

    test "may begin with a byte order mark or a coding line" do
      assert Python.exec("# -*- coding: utf-8 -*-\nx = 'ß'") == :ok
    end

    test "may use annotations of the future without changing other code" do
      assert Python.exec("from __future__ import annotations") == :ok
      name = define("def NAME(x: 1 + 1): pass")
      assert Python.eval("#{name}.__annotations__['x']") == {:ok, 2}
    end

    test "run up to the one that fails" do
      name = unique()

      assert {:error, %Python.Error{type: "ZeroDivisionError"}} =
               Python.exec("#{name} = 1\n1 / 0\n#{name} = 2")

      assert Python.eval(name) == {:ok, 1}
    end

    test "with a syntax error are not run at all" do
      name = unique()
      assert {:error, %Python.Error{type: "SyntaxError"}} = Python.exec("#{name} = 1\n)")
      assert {:error, %Python.Error{type: "NameError"}} = Python.eval(name)
    end

    test "that are indented badly are an IndentationError" do
      assert {:error, %Python.Error{type: "IndentationError"}} = Python.exec("if 1:\nx = 1")
      assert {:error, %Python.Error{type: "IndentationError"}} = Python.exec("  x = 1")

      assert {:error, %Python.Error{type: "TabError"}} =
               Python.exec("if 1:\n\tx = 1\n        y = 1")
    end

    test "with a NUL in them are an error" do
      assert {:error, %Python.Error{type: type}} = Python.exec("x = 1\0")
      assert type in ["ValueError", "SyntaxError"]
    end

    test "that are no text are an error" do
      assert {:error, %Python.EncodeError{place: "code"}} = Python.exec(<<"x = '", 255, "'">>)
    end

    test "may not return or yield or await outside of a function" do
      # On event loops await may stand there.
      awaiting = if Python.Engines.current() == :asyncio, do: [], else: ["await x"]

      for code <- ["return 1", "yield 1"] ++ awaiting do
        assert {:error, %Python.Error{type: "SyntaxError"}} = Python.exec(code)
      end
    end
  end

  test "an expression's value is dropped" do
    assert Python.exec("1 + 1") == :ok
  end

  test "the options are :timeout and :pool" do
    assert Python.exec("pass", timeout: 5_000, pool: Python.Pool) == :ok
    assert_raise ArgumentError, ~r/:return/, fn -> Python.exec("pass", return: :value) end
    assert_raise ArgumentError, ~r/:kwargs/, fn -> Python.exec("pass", kwargs: %{}) end
  end

  test "code that is no string is refused" do
    for code <- [nil, :code, ~c"pass", 5] do
      assert_raise ArgumentError, ~r/expected Python code, a string, got: /, fn ->
        Python.exec(code)
      end
    end
  end

  test "exec! raises the exception" do
    assert_raise Python.Error, ~r/NameError/, fn -> Python.exec!("no_such_name_here") end
  end
end
