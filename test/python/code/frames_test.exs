defmodule Python.Code.FramesTest do
  # A call from Elixir is to Python as if it stood in `__main__`.
  use Python.EngineCase, async: true

  # What plain Python prints for calls in `__main__`.
  defp plain(calls) do
    code =
      "import builtins, collections, enum, inspect, sys, typing, warnings, logging\nhere = 1\n" <>
        Enum.map_join(calls, "\n", &"print(#{&1})")

    {output, 0} = System.cmd(Python.Engines.python(), ["-c", code], stderr_to_stdout: true)
    String.split(output, "\n", trim: true)
  end

  # How many frames a thread has below those of calls. An event loop's are asyncio's and this package's.
  defp below do
    case Python.Engines.current() do
      :main -> 0
      :process -> 1
      :asyncio -> 1 + Enum.count(Python.call!(:inspect, :stack), &of_loop?(elem(&1, 1)))
    end
  end

  defp of_loop?(file),
    do: file =~ ~r{/(asyncio|uvloop)/\w+\.pyx?$} or String.ends_with?(file, "/erlang/_loop.py")

  defp context(options \\ []) do
    context = start_context(options)
    context
  end

  # Each way that a call gets to Python: by a worker, in the caller's process, nested, in a context.
  defp everywhere(call) do
    context = context(init: "here = 1")

    for options <- [[], [timeout: :infinity], [context: context]] do
      call.(options)
      Python.eval!("f()", %{f: fn -> call.(options) end}, Keyword.take(options, [:context]))
    end
  end

  describe "builtins that look at their caller" do
    test "evaluate and execute in __main__" do
      name = define("NAME = 41")

      everywhere(fn options ->
        assert Python.call(:builtins, :eval, ["1 + 1"], options) == {:ok, 2}
        assert Python.call(:builtins, :eval, ["__name__"], options) == {:ok, "__main__"}
        assert Python.call(:builtins, :exec, ["made_by_exec = 5"], options) == {:ok, nil}
        assert Python.eval("made_by_exec", options) == {:ok, 5}
      end)

      assert Python.call(:builtins, :eval, ["#{name} + 1"]) == {:ok, 42}

      assert {:error, %{type: "NameError"}} =
               Python.call(:builtins, :eval, [name], context: context())
    end

    test "give the names of __main__" do
      everywhere(fn options ->
        for function <- [:globals, :locals, :vars] do
          names = Python.call!(:builtins, function, [], [return: :object] ++ options)
          assert Python.getitem!(names, "__name__") == "__main__"
          assert Python.eval!("n is globals()", %{n: names}, Keyword.take(options, [:context]))
        end

        assert "__name__" in Python.call!(:builtins, :dir, [], options)
      end)
    end

    test "work in a map, in a stream, and with __import__" do
      assert Python.map(:builtins, :eval, [["1"], ["__name__"]]) == {:ok, [1, "__main__"]}
      assert :builtins |> Python.stream(:eval, ["[1, 2]"]) |> Enum.to_list() == [1, 2]
      assert Python.type(Python.call!(:builtins, :__import__, ["json"])) == "module"
      assert Python.call!(:builtins, :compile, ["1", "x", "eval"]) |> Python.type() == "code"
    end
  end

  describe "what looks for a frame finds one" do
    test "as in plain Python" do
      calls = [
        "sys._getframe().f_globals['__name__']",
        "collections.namedtuple('Point', ['x']).__module__",
        "typing.NamedTuple('Named', [('x', int)]).__module__",
        "enum.Enum('Colour', ['RED']).__module__",
        "len(inspect.stack())",
        "inspect.stack()[0].function",
        "inspect.currentframe().f_code.co_name"
      ]

      expected = plain(calls)

      everywhere(fn options ->
        frame = Python.call!(:sys, :_getframe, [], options)
        place = Keyword.take(options, [:context])
        int = Python.eval!("int", %{}, [return: :object] ++ place)

        got = [
          Python.getattr!(frame, "f_globals", return: :object) |> Python.getitem!("__name__"),
          module(Python.call!(:collections, :namedtuple, ["Point", ["x"]], options)),
          module(Python.call!(:typing, :NamedTuple, ["Named", [{"x", int}]], options)),
          module(Python.call!(:enum, :Enum, ["Colour", ["RED"]], options))
        ]

        assert got == Enum.take(expected, 4)
        assert Python.getattr!(Python.getattr!(frame, :f_code), :co_name) == List.last(expected)
      end)

      # The function itself is in its stack, as in plain Python.
      stack = Python.call!(:inspect, :stack)
      assert to_string(length(stack) - below()) == Enum.at(expected, 4)
      {_calls, below} = Enum.split(stack, String.to_integer(Enum.at(expected, 4)))
      assert Enum.all?(below, &(of_loop?(elem(&1, 1)) or elem(&1, 3) == "<module>"))
      assert elem(Enum.at(stack, length(stack) - length(below) - 1), 3) == "<module>"
      current = Python.call!(:inspect, :currentframe)

      assert Python.getitem!(
               Python.eval!("f.f_globals", %{f: current}, return: :object),
               "__name__"
             ) == "__main__"
    end

    test "where a function looks at its caller's" do
      name =
        define(
          "def NAME(level=1):\n    import sys\n    frame = sys._getframe(level)\n    return frame.f_code.co_name, frame.f_globals is globals(), frame.f_locals is globals()"
        )

      assert Python.call(:__main__, name) == {:ok, {"<module>", true, true}}

      assert Python.call(:__main__, name, [], timeout: :infinity) ==
               {:ok, {"<module>", true, true}}

      assert {:error, %{type: "ValueError"}} = Python.call(:__main__, name, [2 + below()])
    end

    test "and warnings are those of __main__" do
      name =
        define(
          "def NAME():\n    import warnings\n    warnings.warn('old', DeprecationWarning, stacklevel=2)"
        )

      catcher =
        define(
          "class NAME:\n    def __init__(self):\n        import warnings\n        self.w = warnings.catch_warnings(record=True)\n    def run(self, f):\n        with self.w as caught:\n            __import__('warnings').simplefilter('always')\n            f()\n        return [(w.category.__name__, str(w.message)) for w in caught]"
        )

      assert Python.eval("#{catcher}().run(#{name})") == {:ok, [{"DeprecationWarning", "old"}]}

      assert {:ok, nil} =
               Python.call(:warnings, :warn, ["said", Python.eval!("DeprecationWarning"), 1])
    end

    test "a nested call does not stand in the code that waits" do
      name = define("def NAME(f):\n    local = 'of the waiting code'\n    return f()")
      f = fn -> {Python.call!(:builtins, :dir, []), Python.eval!("'local' in dir()")} end
      {names, seen} = Python.call!(:__main__, name, [f])
      refute "local" in names
      refute seen
    end
  end

  @tag blocks: "a plain function waits for Elixir"
  test "a frame that outlives its call does no harm" do
    frame = Python.call!(:sys, :_getframe)

    stand =
      Python.eval!("[c for c in f.f_code.co_consts if type(c).__name__ == '_Stand'][0]", %{
        f: frame
      })

    assert Python.getattr(stand, :inside) == {:ok, nil}
    assert Python.eval("exec(f.f_code)", %{f: frame}) == {:ok, nil}
    assert Python.call(:math, :sqrt, [16]) == {:ok, 4.0}
  end

  test "a call that runs past its timeout in a C function is not said to be in a line of code" do
    assert {:error, %Python.TimeoutError{} = error} =
             Python.call(:time, :sleep, [30], timeout: 50)

    assert error.location == nil
    refute Exception.message(error) =~ "Python was at"
  end

  defp module(cls), do: Python.getattr!(cls, :__module__)
end
