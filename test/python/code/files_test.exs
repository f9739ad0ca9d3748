defmodule Python.Code.FilesTest do
  # Alone: files are read one at a time.
  use Python.TestCase

  alias Python.Source

  setup do
    folder = Path.join(System.tmp_dir!(), unique("source"))
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    {:ok, folder: folder}
  end

  defp file(folder, text) do
    path = Path.join(folder, unique("file") <> ".py")
    File.write!(path, text)
    path
  end

  # On a busy machine the file may not be read in time.
  defp eventually_line(path, number) do
    eventually("line #{number} is read", fn -> Source.line(path, number) end)
  end

  test "a line of a file is given without the spaces around it", %{folder: folder} do
    path = file(folder, "one\n  two\r\nthree\rfour é\n")

    assert for(number <- 1..4, do: eventually_line(path, number)) ==
             ~w(one two three) ++ ["four é"]
  end

  test "a line that does not exist is nil", %{folder: folder} do
    path = file(folder, "one\n\n  \n")

    for number <- [-1, 0, 2, 3, 4, 5, 1_000_000] do
      assert Source.line(path, number) == nil
    end

    latin = file(folder, <<"# ", 0xE9, "\n">>)
    huge = file(folder, String.duplicate("x\n", 5_000_000))

    for path <- [
          latin,
          huge,
          folder,
          "",
          "<string>",
          "/nonexistent",
          "a\0b",
          "/dev/zero",
          "/dev/stdin"
        ] do
      assert Source.line(path, 1) == nil
    end
  end

  test "a pipe is not read, and files are afterwards", %{folder: folder} do
    pipe = Path.join(folder, "pipe")
    Python.call!(:os, :mkfifo, [pipe])
    for _ <- 1..20, do: assert(Source.line(pipe, 1) == nil)
    assert eventually_line(file(folder, "one"), 1) == "one"
  end

  test "many can ask at once", %{folder: folder} do
    path = file(folder, "one\ntwo\n")

    lines =
      1..50
      |> Enum.map(fn n -> Task.async(fn -> eventually_line(path, 1 + rem(n, 2)) end) end)
      |> Task.await_many(30_000)

    assert Enum.frequencies(lines) == %{"one" => 25, "two" => 25}
  end

  test "code that came as text is known without a file" do
    Python.exec!("def #{unique()}():\n    return 'a line'", file: "no/such/file.ex", line: 10)
    assert Source.line("no/such/file.ex", 11) == "return 'a line'"
    assert Source.line("no/such/file.ex", 9) == nil
  end
end
