defmodule Python.Output.StandardStreamsTest do
  # Alone: streams are everybody's, and here they are replaced and configured.
  use Python.EngineCase

  import ExUnit.CaptureIO

  @folder Path.expand("../../support/python", __DIR__)

  setup do
    Python.SupportModules.find()
    Python.import!(:standard_streams)
    :ok
  end

  # What plain Python makes of it, its standard input from a file.
  defp plain(code, input \\ "") do
    file = Path.join(System.tmp_dir!(), unique("input"))
    File.write!(file, input)

    code =
      "import sys; sys.path.insert(0, #{inspect(@folder)}); from standard_streams import *\n" <>
        code

    command = "cat #{file} | #{Python.Engines.python()} -E -X utf8 -c \"$0\""
    {output, 0} = System.cmd("/bin/sh", ["-c", command, code], stderr_to_stdout: true)
    File.rm!(file)
    output
  end

  defp ours(code, input \\ "") do
    capture_io(input, fn -> Python.exec!("from standard_streams import *\n" <> code) end)
  end

  test "the streams have all that those of plain Python have" do
    assert Python.eval!(
             "[s.has(x) for x in (sys.stdin, sys.stdout, sys.stderr, sys.__stdout__)]",
             %{s: Python.import!(:standard_streams), sys: Python.import!(:sys)}
           ) ==
             List.duplicate([[], [], []], 4)

    code = "print([about(s) for s in (sys.stdin, sys.stdout, sys.stderr)])"
    assert ours(code) == plain(code)
    assert ours("print(sys.__stdout__ is sys.stdout, sys.stdout.line_buffering)") == "True True\n"
  end

  test "what they refuse, plain ones refuse" do
    code = "print(refusals())"
    assert ours(code) == plain(code)
  end

  test "nothing that is made around them, dropped, closed or detached closes what is everybody's" do
    assert lines(ours("wrapped()")) == [
             "wrapped ä",
             "dropped",
             "closed",
             "raw closed",
             "entered",
             "left",
             "detached",
             "attached",
             "raw",
             "closing",
             "codecs ß",
             "buffered",
             "end"
           ]

    for _ <- 1..3, do: assert(ours("print('everybody')") == "everybody\n")

    assert capture_io(fn -> Task.await(Task.async(fn -> Python.exec!("print('others')") end)) end) ==
             "others\n"
  end

  test "they can be configured anew" do
    assert ours("seen = configured()") ==
             "größe ☃\ngröße ☃\ngr??e ?\nerror ordinal not in range(256)\nerror ordinal not in range(256)\r\nas before ☃\n"

    assert Python.eval!("seen") ==
             [
               [false, false, "utf-8", "backslashreplace"],
               [true, true, "utf-8", "backslashreplace"],
               [true, true, "ascii", "replace"],
               [true, true, "latin-1", "strict"],
               [true, true, "latin-1", "strict"]
             ]
             |> Enum.map(fn [line, through, encoding, errors] ->
               [
                 line,
                 through,
                 Python.eval!("e if e != 'latin-1' else seen[3][2]", %{e: encoding}),
                 errors
               ]
             end)
  end

  @tag blocks: "input waits for Elixir"
  test "bytes are read, and then text, as in plain Python" do
    input =
      "ab" <>
        "größe\n" <>
        "short\n" <> "line of text\n" <> "xyz\n" <> "bytes ☃\n" <> "text\n" <> "one\ntwo\nthree"

    code = "print(read())"
    assert ours(code, input) == plain(code, input)
  end

  @tag blocks: "input waits for Elixir"
  test "bytes and text are read by turns" do
    input = "text\nbytes\nßab\nx ☃\nend"
    expected = ~S"['text\n', b'bytes\n', 'ß', b'ab', '\n', b'x', 'x', b' ', ' ☃\nend']"
    assert ours("print(read_by_turns())", input) == expected <> "\n"
  end

  @tag blocks: "input waits for Elixir"
  test "what a caller left half read is not the next caller's" do
    assert ours("print(sys.stdin.buffer.read(1))", "größe\n") == "b'g'\n"

    assert ours(
             "print(sys.stdin.buffer.read(1), sys.stdin.buffer.peek()[:1], sys.stdin.readline())",
             "xyz\n"
           ) == "b'x' b'y' yz\n\n"

    assert ours("print(sys.stdin.buffer.read(2))", "öß\n") == "b'\\xc3\\xb6'\n"

    task =
      Task.async(fn ->
        capture_io("ö\n", fn ->
          Python.eval!("sys.stdin.buffer.read(1)", %{sys: Python.import!(:sys)})
        end)
      end)

    Task.await(task)
    assert ours("print(sys.stdin.buffer.readline())", "next\n") == "b'next\\n'\n"
  end

  defp lines(text), do: String.split(text, "\n", trim: true)
end
