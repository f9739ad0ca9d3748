defmodule Mix.Tasks.Python.InstallTest do
  # The tasks about environments, with the configuration of this project changed for them.
  use Python.TestCase, async: false

  import ExUnit.CaptureIO

  alias Mix.Tasks.Python.{Install, Lock, Prune}
  alias Python.{Doctor, Wheels}

  @moduletag skip: Wheels.skip(__ENV__)
  @moduletag :tmp_dir
  @moduletag timeout: 120_000

  setup %{tmp_dir: folder} do
    keep_settings()
    Wheels.write(Path.join(folder, "wheels"), "colour", "1.0", requires: ["shade>=1"])
    Wheels.write(Path.join(folder, "wheels"), "shade", "1.5")
    File.write!(Path.join(folder, "requirements.txt"), "colour\n")
    :ok
  end

  defp configure(folder, options) do
    Application.delete_env(:erlang_python, :python_path)
    Application.put_env(:erlang_python, :python, Wheels.options(folder, options))
  end

  # What it says, and with which status it ends.
  defp run(task, arguments \\ []) do
    capture = fn ->
      capture_io(:stderr, fn ->
        send(
          self(),
          {:said, capture_io(fn -> send(self(), {:status, status(task, arguments)}) end)}
        )
      end)
    end

    errors = capture.()
    assert_received {:status, status}
    assert_received {:said, said}
    {status, said <> errors}
  end

  defp status(task, arguments) do
    task.run(arguments)
    0
  rescue
    error in Mix.Error -> error.message
  catch
    :exit, {:shutdown, status} -> status
  end

  test "an environment is locked, installed, checked and pruned", %{tmp_dir: folder} do
    configure(folder, requirements: Path.join(folder, "requirements.txt"))

    assert {1, text} = run(Install, ["--check"])
    assert text =~ "is not installed"
    assert text =~ "Run `mix python.install`"
    assert text =~ "mix python.lock"

    assert {0, text} = run(Lock)
    assert text =~ "requirements.lock"
    assert File.read!(Path.join(folder, "requirements.lock")) =~ "--hash=sha256:"
    assert {0, text} = run(Lock)
    assert text =~ "stays as it is"

    assert {0, text} = run(Install)
    assert text =~ " + colour==1.0"
    assert text =~ "The environment is in #{folder}/store/environments/"
    assert {0, text} = run(Install, ["--offline"])
    assert text =~ "It is there already"
    assert {0, ""} = run(Install, ["--quiet"])
    assert {0, text} = run(Install, ["--check"])
    assert text =~ "in step"

    checks = Doctor.run(start: false)
    assert %{status: :ok, lines: lines} = Enum.find(checks, &(&1.title =~ "Environment with"))
    text = Enum.join(lines, "\n")
    assert text =~ ~r/package +colour 1.0/
    assert text =~ ~r/lock +.*requirements.lock/
    assert text =~ ~r/find_links +#{Regex.escape(folder)}/
    assert text =~ ~r/made +\d{4}-.* by uv \d/
    assert text =~ ~r/made with .*, Python 3\.\d+\.\S+ \(PATH\)/

    assert {0, text} = run(Prune)
    assert text =~ "0 removed"

    # What is asked for changes.
    File.write!(Path.join(folder, "requirements.txt"), "shade\n")
    assert {1, text} = run(Install, ["--check"])
    assert text =~ "mix python.lock"
    assert {message, _text} = run(Install)
    assert message =~ "was not resolved from"
    checks = Doctor.run(start: false)
    assert [%{title: title, remedy: remedy}] = Enum.filter(checks, &(&1.status == :error))
    assert title =~ "requirements.lock was not resolved from"
    assert remedy =~ "mix python.lock"
    assert {0, _text} = run(Lock)
    assert {0, text} = run(Install)
    refute text =~ "colour"
    assert {0, text} = run(Install, ["--force", "--quiet"])
    assert text == ""
  end

  test "what was changed by hand is told", %{tmp_dir: folder} do
    configure(folder, packages: ["shade"])
    assert {0, _} = run(Install)

    [info] =
      Path.wildcard(Path.join(folder, "store/environments/*/lib/python*/site-packages/shade-*"))

    File.rm_rf!(info)
    assert {1, text} = run(Install, ["--check"])
    assert text =~ "shade is gone, was 1.5"
    assert text =~ "--force"

    assert %{status: :warning} =
             Enum.find(Doctor.run(start: false), &(&1.title =~ "Its packages were changed"))
  end

  test "a failure ends the task with uv's text and a remedy", %{tmp_dir: folder} do
    configure(folder, packages: ["no-such-package"])
    assert {message, _text} = run(Install)
    assert message =~ "no-such-package"
    assert message =~ "installing the packages no-such-package failed:"
  end

  test "without the setting, or with two of them, nothing is done" do
    Application.delete_env(:erlang_python, :python)
    assert {message, _} = run(Install)
    assert message =~ "the setting :python of :erlang_python is not set"

    Application.put_env(:erlang_python, :python, packages: ["shade"])
    Application.put_env(:erlang_python, :python_path, "/usr/bin/python3")
    assert {message, _} = run(Install)
    assert message =~ ":python_path and :python"

    Application.delete_env(:erlang_python, :python_path)
    Application.put_env(:erlang_python, :python, packages: "shade")
    assert {message, _} = run(Lock)
    assert message =~ ~s(got: "shade")
  end

  test "other arguments are refused" do
    assert_raise Mix.Error, ~r/expected options only, got: "numpy"/, fn ->
      Install.run(["numpy"])
    end

    assert_raise OptionParser.ParseError, fn -> Lock.run(["--upgrad"]) end
    assert {message, _} = run(Prune, ["--days", "-1"])
    assert message =~ "0 or more"
  end

  test "prune removes what was not used, and what was left half-made", %{tmp_dir: folder} do
    configure(folder, packages: ["shade"])
    assert {0, _} = run(Install)
    store = Path.join(folder, "store")
    [environment] = Path.wildcard(Path.join(store, "environments/*"))
    left = Path.join(store, "temporary/1-1.#{Python.Native.Lock.host()}.4194305")
    File.mkdir_p!(left)
    assert {0, _} = run(Prune)
    refute File.exists?(left)
    assert File.exists?(environment)

    # Some time later.
    for path <-
          Path.wildcard(Path.join(store, "requests/*")) ++
            [Path.join(environment, "erlang_python.term")],
        do: File.touch!(path, System.os_time(:second) - 40 * 86_400)

    assert {0, _} = run(Prune, ["--days", "60"])
    assert File.exists?(environment)
    assert {0, text} = run(Prune)
    assert text =~ "Removed #{environment}"
    refute File.exists?(environment)
  end
end
