defmodule Python.Packages do
  @moduledoc false

  # A virtual environment with packages from PyPI, for tests of what a user does with these packages.
  # Kept in `_build`, one for each Python.

  alias Python.Native.Lock

  @packages ~w(numpy pandas matplotlib pillow polars)

  @doc "The folder of the one for the Python of the suite, or why there is none."
  @spec venv([String.t()]) :: {:ok, Path.t()} | {:error, String.t()}
  def venv(packages \\ @packages) do
    python = Python.Engines.python()
    version = Python.call!(:platform, :python_version)
    key = :erlang.phash2({python, version, packages})
    folder = Path.join(folder(), "#{version}-#{key}")

    if complete?(folder) do
      {:ok, folder}
    else
      # Test files are loaded at the same time, and other VMs may run tests.
      Lock.hold(folder <> ".lock", fn -> :ok end, fn ->
        if complete?(folder), do: {:ok, folder}, else: make(folder, packages)
      end)
    end
  end

  defp complete?(folder), do: File.exists?(Path.join(folder, "complete"))

  defp make(folder, packages) do
    python = Python.Engines.python()
    IO.puts("Installing #{Enum.join(packages, ", ")} in #{Path.relative_to_cwd(folder)}")
    File.rm_rf!(folder)
    File.mkdir_p!(folder)

    pip = ~w(-m pip install --quiet --disable-pip-version-check --no-input --only-binary :all:
         --timeout 20 --retries 2)

    with :ok <- execute(python, ["-m", "venv", folder]),
         :ok <- execute(Path.join(folder, "bin/python"), pip ++ packages) do
      File.write!(Path.join(folder, "complete"), "")
      {:ok, folder}
    end
  end

  defp execute(program, arguments) do
    case System.cmd(program, arguments, stderr_to_stdout: true) do
      {_output, 0} -> :ok
      {output, _status} -> {:error, output |> String.split("\n", trim: true) |> List.last("")}
    end
  end

  @doc "Lets the Python of the suite import them, where there are any."
  def add_to_path do
    with {:ok, venv} <- venv(),
         [folder] <- Path.wildcard(Path.join(venv, "lib/python*/site-packages")) do
      Python.call!(:sys, "path.append", [folder])
    end
  end

  @doc "Where they are kept."
  def folder, do: Python.Checkout.path("_build/packages")

  @doc "The reason to skip the tests that need them, if there is one; it is told."
  def skip(env, packages \\ @packages) do
    case venv(packages) do
      {:ok, _folder} ->
        false

      {:error, reason} ->
        IO.puts("#{Path.relative_to_cwd(env.file)} is skipped: there are no packages: #{reason}")
        "no packages: #{reason}"
    end
  end
end
