defmodule Python.Output.PrintTest do
  use Python.EngineCase, async: true

  import ExUnit.CaptureIO

  alias Python.FreshVM

  # What the code prints, which is complete when the call returns.
  defp printed(code, vars \\ %{}) do
    name = define("def NAME(vars):\n" <> indented("globals().update(vars)\n" <> code))
    capture_io(fn -> assert Python.call(:__main__, name, [vars]) == {:ok, nil} end)
  end

  defp indented(code) do
    code |> String.split("\n") |> Enum.map_join("\n", &("    " <> &1))
  end

  describe "print" do
    test "goes to the group leader of the caller" do
      assert capture_io(fn -> Python.exec!("print('hello')") end) == "hello\n"
      assert capture_io(fn -> Python.eval!("print('a', 1, [None])") end) == "a 1 [None]\n"
      assert capture_io(fn -> :py.exec("print('from py')") end) == "from py\n"
    end

    test "goes to each caller's own" do
      outputs =
        1..20
        |> Enum.map(fn n ->
          Task.async(fn ->
            capture_io(fn ->
              for line <- 1..20, do: Python.eval!("print(n, line)", %{n: n, line: line})
            end)
          end)
        end)
        |> Task.await_many(30_000)

      for {output, n} <- Enum.with_index(outputs, 1) do
        assert output == Enum.map_join(1..20, fn line -> "#{n} #{line}\n" end)
      end
    end

    test "keeps its order and is complete" do
      expected = Enum.map_join(0..9_999, &"line #{&1}\n")
      assert printed("for n in range(10000): print('line', n)") == expected
    end

    test "takes large texts whole" do
      line = String.duplicate("größe ", 200_000)
      assert printed("print('größe ' * 200000)") == line <> "\n"
      assert byte_size(line) > 1_000_000
    end

    test "may leave lines open" do
      assert printed("print('a', end='')\nprint('b', end='', flush=True)\nprint('c')") == "abc\n"
      assert printed("print('no end', end='')") == "no end"
      assert printed("print(1, 2, sep='', end='!')") == "12!"
      assert printed("pass") == ""
      assert printed("print(end='')") == ""
    end

    test "is text of any kind" do
      assert printed("print('größe 🐍 日本語')") == "größe 🐍 日本語\n"
      assert printed("print('a\\0b')") == "a\0b\n"
      assert printed("print('\\r\\n\\t\\x1b[1m')") == "\r\n\t\e[1m\n"
    end

    test "shows lone surrogates as escapes" do
      assert printed("print('<\\ud800>')") == "<\\ud800>\n"
    end

    test "is there after an exception" do
      assert capture_io(fn ->
               assert {:error, _} = Python.exec("print('before', end='')\n1 / 0")
             end) == "before"
    end

    test "comes before what a function of Elixir's prints" do
      assert printed(
               "print('one', end=' ')\nf()\nprint('three')",
               %{f: fn -> IO.write("two ") end}
             ) == "one two three\n"
    end

    @tag blocks: "a plain function waits for Elixir"
    test "comes in order from all the turns of Elixir and Python" do
      output =
        capture_io(fn ->
          Python.eval!("[print('a'), f(), print('e')]", %{
            f: fn ->
              IO.puts("b")
              Python.eval!("print('c')")
              IO.puts("d")
            end
          })
        end)

      assert output == "a\nb\nc\nd\ne\n"
    end

    test "comes while a stream is consumed" do
      name = define("def NAME():\n  for n in range(3):\n    print('made', n)\n    yield n")

      output =
        capture_io(fn ->
          assert Enum.to_list(Python.stream(:__main__, name, [], prefetch: 0)) == [0, 1, 2]
        end)

      assert output == "made 0\nmade 1\nmade 2\n"
    end

    test "in a context goes to the caller" do
      context = start_context(init: "def shout(x): print(x.upper())")
      call = fn x -> Python.call!(:__main__, :shout, [x], context: context) end
      assert capture_io(fn -> call.("a") end) == "A\n"
      assert capture_io(fn -> call.("b") end) == "B\n"
    end

    test "of threads goes where that of the call goes that started them" do
      assert printed("""
             import threading
             threads = [threading.Thread(target=print, args=('thread',)) for _ in range(3)]
             for thread in threads: thread.start()
             for thread in threads: thread.join()
             """) == "thread\nthread\nthread\n"
    end

    test "of an executor's threads does too" do
      output =
        printed("""
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(2) as executor:
            list(executor.map(print, range(20)))
        """)

      lines = output |> String.split("\n", trim: true) |> Enum.sort_by(&String.to_integer/1)
      assert lines == Enum.map(0..19, &Integer.to_string/1)
    end

    test "does not end the call when nobody reads" do
      {:ok, device} = StringIO.open("")

      task =
        Task.async(fn ->
          Process.group_leader(self(), device)
          StringIO.close(device)
          Python.eval("[print(' ', end=''), 1][1]")
        end)

      case Task.await(task) do
        {:ok, 1} -> :ok
        {:error, %Python.Error{} = error} -> assert error.message =~ "terminated"
      end

      assert Python.eval("1") == {:ok, 1}
    end
  end

  describe "sys.stdout" do
    test "is a stream of text" do
      assert printed("""
             import sys
             assert sys.stdout.write('größe') == 5
             sys.stdout.writelines(['\\n', 'b\\n'])
             sys.stdout.flush()
             """) == "größe\nb\n"

      assert {:error, %Python.Error{type: "TypeError"}} =
               Python.eval("__import__('sys').stdout.write(b'bytes')")

      assert Python.eval(
               "[s.isatty(), s.writable(), s.readable(), s.encoding, s.closed, s.fileno()]",
               %{s: Python.eval!("__import__('sys').stdout")}
             ) == {:ok, [false, true, false, "utf-8", false, 1]}
    end

    test "has a buffer for bytes" do
      assert printed("""
             import sys
             assert sys.stdout.buffer.write('größe\\n'.encode()) == 8
             sys.stdout.buffer.write(bytearray(b'abc\\n'))
             sys.stdout.buffer.write(memoryview(b'def\\n'))
             sys.stdout.buffer.write(b'\\xff\\n')
             sys.stdout.buffer.flush()
             """) == "größe\nabc\ndef\n\\xff\n"
    end

    test "has a buffer that takes a character in two pieces" do
      assert printed("""
             import sys
             sys.stdout.buffer.write(b'gr\\xc3')
             sys.stdout.buffer.write(b'\\xb6\\xc3\\x9fe\\n')
             """) == "größe\n"
    end

    test "can be redirected by Python" do
      assert printed("""
             import contextlib, io
             with contextlib.redirect_stdout(io.StringIO()) as out:
                 print('kept')
             print('got', out.getvalue(), end='')
             """) == "got kept\n"
    end

    test "is what pprint, logging handlers and tracebacks write to" do
      assert printed("import pprint, sys\npprint.pprint({'b': 1, 'a': [1]}, stream=sys.stdout)") ==
               "{'a': [1], 'b': 1}\n"

      assert printed("""
             import sys, traceback
             try:
                 1 / 0
             except ZeroDivisionError:
                 traceback.print_exc(file=sys.stdout)
             """) =~ ~r/^Traceback .*ZeroDivisionError: division by zero\n$/s
    end
  end

  describe "input" do
    @tag blocks: "input waits for Elixir"
    test "reads lines from the group leader" do
      assert capture_io("first\nsecond größe\nlast", fn ->
               assert Python.eval("[input(), input(), input()]") ==
                        {:ok, ["first", "second größe", "last"]}
             end) == ""
    end

    @tag blocks: "input waits for Elixir"
    test "shows its prompt" do
      assert capture_io([input: "Ada\n", capture_prompt: true], fn ->
               assert Python.eval("input('Name? ')") == {:ok, "Ada"}
             end) == "Name? "
    end

    @tag blocks: "input waits for Elixir"
    test "raises EOFError at the end" do
      capture_io("", fn ->
        assert {:error, %Python.Error{type: "EOFError"}} = Python.eval("input()")
      end)

      capture_io("one\n", fn ->
        assert {:error, %Python.Error{type: "EOFError"}} = Python.eval("[input(), input()]")
      end)
    end

    @tag blocks: "input waits for Elixir"
    test "has its relatives in sys.stdin" do
      stdin = fn input, code ->
        test = self()

        capture_io(input, fn ->
          send(
            test,
            {:read, Python.eval!(code, %{stdin: Python.eval!("__import__('sys').stdin")})}
          )
        end)

        receive do
          {:read, value} -> value
        end
      end

      assert stdin.("a\nb\n", "[line for line in stdin]") == ["a\n", "b\n"]
      assert stdin.("a\nb", "stdin.read()") == "a\nb"
      assert stdin.("a\nb\n", "stdin.readlines()") == ["a\n", "b\n"]

      assert stdin.("a\nb\n", "[stdin.readline(), stdin.readline(), stdin.readline()]") ==
               ["a\n", "b\n", ""]

      assert stdin.("", "stdin.read()") == ""

      assert stdin.("größe\n", "[stdin.read(2), stdin.read(3), stdin.read(9), stdin.read(1)]") ==
               ["gr", "öße", "\n", ""]

      assert stdin.("abc\ndef\n", "[stdin.readline(2), stdin.readline(), stdin.readline(9)]") ==
               ["ab", "c\n", "def\n"]
    end
  end

  @tag blocks: "input waits for Elixir"
  test "input and output cannot be closed: they are everybody's" do
    assert {:error, %Python.Error{type: "SystemExit"}} = Python.exec("exit()")

    Python.exec!("""
    import sys
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        with stream: pass
        stream.close()
        assert not stream.closed
    """)

    assert capture_io("a\n", fn -> Python.exec!("print(input())") end) == "a\n"
  end

  describe "sys.stderr" do
    # The device is the VM's: other tests write to it too.
    test "goes to the standard error of the VM" do
      mark = unique("mark")

      assert capture_io(:stderr, fn ->
               assert capture_io(fn ->
                        Python.exec!("import sys\nprint('#{mark} größe', file=sys.stderr)")
                      end) == ""
             end) =~ "#{mark} größe\n"

      assert capture_io(:stderr, fn ->
               Python.exec!("import sys\nsys.stderr.write('#{mark} <\\ud800>\\n')")
             end) =~ "#{mark} <\\ud800>\n"
    end

    test "shows what a thread died of" do
      mark = unique("mark")

      output =
        capture_io(:stderr, fn ->
          Python.exec!("""
          import threading
          def dies_of_#{mark}(): 1 / 0
          thread = threading.Thread(target=dies_of_#{mark})
          thread.start()
          thread.join()
          """)
        end)

      assert output =~ "dies_of_#{mark}"
      assert output =~ "ZeroDivisionError"
    end
  end

  describe "in a VM where it is switched off" do
    test "Python writes to its own standard output and error" do
      {output, status} =
        FreshVM.run(
          """
          Python.exec!("import sys; print('out', type(sys.stdout).__name__)")
          Python.exec!("import sys; print('err', type(sys.stderr).__name__, file=sys.stderr)")
          {:ok, device} = StringIO.open("")
          Process.group_leader(self(), device)
          Python.exec!("print('not to the group leader')")
          {"", ""} = StringIO.contents(device)
          """,
          settings: [stdio: false]
        )

      assert {0, _} = {status, output}
      assert output =~ "out TextIOWrapper"
      assert output =~ "err TextIOWrapper"
      assert output =~ "not to the group leader"
    end
  end

  test "a VM that ends shows all that was printed" do
    {output, status} =
      FreshVM.run("""
      Python.exec!("for n in range(1000): print('line', n)")
      Python.exec!("print('the end', end='')")
      """)

    assert {0, _} = {status, output}
    assert output =~ "line 999\nthe end"
  end
end
