defmodule Python.FakePython do
  # Interpreters for the tests of the search: the real one of the suite, virtual environments, and
  # scripts that behave as a Python should not.

  import ExUnit.Assertions

  alias Python.{Interpreter, NotStartedError}

  # What the suite runs with decides what is at hand: PYTHON, or whatever the machine has.
  def suite_python do
    python_path = if System.get_env("PYTHON", "") == "", do: nil, else: System.get_env("PYTHON")
    {:ok, interpreter} = Interpreter.find(python_path)
    [python: interpreter.executable, interpreter: interpreter]
  end

  def report(python) do
    {report, 0} = System.cmd(python, [Python.Checkout.path("priv/python/probe.py")])
    report
  end

  def assert_refused(reason, found, text \\ "") do
    assert {:error, %NotStartedError{reason: ^reason} = error} = found
    assert error.message =~ text
    assert Exception.message(error) =~ error.message
    assert Exception.message(error) =~ error.remedy
    assert error.remedy =~ ~r/^[A-Z`].*\.$/s
    assert error.message =~ ~r/\.$/
    assert is_list(error.details.tried)
    error
  end

  def ask(python, expression) do
    {answer, 0} = System.cmd(python, ["-c", "import sys; print(#{expression})"])
    String.trim_trailing(answer, "\n")
  end

  def split_version(version) do
    version |> String.split(".") |> Enum.map(&String.to_integer/1) |> List.to_tuple()
  end

  def existing(path) do
    assert File.regular?(path)
    path
  end

  # A folder with all programs of this machine but Python's. Thousands, which `ln` links at once.
  def programs_without_python(folder) do
    File.mkdir_p!(folder)

    for bin <- ["/bin", "/usr/bin"] do
      programs = for name <- File.ls!(bin), not (name =~ "python"), do: Path.join(bin, name)
      # /bin and /usr/bin may have the same.
      {_, _} = System.cmd("ln", ["-s" | programs] ++ [folder], stderr_to_stdout: true)
    end
  end

  def make_venv(python, folder) do
    {_, 0} = System.cmd(python, ["-m", "venv", "--without-pip", folder], stderr_to_stdout: true)
  end

  def script(dir, name, body) do
    path = Path.join(dir, name)
    File.mkdir_p!(Path.dirname(path))
    # Another name first: a file that is open for writing in this VM cannot be executed.
    File.write!(path <> ".new", "#!/bin/sh\n" <> body <> "\n")
    File.chmod!(path <> ".new", 0o755)
    File.rename!(path <> ".new", path)
    path
  end

  def wrapper(dir, name, python), do: script(dir, name, ~s(exec '#{python}' "$@"))

  # A Python that always gives this report.
  def reporter(dir, report) do
    File.write!(Path.join(dir, "report"), report)
    script(dir, "python", "cat '#{Path.join(dir, "report")}'")
  end

  def change(report, pattern, replacement) do
    changed = String.replace(report, pattern, String.trim(replacement))
    assert changed != report or report =~ replacement
    changed
  end

  def poll(what, condition, left \\ 100) do
    cond do
      condition.() -> :ok
      left == 0 -> flunk(what)
      true -> Process.sleep(20) && poll(what, condition, left - 1)
    end
  end
end
