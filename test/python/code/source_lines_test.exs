defmodule Python.Code.SourceLinesTest do
  # Code that came as text shows its lines wherever Python shows any.
  use Python.EngineCase, async: true

  @file_name Path.expand("../../support/python/shows_itself.py", __DIR__)
  @program File.read!(@file_name)

  # What the program sees of itself when Python runs the file.
  defp plain do
    code =
      "import runpy; r = runpy.run_path(#{inspect(@file_name)}, run_name='__main__'); print(r['results'])"

    # `runpy` is how plain Python runs a file, but for a class it needs the file's name in `__main__`.
    script = "import __main__; __main__.__file__ = #{inspect(@file_name)}; " <> code
    {output, 0} = System.cmd(Python.Engines.python(), ["-c", script], stderr_to_stdout: true)
    output |> String.trim() |> String.split("\n") |> List.last()
  end

  defp context do
    context = start_context()
    context
  end

  describe "a program given to exec shows the source that it shows as a file" do
    test "without a name" do
      context = context()
      assert Python.exec(@program, context: context) == :ok
      assert Python.eval!("str(results)", context: context) == plain()
    end

    test "with a name that is no file's, further down" do
      context = context()
      name = "#{unique("no_such_file")}.ex"
      assert Python.exec(@program, context: context, file: name, line: 101) == :ok
      assert [source, 111] = Python.eval!("list(results['function'])", context: context)
      assert hd(source) == "def function(x):\n"

      assert Python.eval!("inspect.getsourcefile(Bare), inspect.getfile(Plain)", context: context) ==
               {name, name}

      assert Python.exec(
               "r = {k: v[0] if type(v) is tuple else v for k, v in results.items() if k not in ('lines', 'warning')}",
               context: context
             ) == :ok

      shown = Python.eval!("str(r)", context: context)
      other = context()
      assert Python.exec(@program, context: other) == :ok

      assert Python.exec(
               "r = {k: v[0] if type(v) is tuple else v for k, v in results.items() if k not in ('lines', 'warning')}",
               context: other
             ) == :ok

      assert shown == Python.eval!("str(r)", context: other)
    end
  end

  describe "the lines of code" do
    test "are in what logging and traceback make of an exception, and in an error's frames" do
      name =
        define(
          "import traceback\ndef NAME():\n    try:\n        return 1 / 0  # here\n    except Exception:\n        return traceback.format_exc()"
        )

      assert Python.call!(:__main__, name) =~ "    return 1 / 0  # here\n"
      failing = define("def NAME(n):\n    # a comment\n    return 1 / n")
      assert {:error, error} = Python.call(:__main__, failing, [0])
      assert [%{line: 3, code: "return 1 / n"}] = error.frames
      assert Exception.message(error) =~ "    return 1 / n"
    end

    test "are those of the code that was run, where functions call each other" do
      first = define("def NAME(f):\n    # first\n    return f()")
      second = define("def NAME():\n    # second\n    # second\n    raise ValueError")
      assert {:error, error} = Python.exec("#{first}(\n#{second})")

      assert ["NAME(", "return f()", "raise ValueError"] =
               for(frame <- error.frames, do: String.replace(frame.code, ~r/made_\d+/, "NAME"))
    end

    test "of the same text are the same, as often as it is run" do
      for _ <- 1..3 do
        assert {:error, error} = Python.exec("x = 1\nraise ValueError(x)")
        assert [%{line: 2, code: "raise ValueError(x)"}] = error.frames
      end
    end

    test "may have form feeds and other line ends of Unicode in them" do
      assert {:error, error} = Python.exec("a = '\u2028'\nb = '\u0085'\nc = 1\n1 / 0")
      assert [%{line: 4, code: "1 / 0"}] = error.frames
      assert {:error, error} = Python.exec("a = 1\f\n1 / 0")
      assert [%{line: 2, code: "1 / 0"}] = error.frames
    end

    test "have file names that are no files" do
      assert {:error, %{frames: [%{file: file}]}} = Python.eval("1 / 0")
      refute File.exists?(file)
      assert file =~ ~r/^<.*>$/
    end

    test "stay while a function lives, however much comes after it" do
      name = define("def NAME():\n    return 'its own line'")
      failing = define("def NAME(n):\n    return 1 / n")
      for n <- 1..3_000, do: Python.eval!("#{n} + #{unique() |> String.length()}")

      assert {:error, error} = Python.call(:__main__, failing, [0])
      assert [%{line: 2, code: "return 1 / n"}] = error.frames
      assert Exception.message(error) =~ "    return 1 / n"

      assert Python.eval!("__import__('inspect').getsource(#{name})") ==
               "def #{name}():\n    return 'its own line'\n"

      assert {:ok, "    return" <> _} =
               Python.eval("__import__('linecache').getline(#{name}.__code__.co_filename, 2)")
    end

    test "go when the code has gone" do
      Python.exec!("import gc, linecache")
      mark = unique("gone")
      for n <- 1..6_000, do: Python.exec!("#{mark} = #{n}")

      kept =
        Python.eval!(
          "sum(1 for e in list(linecache.cache.values()) if len(e) == 4 and any(m in l for l in e[2][:1]))",
          %{m: mark}
        )

      # The kept code, and as much again until the next sweep.
      assert kept < 3_000
    end

    test "of lambdas, of eval and with variables" do
      made = Python.eval!("[lambda x: x + 1, lambda y: y][0]", %{}, return: :object)
      assert Python.call!(:inspect, :getsource, [made]) == "[lambda x: x + 1, lambda y: y][0]\n"
      made = Python.eval!("lambda x: x + n", %{n: 1}, return: :object)
      assert Python.call!(:inspect, :getsource, [made]) == "lambda x: x + n\n"
    end

    test "of a class that is defined again are the last" do
      name = define("class NAME:\n    first = 1")
      Python.exec!("class #{name}:\n    second = 2")
      assert Python.eval!("__import__('inspect').getsource(#{name})") =~ "second"
    end
  end

  describe "the options :file and :line" do
    test "say where code stands: in tracebacks, errors and timeouts" do
      for run <- [
            fn -> Python.exec("x = 1\n1 / 0", file: "lib/some.ex", line: 7) end,
            fn -> Python.eval("\n1 / 0", file: "lib/some.ex", line: 7) end,
            fn -> Python.eval("\n1 / x", %{x: 0}, file: "lib/some.ex", line: 7) end
          ] do
        assert {:error, error} = run.()
        assert [%{file: "lib/some.ex", line: 8, code: "1 / " <> _}] = error.frames
        assert Exception.message(error) =~ ~s(File "lib/some.ex", line 8, in <module>\n    1 / )
      end

      # It is told within 25 ms or not at all, and the processors may have others to serve.
      eventually("a timeout says where the code was", fn ->
        options = [file: "lib/some.ex", line: 40, timeout: 50]

        assert {:error, %Python.TimeoutError{} = error} =
                 Python.exec("import time\n\ntime.sleep(20)", options)

        Exception.message(error) =~ ~r"lib/some.ex.*42"
      end)
    end

    test "say where a syntax error is, whether the compiler or the parser finds it" do
      for code <- ["x = (\n", "return 1", "def f():\n  x = 1\n  global x", "f(**{}, *a)"] do
        assert {:error, at_one} = Python.exec(code)
        assert {:error, further} = Python.exec(code, file: "lib/some.ex", line: 100)
        assert at_one.type == "SyntaxError"

        assert Python.getattr!(further.value, :lineno) ==
                 Python.getattr!(at_one.value, :lineno) + 99

        assert Python.getattr!(further.value, :text) == Python.getattr!(at_one.value, :text)
        assert Python.getattr!(further.value, :filename) == "lib/some.ex"
      end
    end

    test "say where a warning is, of the compiler too" do
      name = unique("file")

      assert Python.exec(
               """
               import warnings
               with warnings.catch_warnings(record=True) as caught:
                   warnings.simplefilter("always")
                   exec(compile("1", "x", "exec"))
                   warnings.warn("old")
               place = caught[0].filename, caught[0].lineno
               """,
               file: name,
               line: 11,
               context: context = context()
             ) == :ok

      assert Python.eval("place", context: context) == {:ok, {name, 15}}
    end

    test "may be given one without the other" do
      assert {:error, error} = Python.eval("1 / 0", line: 3)
      assert [%{file: "<eval" <> _, line: 3, code: "1 / 0"}] = error.frames
      assert {:error, error} = Python.exec("1 / 0", file: "a.ex")
      assert [%{file: "a.ex", line: 1, code: "1 / 0"}] = error.frames
    end

    test "are for streams of expressions too, and the same code at two places is at both" do
      for line <- [5, 6, 5] do
        stream =
          Python.stream_eval("(1 / (n - 1) for n in range(2))", %{}, file: "s.ex", line: line)

        error = assert_raise Python.Error, fn -> Enum.to_list(stream) end
        assert [%{file: "s.ex", line: ^line}] = error.frames
      end
    end

    @tag :tmp_dir
    test "of a file that is there shows the file's lines, and of pieces of one file each its own",
         %{tmp_dir: dir} do
      file = Path.join(dir, "there.py")
      File.write!(file, "a = 1\ndef f():\n    return a\n")
      context = context()
      assert Python.exec(File.read!(file), file: file, context: context) == :ok

      assert Python.eval("__import__('inspect').getsource(f)", context: context) ==
               {:ok, "def f():\n    return a\n"}

      source = Path.join(dir, "module.ex")
      File.write!(source, String.duplicate("# Elixir\n", 50))

      assert Python.exec("def one():\n    return 1", file: source, line: 10, context: context) ==
               :ok

      assert Python.exec("def two():\n    return 2\nclass Two:\n    pass",
               file: source,
               line: 20,
               context: context
             ) == :ok

      for {name, text} <- [
            one: "def one():\n    return 1\n",
            two: "def two():\n    return 2\n",
            Two: "class Two:\n    pass\n"
          ] do
        assert Python.eval("__import__('inspect').getsource(#{name})", context: context) ==
                 {:ok, text}
      end
    end

    test "that are invalid are refused in the caller" do
      for {options, text} <- [
            {[file: :nofile], "the option :file to be the name of the file"},
            {[file: ""], "got: \"\""},
            {[file: "a\0"], "the option :file"},
            {[file: ~c"a"], "got: 'a'"},
            {[line: 0], "from 1 to 1000000, got: 0"},
            {[line: "1"], "the option :line to be the number"},
            {[line: 1.0], "got: 1.0"}
          ],
          run <- [
            &Python.exec("1", &1),
            &Python.eval("1", &1),
            &Python.eval("1", %{}, &1),
            &Python.stream_eval("[]", %{}, &1)
          ] do
        error = assert_raise ArgumentError, fn -> run.(options) end
        assert Exception.message(error) |> String.replace("~c\"a\"", "'a'") =~ text
      end

      assert_raise ArgumentError, ~r/:file/, fn -> Python.call(:math, :sqrt, [1], file: "a") end
    end
  end
end
