defmodule Mix.Tasks.Python.DoctorTest do
  # The task starts the application and may change its environment.
  use Python.TestCase, async: false

  import ExUnit.CaptureIO

  alias Mix.Tasks.Python.Doctor, as: Task
  alias Python.{Doctor, Interpreter}

  doctest Python.Doctor

  setup do: keep_settings()

  test "prints the interpreter, its library and what Python computed" do
    output = capture_io(fn -> Task.run([]) end)
    {:ok, interpreter} = Interpreter.find(Application.get_env(:erlang_python, :python_path))

    assert output =~ "[ok]      Python #{interpreter.version_string}"
    assert output =~ interpreter.executable
    assert output =~ interpreter.libpython
    assert output =~ interpreter.build
    assert output =~ "liberlang_python_loader"
    assert output =~ "liberlang_python_nif"
    assert output =~ "num_workers"
    assert output =~ "1 + 1 = 2"
    assert output =~ ~r/layouts read in place +\w/
    assert output =~ ~r/large pieces of memory +\w/
    refute output =~ "[error]"
  end

  test "ends with status 1 when there is no Python, and says what to do" do
    output =
      capture_io(fn ->
        assert catch_exit(Task.run(["--python", "/no/such/python"])) == {:shutdown, 1}
      end)

    {:error, error} = Interpreter.find("/no/such/python")
    assert output =~ "[error]   #{error.message}"
    assert output =~ "What to do: #{error.remedy}"
    assert output =~ "[skipped]"
  end

  test "refuses arguments that it does not know" do
    assert_raise Mix.Error, ~r/expected options only, got: "venv"/, fn -> Task.run(["venv"]) end
    assert_raise OptionParser.ParseError, fn -> Task.run(["--pyton", "x"]) end
  end

  test "an invalid setting stops everything that needs it" do
    Application.put_env(:erlang_python, :max_queue, -1)
    checks = Doctor.run()

    refute Doctor.healthy?(checks)
    assert [%{title: title, remedy: remedy}] = for(%{status: :error} = check <- checks, do: check)
    assert title =~ "expected the setting :max_queue of :erlang_python to be an integer"
    assert remedy =~ "sys.config"
    assert [_, _, _] = for(%{status: :skipped} = check <- checks, do: check)
  end

  @tag :tmp_dir
  test "what the interpreter printed is shown", %{tmp_dir: dir} do
    path = Path.join(dir, "python")
    File.write!(path <> ".new", "#!/bin/sh\necho 'libssl.so.1.1: not found' >&2\nexit 127\n")
    File.chmod!(path <> ".new", 0o755)
    File.rename!(path <> ".new", path)

    text = Doctor.format(Doctor.run(python: path))
    assert text =~ ~r/it printed +libssl\.so\.1\.1: not found/
    assert text =~ "tried"
  end

  @tag :tmp_dir
  test "a virtual environment made for another Python is a warning", %{tmp_dir: dir} do
    {:ok, interpreter} = Interpreter.find(Application.get_env(:erlang_python, :python_path))
    args = ["-m", "venv", "--without-pip", dir]
    {_, 0} = System.cmd(interpreter.executable, args, stderr_to_stdout: true)

    checks = Doctor.run(python: dir, start: false)
    assert Doctor.healthy?(checks)
    assert Doctor.format(checks) =~ "[ok]      Virtual environment #{dir}"

    File.rename!(Path.join(dir, "lib"), Path.join(dir, "lib.old"))
    checks = Doctor.run(python: dir, start: false)
    assert Doctor.healthy?(checks)
    assert [%{remedy: remedy}] = for(%{status: :warning} = check <- checks, do: check)
    assert remedy =~ "python3 -m venv --upgrade #{dir}"
  end
end
