defmodule Python.Interpreter.ProbeTest do
  use Python.TestCase, async: true

  import Python.FakePython

  alias Python.{FakePython, Interpreter}

  @moduletag :tmp_dir

  setup_all do
    {:ok, FakePython.suite_python()}
  end

  describe "a file that is no Python" do
    test "and may not be executed", %{tmp_dir: dir} do
      path = Path.join(dir, "python")
      File.write!(path, "#!/bin/sh\n")
      error = assert_refused(:not_executable, Interpreter.find(path), path)
      assert error.remedy =~ "chmod +x #{path}"
    end

    test "and is a device" do
      assert_refused(:broken, Interpreter.find("/dev/null"), "not a file")
    end

    test "and is a program for another system", %{tmp_dir: dir} do
      path = Path.join(dir, "python")
      File.write!(path, <<0x7F, "ELF", 1, 2, 3, 0::800>>)
      File.chmod!(path, 0o755)
      assert_refused(:broken, Interpreter.find(path), "another system or processor")
    end

    test "and is a script whose interpreter is missing", %{tmp_dir: dir} do
      path = Path.join(dir, "python")
      File.write!(path, "#!/no/such/python\n")
      File.chmod!(path, 0o755)
      assert_refused(:broken, Interpreter.find(path), "first line")
    end

    test "and prints rubbish", %{tmp_dir: dir} do
      path = script(dir, "python", "echo 'what is this?'")
      error = assert_refused(:broken, Interpreter.find(path), "what is this?")
      assert error.details.output == "what is this?"
      assert error.remedy =~ "#{path} -c 'import sys'"
    end

    test "and prints half a report", %{tmp_dir: dir} do
      path = script(dir, "python", ~S(printf '\n{"erlang_python_probe": 1, "version": [3, '))
      assert_refused(:broken, Interpreter.find(path))
    end

    test "and prints an invalid report", %{tmp_dir: dir} do
      for report <- ["[3", ~S("version": "three"}), ~S("version": [3, 11, 7]})] do
        path = script(dir, "python", ~s(printf '\\n{"erlang_python_probe": 1, %s\\n' '#{report}'))
        assert_refused(:broken, Interpreter.find(path), "is invalid")
      end
    end

    test "and fails", %{tmp_dir: dir} do
      path = script(dir, "python", "echo 'Traceback …' >&2; echo 'OSError: no' >&2; exit 7")

      error =
        assert_refused(:broken, Interpreter.find(path), ~s(status 7; it said: "OSError: no"))

      assert error.details.output =~ "Traceback …"
    end

    test "and fails without a word", %{tmp_dir: dir} do
      path = script(dir, "python", "exit 1")
      assert_refused(:broken, Interpreter.find(path), "printed nothing")
    end

    test "and is killed", %{tmp_dir: dir} do
      assert_refused(:broken, Interpreter.find(script(dir, "python", "kill -SEGV $$")), "139")
    end

    test "and prints without end", %{tmp_dir: dir} do
      path =
        script(dir, "python", "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done")

      assert_refused(:broken, Interpreter.find(path), "printed a lot")
    end

    test "and never answers: it is killed, with its children", %{tmp_dir: dir} do
      pids = Path.join(dir, "pids")
      body = "echo $$ >>'#{pids}'; (echo $(sh -c 'echo $PPID') >>'#{pids}'; sleep 60); sleep 60"
      path = script(dir, "python", body)

      {time, found} = :timer.tc(fn -> Interpreter.find(path, timeout: 300) end)
      error = assert_refused(:probe_timeout, found, "300 ms")
      assert error.details.output == ""
      assert time < 5_000_000
      assert [_, _] = pids |> File.read!() |> String.split()

      for pid <- pids |> File.read!() |> String.split() do
        poll("process #{pid} is still there", fn ->
          match?({_, 1}, System.cmd("sh", ["-c", "kill -0 #{pid}"], stderr_to_stdout: true))
        end)
      end
    end

    test "leaves nothing in the mailbox of the caller", %{tmp_dir: dir, python: python} do
      Process.flag(:trap_exit, true)
      assert {:error, _} = Interpreter.find(script(dir, "python", "echo x; exit 1"))
      assert {:error, _} = Interpreter.find(script(dir, "python", "sleep 60"), timeout: 50)
      assert {:ok, _} = Interpreter.find(python)
      refute_receive _, 50
    end
  end

  describe "a Python that talks" do
    test "while it starts and ends does no harm", %{python: python, tmp_dir: dir} do
      path =
        script(dir, "python", """
        echo 'activating {"erlang_python_probe": 0'
        echo 'a warning' >&2
        '#{python}' "$@"
        echo done
        """)

      assert {:ok, %{executable: ^python}} = Interpreter.find(path)
    end
  end
end
