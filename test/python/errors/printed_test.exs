defmodule Python.Errors.PrintedTest do
  # The text of an error is what plain Python of the same version prints, however often the same was raised before, and
  # as it was when it was raised.
  use Python.EngineCase, async: true

  alias Python.{Error, FreshVM}

  @moduletag :tmp_dir

  # Bodies of modules whose `f` raises. Those with a version need a Python that knows what they use.
  @cases [
    {"an operator",
     """
     def f():
         a, b = 1, 0
         return (a +  2) / b + 1
     """},
    {"a wide line",
     """
     def f():
         return "日本語" + ("größer" * 2) + 1 / 0
     """},
    {"tabs and a comment", "def f():\n\tif True:\n\t\treturn {}['a']\t# here\n"},
    {"a call over many lines",
     """
     def g(*args):
         return args[0].missing(
             1,
             2,
         )
     def f():
         return g(
             1,
             [
                 2,
                 3,
             ],
             4,
             5,
         )
     """},
    {"one line that calls twice",
     """
     def g(n):
         return 1 / n
     def f():
         return g(1) + g(0)
     """},
    {"an attribute that is written wrongly",
     """
     class Tea:
         assam = 1
     def f():
         return Tea().asam
     """},
    {"a name that is written wrongly",
     """
     def f():
         quantity = 1
         return quantiti
     """},
    {"a module that nobody has imported", "def f():\n    return math.sqrt(1)\n"},
    {"a name that a module has not", "def f():\n    from collections import OrderdDict\n"},
    {"a line that is repeated three times",
     "def g(n):\n    return g(n - 1) if n else 1 / 0\ndef f():\n    return g(2)\n"},
    {"a line that is repeated four times",
     "def g(n):\n    return g(n - 1) if n else 1 / 0\ndef f():\n    return g(3)\n"},
    {"a line that is repeated five times",
     "def g(n):\n    return g(n - 1) if n else 1 / 0\ndef f():\n    return g(4)\n"},
    {"two functions that call each other",
     """
     def g(n):
         return h(n)
     def h(n):
         if n == 0: raise RecursionError('deep')
         return g(n - 1)
     def f():
         return g(50)
     """},
    {"functions of several names on one line",
     "g = lambda n: h(n - 1) if n else {}[1]; h = lambda n: g(n)\ndef f():\n    return g(5)\n"},
    {"a syntax error with a wide line",
     "def f():\n    compile('x = \"日本\" y +', 'some file.py', 'exec')\n"},
    {"an indentation", "def f():\n    exec('if 1:\\nx')\n"},
    {"code without source", "def f():\n    exec('def g():\\n  1 / 0\\ng()')\n"},
    {"code of a file that is not there",
     "def f():\n    exec(compile('\\n1 / 0', '/no/such/file.py', 'exec'))\n"},
    {"code of a file that is not there, by a relative name",
     "def f():\n    exec(compile('\\n1 / 0', 'a file of nobody', 'exec'))\n"},
    {"a text of several lines", "def f():\n    raise ValueError('one\\n  two\\n\\nthree\\n')\n"},
    {"no text", "def f():\n    raise ValueError('')\n"},
    {"a text that fails",
     """
     class E(Exception):
         def __str__(self): return 5
     def f():
         raise E('x')
     """},
    {"a class of a function's",
     """
     def f():
         class E(Exception): pass
         raise E('x')
     """},
    {"an exception that is raised again",
     """
     def f():
         try:
             try:
                 1 / 0
             except ZeroDivisionError as e:
                 kept = e
                 raise
         except ZeroDivisionError:
             raise kept
     """},
    {"an exception that is kept and raised again and again",
     "KEPT = ValueError('x')\ndef g():\n    raise KEPT\ndef f():\n    KEPT.__traceback__ = None\n    g()\n"},
    {"a chain",
     """
     def g():
         try:
             1 / 0
         except ZeroDivisionError as e:
             raise KeyError('ß') from e
     def f():
         try:
             g()
         except KeyError:
             raise ValueError('x')
     """},
    {"a chain that is cut off",
     """
     def f():
         try:
             1 / 0
         except ZeroDivisionError:
             raise ValueError('x') from None
     """},
    {"a generator and a comprehension",
     """
     def g():
         yield [1 / n for n in (1, 0)]
     def f():
         return list(x for x in g())
     """},
    {"a long line",
     "def f():\n    return 1 / 0 + " <> Enum.map_join(1..2_000, " + ", &"#{&1}") <> "\n"},
    {"a decorator",
     """
     def d(g):
         def inner(*args, **kwargs):
             return g(*args, **kwargs)
         return inner
     @d
     @d
     def f():
         assert 1 == 2, 'no'
     """},
    {"a file that begins with a mark", "\uFEFFdef f():\n    return 1 / 0\n"},
    {"a file in another encoding", "# coding: latin-1\ndef f():\n    x = 'abc'; return 1 / 0\n"},
    {"form feeds", "def f():\n    x = 1\f\n    return 1 / 0\n"},
    {"OSError", "def f():\n    open('/no/such/file')\n"},
    {"SystemExit", "def f():\n    raise SystemExit(3)\n"},
    {"a fake traceback",
     """
     import types
     def f():
         try:
             1 / 0
         except ZeroDivisionError as e:
             t = e.__traceback__
             raise e.with_traceback(types.TracebackType(t, t.tb_frame, 0, 2))
     """},
    {"3.11", "notes",
     """
     def f():
         e = ValueError('a')
         e.add_note('one')
         e.add_note('two\\nlines')
         raise e
     """},
    {"3.11", "notes that are none",
     """
     def f():
         e = ValueError('a')
         e.__notes__ = 5
         raise e
     """},
    {"3.11", "a group",
     """
     def g(n):
         {}[n]
     def f():
         errors = []
         for n in range(3):
             try:
                 g(n)
             except KeyError as e:
                 errors.append(e)
         raise ExceptionGroup('several', [*errors, ExceptionGroup('inner', [OSError(1, 'x')])])
     """}
  ]

  # What plain Python prints for the exception of `f`, beginning where the code of `f` does.
  defp plain(dir, module) do
    script = """
    import sys, traceback
    sys.path.insert(0, #{inspect(dir)})
    import #{module}
    try:
        #{module}.f()
    except BaseException as e:
        text = ''.join(traceback.format_exception(type(e), e, e.__traceback__.tb_next))
        sys.stdout.buffer.write(text.encode('utf-8', 'backslashreplace'))
    """

    # As a file: Python 3.13 knows the lines of what is given by `-c`.
    file = Path.join(dir, "plain.py")
    File.write!(file, script)
    {text, 0} = System.cmd(Python.Engines.python(), [file])
    text
  end

  defp text(module) do
    assert {:error, %Error{} = error} = Python.call(module, :f)
    Exception.message(%{error | hint: nil})
  end

  for {version, what, source} <-
        Enum.map(@cases, &if(tuple_size(&1) == 2, do: {nil, elem(&1, 0), elem(&1, 1)}, else: &1)) do
    if version, do: @tag(python: version)

    test "the text is that of plain Python, again and again: #{what}", %{tmp_dir: dir} do
      module = write_module(dir, unquote(source))
      expected = dir |> plain(module) |> String.trim_trailing()
      for _ <- 1..3, do: assert(text(module) == expected)
    end
  end

  describe "the source lines are those of the moment:" do
    test "of a file that has changed meanwhile", %{tmp_dir: dir} do
      module = write_module(dir, "def f():\n    return 1 / 0  # before\n")
      file = Path.join(dir, module <> ".py")
      {:error, before} = Python.call(module, :f)
      assert Exception.message(before) =~ "return 1 / 0  # before"
      assert [%{code: "return 1 / 0  # before"}] = before.frames

      # As long, in the same second, and with another time all the same.
      File.write!(file, "def f():\n    return 1 / 0  # behind\n")
      assert text(module) =~ "return 1 / 0  # behind"
      assert text(module) == printed_by_python(module)

      File.write!(file, "# another line\ndef f():\n    return 1 / 0\n")
      assert text(module) == printed_by_python(module)
      assert {:error, %{frames: [%{line: 2, code: "def f():"}]}} = Python.call(module, :f)

      File.write!(file, "")
      assert text(module) == printed_by_python(module)
      assert {:error, %{frames: [%{line: 2, code: nil}]}} = Python.call(module, :f)

      File.rm!(file)
      assert text(module) == printed_by_python(module)
      assert text(module) == printed_by_python(module)

      File.write!(file, "def f():\n    return 1 / 0  # again\n")
      assert text(module) =~ "return 1 / 0  # again"

      # That of the first has not changed.
      assert Exception.message(before) =~ "return 1 / 0  # before"
    end

    test "of a cell of a notebook that is run again under its name", %{tmp_dir: dir} do
      module =
        write_module(dir, """
        import linecache
        def cell(text):
            lines = [line + '\\n' for line in text.split('\\n')]
            linecache.cache['<cell 1>'] = (len(text), None, lines, '<cell 1>')
            names = {}
            exec(compile(text, '<cell 1>', 'exec'), names)
            globals()['f'] = names['f']
        def rename(text):
            linecache.cache['<cell 1>'] = (len(text), None, [text], '<cell 1>')
        """)

      for text <- ["def f():\n    return 1 / 0", "# new\ndef f():\n    return [][1] / 2"] do
        Python.call!(module, :cell, [text])
        for _ <- 1..2, do: assert(text(module) == printed_by_python(module))
        assert text(module) =~ text |> String.split("\n") |> List.last()
      end

      Python.call!(module, :rename, ["a\nb\nc\n"])
      for _ <- 1..2, do: assert(text(module) == printed_by_python(module))
      Python.call!(:linecache, :clearcache)
      for _ <- 1..2, do: assert(text(module) == printed_by_python(module))
    end

    test "of code of ours, with another text under the same name" do
      for {code, line} <- [{"x = 1\n1 / 0", "1 / 0"}, {"y = 1\n[][5]", "[][5]"}], _ <- 1..2 do
        file = "lib/printed.ex"
        assert {:error, error} = Python.exec(code, file: file, line: 41)
        assert [%{file: ^file, line: 42, code: ^line}] = error.frames

        assert Exception.message(error) =~
                 "  File \"lib/printed.ex\", line 42, in <module>\n    #{line}\n"
      end
    end

    test "of code that has come and gone in the same place of memory" do
      for number <- 1..3_000 do
        code = "[0][#{number}] + #{rem(number, 7)}"
        assert {:error, %{frames: [%{code: ^code}]} = error} = Python.eval(code)
        assert Exception.message(error) =~ "    #{code}\n"
      end
    end

    test "of a module in an archive, which have no file", %{tmp_dir: dir} do
      module = unique("zipped")
      archive = Path.join(dir, "some.zip")
      source = "def f():\n    return 1 / 0  # zipped\n"
      {:ok, _} = :zip.create(String.to_charlist(archive), [{~c"#{module}.py", source}])
      Python.call!(:sys, "path.append", [archive])
      for _ <- 1..3, do: assert(text(module) == printed_by_python(module))
      assert text(module) =~ "return 1 / 0  # zipped"
    end

    test "of a pipe are none, and nothing waits for it", %{tmp_dir: dir} do
      pipe = Path.join(dir, "pipe")
      Python.call!(:os, :mkfifo, [pipe])
      code = "exec(compile('1 / 0', #{inspect(pipe)}, 'exec'))"

      for _ <- 1..2 do
        assert {:error, error} = Python.exec(code, timeout: 5_000)
        assert %{file: ^pipe, code: nil} = List.last(error.frames)
      end
    end
  end

  describe "where somebody has changed how Python prints," do
    test "errors are printed so", %{tmp_dir: dir} do
      vm = FreshVM.start()
      FreshVM.call(vm, Python, :call!, [:sys, "path.append", [dir]])
      File.write!(Path.join(dir, "printed_otherwise.py"), "def f():\n    return 1 / 0\n")

      text = fn ->
        {:error, error} = FreshVM.call(vm, Python, :call, [:printed_otherwise, :f])
        error.traceback
      end

      plain = text.()
      assert plain =~ "return 1 / 0"

      FreshVM.call(vm, Python, :exec!, ["import sys; sys.tracebacklimit = 0"])
      assert text.() == "ZeroDivisionError: division by zero\n"
      FreshVM.call(vm, Python, :exec!, ["del sys.tracebacklimit"])
      assert text.() == plain

      FreshVM.call(vm, Python, :exec!, [
        """
        import traceback
        before = traceback.TracebackException.format
        traceback.TracebackException.format = lambda self, **k: (s.upper() for s in before(self, **k))
        """
      ])

      assert text.() == String.upcase(plain)
      FreshVM.call(vm, Python, :exec!, ["traceback.TracebackException.format = before"])
      assert text.() == plain
    end
  end

  test "two modules whose code is equal show their own files and lines", %{tmp_dir: dir} do
    source = "def f():\n    return 1 / 0\n"

    for _ <- 1..2, module <- [write_module(dir, source), write_module(dir, source)] do
      assert text(module) == printed_by_python(module)
      assert text(module) =~ module
    end
  end

  test "more places than are remembered are right", %{tmp_dir: dir} do
    functions = for n <- 1..3_000, do: "def f#{n}(): return [0][#{n}]\n"
    module = write_module(dir, functions)

    for _ <- 1..2, n <- Enum.take_every(1..3_000, 2) do
      code = "def f#{n}(): return [0][#{n}]"
      assert {:error, %{frames: [%{code: ^code, line: ^n}]}} = Python.call(module, "f#{n}")
    end
  end
end
