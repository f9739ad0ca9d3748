defmodule Python.Calls.EvalTest do
  use Python.EngineCase, async: true

  describe "an expression" do
    test "gives its value" do
      assert Python.eval("sum(range(10))") == {:ok, 45}
      assert Python.eval!("'a' * 3") == "aaa"
    end

    test "may have spaces and line breaks around it, and inside of parentheses" do
      assert Python.eval("  1 + 1") == {:ok, 2}
      assert Python.eval("\t\n 1 + 1\n\n") == {:ok, 2}
      assert Python.eval("(1 +\n 1)") == {:ok, 2}
    end

    test "may have a comment" do
      assert Python.eval("1 + 1 # two") == {:ok, 2}
    end

    test "may be long" do
      code = "[" <> String.duplicate("1,", 100_000) <> "]"
      assert {:ok, list} = Python.eval(code)
      assert length(list) == 100_000
    end

    test "sees what exec has defined and what is built in" do
      name = define("NAME = 21")
      assert Python.eval("#{name} * 2") == {:ok, 42}
      assert Python.eval("__name__") == {:ok, "__main__"}
    end

    test "can import" do
      assert Python.eval("__import__('math').floor(2.5)") == {:ok, 2}
    end

    test "that was evaluated before is evaluated anew" do
      name = define("NAME = iter(range(3))")
      assert for(_ <- 1..3, do: Python.eval!("next(#{name})")) == [0, 1, 2]
    end

    test "that is a statement, or nothing, is a SyntaxError" do
      for code <- ["x = 1", "import os", "pass", "", "  ", "1;2", "\n#\n", "for x in y: z"] do
        assert {:error, %Python.Error{type: type}} = Python.eval(code)
        assert type in ["SyntaxError", "IndentationError"]
      end
    end

    test "with a NUL in it is an error" do
      assert {:error, %Python.Error{type: type}} = Python.eval("1\0")
      assert type in ["ValueError", "SyntaxError"]
    end

    test "that is no text is an error" do
      assert {:error, %Python.EncodeError{place: "code"} = error} = Python.eval(<<"'", 255, "'">>)
      assert Exception.message(error) =~ "UTF-8"
    end

    test "may be in any script" do
      assert Python.eval("'日本語' + 'ß' + '🐍'") == {:ok, "日本語ß🐍"}
      assert Python.eval("größe * 2", %{größe: 2}) == {:ok, 4}
    end

    test "that is nested without end is an error" do
      for code <- [
            String.duplicate("(", 10_000) <> String.duplicate(")", 10_000),
            String.duplicate("[", 100_000)
          ] do
        assert {:error, %Python.Error{type: type}} = Python.eval(code)
        assert type in ["SyntaxError", "MemoryError", "RecursionError"]
      end
    end
  end

  describe "variables" do
    test "are named by atoms or strings" do
      assert Python.eval("a + b", %{:a => 1, "b" => 2}) == {:ok, 3}
    end

    test "may be many" do
      vars = for n <- 1..500, into: %{}, do: {"v#{n}", n}
      code = Enum.map_join(1..500, "+", &"v#{&1}")
      assert Python.eval(code, vars) == {:ok, Enum.sum(1..500)}
    end

    test "are seen in lambdas, comprehensions and generator expressions" do
      assert Python.eval("[x * n for x in range(3)]", %{n: 10}) == {:ok, [0, 10, 20]}
      assert Python.eval("sum(x * n for x in range(3))", %{n: 10}) == {:ok, 30}
      assert Python.eval("(lambda x: x * n)(3)", %{n: 10}) == {:ok, 30}
      assert Python.eval("list(map(lambda x: x + n, xs))", %{n: 1, xs: [1, 2]}) == {:ok, [2, 3]}
    end

    test "hide what __main__ and the builtins have of their names" do
      name = define("NAME = 'main'")
      assert Python.eval(name, %{name => "var"}) == {:ok, "var"}
      assert Python.eval("len", %{len: 1}) == {:ok, 1}
    end

    test "do not stay in __main__" do
      name = unique()
      assert Python.eval("#{name} + 1", %{name => 1}) == {:ok, 2}
      assert {:error, %Python.Error{type: "NameError"}} = Python.eval(name)
      assert Python.eval("'#{name}' in globals()") == {:ok, false}
    end

    test "leave what __main__ has of their names as it is" do
      name = define("NAME = 'main'")
      assert Python.eval(name, %{name => "var"}) == {:ok, "var"}
      assert Python.eval(name) == {:ok, "main"}
    end

    test "let the expression see the rest of __main__" do
      name = define("NAME = 40")
      assert Python.eval("#{name} + n", %{n: 2}) == {:ok, 42}
    end

    test "may differ from one evaluation to the next" do
      for n <- 1..20, do: assert(Python.eval("n * 2", %{n: n}) == {:ok, n * 2})
      assert Python.eval("n * m", %{n: 2, m: 3}) == {:ok, 6}
      assert {:error, %Python.Error{type: "NameError"}} = Python.eval("n * m", %{n: 2})
    end

    test "may be objects" do
      counter = Python.call!(:collections, :Counter, ["aab"], return: :object)
      assert Python.eval("c['a']", %{c: counter}) == {:ok, 2}
    end

    test "that are no identifiers are an error, and nothing is run" do
      for name <- ["", "a b", "1a", "a.b", "a, b", "x=1", "class", "None", "*a", "a: 1", "\0"] do
        assert {:error, %Python.Error{}} = Python.eval("1", %{name => 1})
      end

      assert {:error, error} = Python.eval("1", %{<<255>> => 1})
      assert is_exception(error)
    end

    test "that are the same name twice are an error" do
      assert {:error, %Python.Error{type: "SyntaxError"}} = Python.eval("a", %{:a => 1, "a" => 2})
    end

    test "that cannot become Python values are an EncodeError with their name" do
      assert {:error, %Python.EncodeError{} = error} = Python.eval("x", %{x: [1, <<1::3>>]})
      assert Exception.message(error) =~ "variable x"
      assert error.path == "[1]"
    end

    test "that are no map are refused" do
      for vars <- [1, "n", ~D[2024-01-01], {:a, 1}] do
        assert_raise ArgumentError, fn -> Python.eval("1", vars) end
      end

      assert_raise ArgumentError, fn -> Python.eval("1", %{1 => 2}) end
    end
  end

  describe "options" do
    test "may come in the place of variables" do
      assert Python.eval("1 + 1", timeout: 5_000) == {:ok, 2}
      assert {:ok, %Python.Object{}} = Python.eval("1", return: :object)
    end

    test "come after variables" do
      assert {:ok, %Python.Object{}} = Python.eval("n", %{n: 1}, return: :object)
    end

    test "of a call are not all those of an evaluation" do
      assert_raise ArgumentError, ~r/unknown option :kwargs/, fn ->
        Python.eval("1", kwargs: %{})
      end
    end
  end

  test "code that is no string is refused" do
    for code <- [nil, :code, ~c"1 + 1", 5, [1]] do
      assert_raise ArgumentError, ~r/expected Python code, a string, got: /, fn ->
        Python.eval(code)
      end
    end
  end

  test "eval! raises the exception" do
    assert_raise Python.Error, ~r/ZeroDivisionError/, fn -> Python.eval!("1 / 0") end
  end

  test "what a walrus assigns is there afterwards, as in Python" do
    name = unique()
    assert Python.eval("(#{name} := 5) + 1") == {:ok, 6}
    assert Python.eval(name) == {:ok, 5}
  end
end
