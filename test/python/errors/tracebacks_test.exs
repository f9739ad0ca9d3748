defmodule Python.Errors.TracebacksTest do
  use Python.EngineCase, async: true

  alias Python.Error

  @moduletag :tmp_dir

  defp assert_as_python_prints(module) do
    assert {:error, %Error{} = error} = Python.call(module, :f)
    assert Exception.message(error) == printed_by_python(module)
    error
  end

  describe "frames" do
    test "are those of the code, outermost first, with file, line, function and text", context do
      module =
        write_module(context.tmp_dir, """
        def f():
            return g(1)

        def g(n):
            x = n - 1
            return n / x
        """)

      file = Path.join(context.tmp_dir, module <> ".py")

      assert {:error, %Error{frames: frames}} = Python.call(module, :f)

      assert frames == [
               %{file: file, line: 2, function: "f", code: "return g(1)"},
               %{file: file, line: 6, function: "g", code: "return n / x"}
             ]
    end

    test "of code that came as text show its lines" do
      name =
        define("""
        def NAME(n):
            return 1 / n
        """)

      assert {:error, %Error{} = error} = Python.exec("x = 1\n#{name}(0)")

      assert [
               %{function: "<module>", line: 2, code: "NAME(0)"},
               %{function: "NAME", line: 2, code: "return 1 / n"}
             ] = for(frame <- error.frames, do: anonymous(frame, name))

      assert Exception.message(error) =~ "    return 1 / n"
      assert Exception.message(error) =~ "    #{name}(0)"
    end

    test "of an expression show it, with variables or without" do
      assert {:error, %Error{frames: [frame]} = error} = Python.eval("1 / 0")
      assert %{function: "<module>", line: 1, code: "1 / 0"} = frame
      assert Exception.message(error) =~ "    1 / 0"

      assert {:error, %Error{frames: [frame]} = error} = Python.eval("1 / n", %{n: 0})
      assert %{function: "<module>", line: 1, code: "1 / n"} = frame
      assert Exception.message(error) =~ "    1 / n"
    end

    test "have no text when there is none to show" do
      source = "exec(compile('def f():\\n  1 / 0\\nf()', 'no such file', 'exec'))"
      assert {:error, %Error{frames: frames}} = Python.exec(source)
      assert [%{code: "exec(" <> _}, %{file: "no such file", line: 3, code: nil} | _] = frames
    end

    test "of deep recursion are cut in the middle" do
      name = define("def NAME(n): return NAME(n + 1)")
      assert {:error, %Error{type: "RecursionError"} = error} = Python.call(:__main__, name, [0])
      assert length(error.frames) == 128
      assert byte_size(Exception.message(error)) < 10_000
    end

    test "of a module's own import machinery do not show", context do
      module = write_module(context.tmp_dir, "1 / 0")
      assert {:error, %Error{frames: frames}} = Python.call(module, :f)
      refute Enum.any?(frames, &(&1.file =~ "priv/python/erlang"))
      assert List.last(frames).code == "1 / 0"
    end

    defp anonymous(frame, name) do
      Map.new(frame, fn
        {key, text} when is_binary(text) -> {key, String.replace(text, name, "NAME")}
        pair -> pair
      end)
    end
  end

  describe "a chain of exceptions" do
    test "made with `from` is cause after cause" do
      code = """
      try:
          try:
              1 / 0
          except ZeroDivisionError as e:
              raise KeyError('b') from e
      except KeyError as e:
          raise ValueError('c') from e
      """

      assert {:error, %Error{type: "ValueError", link: :cause} = error} = Python.exec(code)
      assert %Error{type: "KeyError", message: "'b'", link: :cause} = error.cause
      assert %Error{type: "ZeroDivisionError", cause: nil, link: nil} = error.cause.cause
      assert [%{code: "1 / 0"}] = error.cause.cause.frames
    end

    test "made by raising while another is handled is a context" do
      code = "try: 1 / 0\nexcept ZeroDivisionError: {}['x']"
      assert {:error, %Error{type: "KeyError", link: :context} = error} = Python.exec(code)
      assert %Error{type: "ZeroDivisionError"} = error.cause
    end

    test "is not shown when it was suppressed" do
      code = "try: 1 / 0\nexcept ZeroDivisionError: raise ValueError('a') from None"
      assert {:error, %Error{type: "ValueError", cause: nil, link: nil}} = Python.exec(code)
    end

    test "may be a circle" do
      code = "a = ValueError('a'); b = ValueError('b')\na.__cause__ = b; b.__cause__ = a\nraise a"
      assert {:error, %Error{message: "a", cause: %Error{message: "b"}}} = Python.exec(code)
    end

    test "may be very long" do
      code = """
      def chain(link, length):
          made = None
          for n in range(length):
              new = ValueError(n)
              setattr(new, link, made)
              made = new
          raise made
      """

      name = define(String.replace(code, "chain", "NAME"))

      for link <- ["__cause__", "__context__"] do
        call = fn -> Python.call(:__main__, name, [link, 20_000]) end
        assert {:error, error} = call.()
        assert %Error{type: "ValueError", message: "19999", cause: %Error{}} = error
        assert Exception.message(error) =~ "ValueError: 19999"
        # The time that it takes does not grow with the length of the chain.
        assert fastest(3, call) < 1_000
      end
    end
  end

  describe "the message is what Python prints" do
    test "for one exception", %{tmp_dir: dir} do
      write_module(dir, """
      def g(x):
          return {}[x]
      def f():
          return g(
              'key')
      """)
      |> assert_as_python_prints()
    end

    test "for causes and contexts", %{tmp_dir: dir} do
      write_module(dir, """
      def a():
          raise ValueError("one\\ntwo")
      def b():
          try:
              a()
          except ValueError as e:
              raise KeyError('ß') from e
      def c():
          try:
              b()
          except KeyError:
              int('x')
      def f():
          try:
              c()
          finally:
              raise SystemExit(3)
      """)
      |> assert_as_python_prints()
    end

    test "for a suppressed context", %{tmp_dir: dir} do
      write_module(dir, """
      def f():
          try:
              1 / 0
          except ZeroDivisionError:
              raise ValueError('x') from None
      """)
      |> assert_as_python_prints()
    end

    test "for a class of another module", %{tmp_dir: dir} do
      write_module(dir, """
      class Outer:
          class Inner(Exception):
              pass
      def f():
          raise Outer.Inner(1, 2)
      """)
      |> assert_as_python_prints()
    end

    test "for an exception without text, and one with a broken one", %{tmp_dir: dir} do
      write_module(dir, """
      class E(Exception):
          def __str__(self): raise ValueError
      def f():
          try:
              raise ValueError
          except ValueError:
              raise E
      """)
      |> assert_as_python_prints()
    end

    test "for all exceptions of Python itself, whatever their text", %{tmp_dir: dir} do
      module =
        write_module(dir, """
        import builtins, traceback
        class Broken:
            def __str__(self): raise ValueError
            __repr__ = __str__
        texts = [(), ("",), ("None",), ("one\\ntwo",), (None,), (1, "two"), ("ß \\ud800",), (Broken(),)]
        # Python itself fails to print a SyntaxError whose text fails.
        names = [name for name, cls in vars(builtins).items()
                 if isinstance(cls, type) and issubclass(cls, BaseException) and not issubclass(cls, SyntaxError)]
        def f(name, which):
            raise getattr(builtins, name)(*texts[which])
        def printed(name, which):
            try:
                f(name, which)
            except BaseException as e:
                lines = traceback.format_exception(type(e), e, e.__traceback__.tb_next)
                return "".join(lines).encode("utf-8", "backslashreplace").decode()
        def all_printed():
            return {(name, which): printed(name, which) for name in names for which in range(len(texts))}
        """)

      {:ok, all} = Python.call(module, :all_printed)
      assert map_size(all) > 400

      for {{name, which}, printed} <- all do
        assert {:error, %Error{} = error} = Python.call(module, :f, [name, which])

        assert Exception.message(error) == String.trim_trailing(printed, "\n"),
               "#{name}, #{which}"
      end
    end

    test "for deep recursion", %{tmp_dir: dir} do
      write_module(dir, """
      def g(n):
          if n == 0:
              raise ValueError('deep')
          return g(n - 1)
      def f():
          g(300)
      """)
      |> assert_as_python_prints()
    end

    test "for a syntax error", %{tmp_dir: dir} do
      write_module(dir, """
      def f():
          compile("x = 1\\nif x\\n", "file.py", "exec")
      """)
      |> assert_as_python_prints()
    end

    test "for comprehensions, generators and lambdas", %{tmp_dir: dir} do
      write_module(dir, """
      def g():
          yield 1
          yield (lambda: [1 / x for x in (1, 0)])()
      def f():
          return sum(x for x in g())
      """)
      |> assert_as_python_prints()
    end

    @tag python: "3.11"
    test "for notes", %{tmp_dir: dir} do
      write_module(dir, """
      def f():
          e = ValueError('a')
          e.add_note('one')
          e.add_note('two\\nlines')
          raise e
      """)
      |> assert_as_python_prints()
    end

    @tag python: "3.11"
    test "for a group of exceptions", %{tmp_dir: dir} do
      error =
        write_module(dir, """
        def inner(n):
            try:
                {}[n]
            except KeyError as e:
                raise ValueError(n) from e
        def f():
            errors = []
            for n in range(3):
                try:
                    inner(n)
                except ValueError as e:
                    errors.append(e)
            nested = ExceptionGroup('nested', [TypeError('x'), errors.pop()])
            raise ExceptionGroup('several', [*errors, nested])
        """)
        |> assert_as_python_prints()

      assert %{type: "ExceptionGroup", message: "several (3 sub-exceptions)"} = error
    end

    @tag python: "3.11"
    test "for a group with causes of its own", %{tmp_dir: dir} do
      write_module(dir, """
      def f():
          try:
              1 / 0
          except ZeroDivisionError as e:
              raise ExceptionGroup('several', [ValueError(1), KeyError(2)]) from e
      """)
      |> assert_as_python_prints()
    end
  end

  describe "the stacktrace of call!" do
    test "begins with Python's frames, innermost first", %{tmp_dir: dir} do
      module =
        write_module(dir, """
        def innermost():
            return 1 / 0

        def f():
            return innermost()
        """)

      file = String.to_charlist(Path.join(dir, module <> ".py"))

      try do
        Python.call!(module, :f)
        flunk("it did not raise")
      rescue
        Error ->
          assert [
                   {:python, :innermost, 0, [file: ^file, line: 2]},
                   {:python, :f, 0, [file: ^file, line: 5]}
                   | elixir
                 ] = __STACKTRACE__

          assert Enum.any?(elixir, &match?({__MODULE__, _, _, _}, &1))

          assert Exception.format_stacktrace(__STACKTRACE__) =~
                   "#{module}.py:2: :python.innermost"
      end
    end

    test "is there for eval!, exec! and streams too" do
      for raising <- [
            fn -> Python.eval!("1 / 0") end,
            fn -> Python.exec!("1 / 0") end,
            fn -> "(1 / 0 for _ in [1])" |> Python.stream_eval() |> Enum.to_list() end
          ] do
        try do
          raising.()
          flunk("it did not raise")
        rescue
          Error -> assert [{:python, _function, 0, [file: _, line: 1]} | _] = __STACKTRACE__
        end
      end
    end
  end
end
