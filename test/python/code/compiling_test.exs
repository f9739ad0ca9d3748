defmodule Python.Code.CompilingTest do
  # What comes of compiling code while other threads compile.
  use Python.EngineCase, async: true

  test "a failure of CPython's that passes is not the caller's" do
    # As CPython 3.11 fails where the threads that compile disturb each other.
    name = unique("compiling")

    Python.exec!("""
    import builtins, sys
    def #{name}():
        code = sys.modules["erlang._code"]
        left = [3]
        def disturbed(source, *args, **kwargs):
            if "#{name}_of_test" in str(source) and left[0]:
                left[0] -= 1
                raise SystemError("AST constructor recursion depth mismatch (before=12, after=62)")
            return builtins.compile(source, *args, **kwargs)
        code.compile = disturbed
        return left
    """)

    left = Python.call!(:__main__, name, [], return: :object)
    assert Python.eval!("#{name}_of_test + 1", %{"#{name}_of_test" => 1}) == 2
    assert Python.to_term!(left) == [0]
    Python.exec!("import sys; del sys.modules['erlang._code'].compile")
  end

  test "any other is" do
    assert {:error, %Python.Error{type: "SyntaxError"}} = Python.eval("1 +")
    assert {:error, %Python.Error{type: "SyntaxError"}} = Python.eval("x +", %{x: 1})
  end
end
