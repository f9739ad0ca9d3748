defmodule Python.Environment.ProgramTest do
  # How uv, pip and the programs of a bundle are run.
  use ExUnit.Case, async: true

  alias Python.Program

  @moduletag :tmp_dir

  defp script(folder, text) do
    path = Path.join(folder, "program")
    File.write!(path, "#!/bin/sh\n" <> text)
    File.chmod!(path, 0o755)
    path
  end

  defp run(folder, text, arguments \\ [], options \\ []),
    do: Program.run(script(folder, text), arguments, Keyword.merge([timeout: 60_000], options))

  # Ends what a test has left behind.
  defp await_pid(folder) do
    "" <> pid = File.read!(Path.join(folder, "pid")) |> String.trim()
    on_exit(fn -> System.cmd("kill", ["-KILL", pid], stderr_to_stdout: true) end)
    pid
  end

  defp alive?(pid), do: match?({_, 0}, System.cmd("kill", ["-0", pid], stderr_to_stdout: true))

  test "what it leaves behind with its output open is not waited for", %{tmp_dir: folder} do
    for {start, status} <- [{"sleep 1000 &", 0}, {"setsid sleep 1000 &", 0}, {"sleep 1000 &", 3}] do
      text = "echo one\n#{start}\necho $! > #{folder}/pid\nprintf two\nexit #{status}\n"
      result = run(folder, text)
      pid = await_pid(folder)
      assert alive?(pid)
      expected = if status == 0, do: {:ok, "one\ntwo"}, else: {:error, {:exit, 3, "one\ntwo"}}
      assert result == expected
    end
  end

  test "its output is what it has printed, and its status its own", %{tmp_dir: folder} do
    for {text, result} <- [
          {"", {:ok, ""}},
          {"echo a; echo b >&2", {:ok, "a\nb"}},
          {"printf 'a\\n\\n'", {:ok, "a\n"}},
          {"printf a", {:ok, "a"}},
          {"exit 200", {:error, {:exit, 200, ""}}},
          {"kill -KILL $$", {:error, {:exit, 137, :any}}},
          {"head -c 200000 /dev/zero | tr '\\0' x", {:ok, String.duplicate("x", 10_000) <> "…"}}
        ] do
      case {run(folder, text), result} do
        {{:error, {:exit, status, _}}, {:error, {:exit, expected, :any}}} ->
          assert status == expected

        {found, expected} ->
          assert found == expected
      end
    end
  end

  test "arguments, variables and the folder arrive as they are", %{tmp_dir: folder} do
    arguments = ["", "a b", "'\"", "$HOME `id` $(id)", "a\nb", "-c", "*", "ö"]

    text =
      ~S(for a in "$@"; do printf '<%s>' "$a"; done; printf '%s %s %s' "$ONE" "${HOME-unset}" "$PWD")

    options = [env: %{"ONE" => "1 \"2\"", "HOME" => nil}, cd: folder]
    assert {:ok, output} = run(folder, text, arguments, options)
    assert output == Enum.map_join(arguments, &"<#{&1}>") <> "1 \"2\" unset " <> folder
  end

  test "what cannot be run says why", %{tmp_dir: folder} do
    plain = Path.join(folder, "plain")
    File.write!(plain, "")

    for {path, text} <- [
          {Path.join(folder, "none"), "no such file"},
          {plain, "permission denied"},
          {folder, "permission denied"}
        ] do
      assert {:error, {:no_start, said}} = Program.run(path, [], timeout: 60_000)
      assert said =~ text
    end
  end

  test "at the end of its time it is killed with its children", %{tmp_dir: folder} do
    text = "sleep 1000 &\necho $! > #{folder}/pid\necho begun\nwait\n"
    parent = self()
    show = fn line -> send(parent, line) end
    task = Task.async(fn -> run(folder, text, [], timeout: 2_000, show: show) end)
    assert_receive "begun", 60_000
    pid = await_pid(folder)
    assert {:error, {:timeout, "begun"}} = Task.await(task, 60_000)
    assert Enum.any?(1..500, fn _ -> not alive?(pid) or (Process.sleep(10) && false) end)
  end

  test "who asked is killed, and the program too", %{tmp_dir: folder} do
    text = "echo $$ > #{folder}/pid\necho begun\nsleep 1000\n"
    parent = self()
    {asker, _} = spawn_monitor(fn -> run(folder, text, [], show: &send(parent, &1)) end)
    assert_receive "begun", 60_000
    pid = await_pid(folder)
    Process.exit(asker, :kill)
    assert Enum.any?(1..500, fn _ -> not alive?(pid) or (Process.sleep(10) && false) end)
  end
end
