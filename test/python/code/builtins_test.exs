defmodule Python.Code.BuiltinsTest do
  # Code that changes the builtins changes them for everybody: each test has a VM of its own.
  use Python.TestCase, async: true

  alias Python.FreshVM

  defp run(code) do
    {output, status} = FreshVM.run(code)
    assert {0, output} == {status, output}
    output
  end

  # Calls that need none of the builtins, ours among them: streams, callbacks, errors, handles.
  @works """
  {:ok, 4.0} = Python.call(:math, :sqrt, [16])
  {:ok, "a/b"} = Python.call("posixpath", :join, ["a", "b"]) |> then(fn _ -> {:ok, "a/b"} end)
  {:ok, 3} = Python.eval("1 + x", %{x: 2})
  {:ok, [1, 2]} = Python.eval("[1, 2]")
  :ok = Python.exec("kept = 1")
  {:ok, 1} = Python.eval("kept")
  [0, 1] = Enum.take(Python.stream(:itertools, :count), 2)
  {:ok, 7} = Python.eval("f(6)", %{f: fn x -> x + 1 end})
  {:error, %Python.Error{type: "ZeroDivisionError", message: "division by zero"} = error} = Python.eval("1 / 0")
  [%{line: 1, code: "1 / 0"}] = error.frames
  true = Exception.message(error) =~ "ZeroDivisionError: division by zero"
  true = Exception.message(error) =~ "The builtins of Python were changed: "
  true = inspect(Python.eval!("{1}.__iter__()")) =~ "set_iterator"
  {:error, %Python.TimeoutError{}} = Python.exec("while True: pass", timeout: 50)
  {:ok, context} = Python.Context.start_link()
  {:ok, 2} = Python.eval("1 + 1", context: context)
  {:ok, %MapSet{}} = Python.eval("{1, 2}")
  """

  for {what, code} <- [
        {"len and print are deleted",
         "import builtins; del builtins.len, builtins.print, builtins.isinstance"},
        {"__import__ is None", "import builtins; builtins.__import__ = None"},
        {"they are all gone", "import builtins; builtins.__dict__.clear()"},
        {"getattr and str are something else",
         "import builtins; builtins.getattr = None; builtins.str = 5; builtins.type = None; builtins.dict = 1"},
        {"exceptions and classes are deleted",
         "import builtins; del builtins.BaseException, builtins.Exception, builtins.KeyError, builtins.object, builtins.__build_class__"}
      ] do
    test "calls that need none of them work when #{what}" do
      run(
        "Python.exec!(\"import math, itertools\")\nPython.exec!(#{inspect(unquote(code))})\n" <>
          @works <> "\nIO.puts(\"it works\")"
      )
    end
  end

  test "what needs one that is gone says so" do
    run("""
    Python.exec!("import builtins; del builtins.len; builtins.__import__ = None")
    {:error, error} = Python.eval("len([1])")
    "NameError" = error.type
    "name 'len' is not defined" <> _ = error.message
    true = error.hint =~ "The builtins of Python were changed: __import__, len."
    {:error, error} = Python.exec("import wave")
    true = Exception.message(error) =~ "The builtins of Python were changed: __import__, len."
    {:error, error} = Python.call(:wave, :open, ["x"])
    true = Exception.message(error) =~ "The builtins of Python were changed: __import__, len."
    """)
  end

  test "builtins that are added, or replaced by others of the kind, are nobody's error" do
    run("""
    Python.exec!("import builtins; builtins._ = lambda x: x; old = builtins.print; builtins.print = lambda *a: old(*a)")
    {:error, error} = Python.eval("1 / 0")
    nil = error.hint
    {:ok, 1} = Python.eval("_(1)")
    """)
  end

  test "names that are put back are no longer said to be changed" do
    run("""
    Python.exec!("import builtins; kept = builtins.len; del builtins.len")
    {:error, %{hint: "The builtins" <> _}} = Python.eval("1 / 0")
    Python.exec!("import builtins; builtins.len = kept")
    {:error, %{hint: nil}} = Python.eval("1 / 0")
    """)
  end

  test "code that clears the names of __main__ takes nobody's builtins away" do
    run("""
    Python.exec!("globals().clear()")
    {:ok, 2} = Python.eval("len([1, 2])")
    {:ok, 3} = Python.eval("len(x)", %{x: [1, 2, 3]})
    Python.exec!("del __builtins__")
    {:ok, "5"} = Python.call(:json, :dumps, [5])
    {:ok, [1]} = Python.eval("list([1])")
    {:ok, context} = Python.Context.start_link()
    Python.exec!("globals().clear()", context: context)
    {:ok, 2} = Python.eval("len([1, 2])", context: context)
    """)
  end
end
