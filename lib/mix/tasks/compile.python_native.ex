defmodule Mix.Tasks.Compile.PythonNative do
  @shortdoc "Builds the native libraries with cargo"

  @moduledoc """
  Builds the Rust workspace in `native/` and installs both libraries into `priv/native`.

  A Mix compiler: `mix compile` runs it. It starts cargo only when a file under `native/` has
  changed since the last build, or with `--force`. cargo builds in `_build/native`, which all
  Mix environments share.

  Neither a Python interpreter nor its headers are needed: the libraries use the stable ABI and find
  libpython when they are loaded. `native/.cargo/config.toml` says so to pyo3.
  """

  # The task may use Mix, the file system and cargo. It knows nothing of the rest of the project.

  use Mix.Task.Compiler

  @recursive true

  @crates ["erlang_python_loader", "erlang_python_nif"]

  @manifest_vsn 1

  @impl true
  def run(args) do
    built = {sources_digest(), installed_stats()}

    if "--force" not in args and read_manifest() == built do
      {:noop, []}
    else
      build()
    end
  end

  @impl true
  def manifests, do: [manifest()]

  @impl true
  def clean do
    File.rm_rf!(priv_dir())
    File.rm_rf!(target_dir())
    :ok
  end

  defp build do
    with {:ok, cargo} <- find_cargo(),
         # Taken before cargo starts: a file that changes meanwhile is then built next time.
         digest = sources_digest(),
         :ok <- cargo_build(cargo) do
      changed = Enum.map(@crates, &install/1)
      # Where _build holds a copy of priv instead of a link to it, the copy needs the new files.
      Mix.Project.build_structure()
      write_manifest({digest, installed_stats()})
      {if(:changed in changed, do: :ok, else: :noop), []}
    else
      {:error, message} ->
        Mix.shell().error(message)
        {:error, []}
    end
  end

  ## cargo

  defp find_cargo do
    # A rustup installation of a minute ago is not on the PATH of a shell that is older.
    home = System.get_env("CARGO_HOME") || Path.expand("~/.cargo")

    case System.find_executable("cargo") || System.find_executable(Path.join(home, "bin/cargo")) do
      nil -> {:error, cargo_missing()}
      cargo -> {:ok, cargo}
    end
  end

  defp cargo_build(cargo) do
    args = ["build", "--release", "--locked", "--target-dir", target_dir()]

    Mix.shell().info("Compiling #{length(@crates)} native libraries (cargo build --release)")

    {_output, status} =
      System.cmd(cargo, args,
        cd: native_dir(),
        stderr_to_stdout: true,
        into: IO.stream()
      )

    if status == 0, do: :ok, else: {:error, cargo_failed(cargo, status)}
  end

  defp cargo_missing do
    """
    erlang_python builds its native libraries from source, and cargo was not found.

    Install Rust #{required_rust()} or newer:

      Debian 13, Ubuntu 24.04 or newer:  sudo apt-get install rustup && rustup default stable
      elsewhere:                         see https://rustup.rs

    and run `mix compile` again.
    """
  end

  defp cargo_failed(cargo, status) do
    {version, 0} = System.cmd(cargo, ["--version"], cd: native_dir())

    """
    cargo could not build erlang_python's native libraries (exit status #{status}); its output is above.
    The build needs Rust #{required_rust()} or newer and used #{String.trim(version)}.
    """
  end

  defp required_rust do
    manifest = File.read!(Path.join(native_dir(), "Cargo.toml"))
    [_, version] = Regex.run(~r/^rust-version = "(.+)"$/m, manifest)
    version
  end

  ## Installing

  defp install(crate) do
    built = Path.join([target_dir(), "release", built_name(crate)])
    installed = installed_path(crate)

    if File.read(installed) == File.read(built) do
      :unchanged
    else
      File.mkdir_p!(priv_dir())
      # A running VM has the old file mapped: writing into it would crash that VM, a rename
      # leaves it the old one.
      temporary = "#{installed}.#{System.pid()}"
      File.cp!(built, temporary)
      File.rename!(temporary, installed)
      :changed
    end
  end

  defp built_name(crate) do
    case :os.type() do
      {:win32, _} -> "#{crate}.dll"
      {:unix, :darwin} -> "lib#{crate}.dylib"
      {:unix, _} -> "lib#{crate}.so"
    end
  end

  # erlang:load_nif/2 adds the extension itself, and on macOS it adds `.so` too.
  defp installed_path(crate) do
    extension = if match?({:win32, _}, :os.type()), do: "dll", else: "so"
    Path.join(priv_dir(), "lib#{crate}.#{extension}")
  end

  ## The manifest: what was built, and what became of it

  defp sources_digest do
    native_dir()
    |> Path.join("**/*")
    |> Path.wildcard(match_dot: true)
    |> Enum.reject(&String.starts_with?(&1, Path.join(native_dir(), "target/")))
    |> Enum.filter(&File.regular?/1)
    |> Enum.map(&[&1, 0, :erlang.md5(File.read!(&1))])
    |> :erlang.md5()
  end

  # Another project that has this one as a path dependency may have installed its own build.
  defp installed_stats do
    for crate <- @crates do
      case File.stat(installed_path(crate), time: :posix) do
        {:ok, stat} -> {crate, stat.size, stat.mtime}
        {:error, _} -> {crate, :missing}
      end
    end
  end

  defp read_manifest do
    with {:ok, binary} <- File.read(manifest()),
         {@manifest_vsn, built} <- :erlang.binary_to_term(binary) do
      built
    else
      _ -> nil
    end
  end

  defp write_manifest(built) do
    File.write!(manifest(), :erlang.term_to_binary({@manifest_vsn, built}))
  end

  defp manifest, do: Path.join(target_dir(), "compile.python_native")

  ## Folders

  # Mix runs a compiler in the folder of the project that it compiles, also for a dependency.
  defp native_dir, do: Path.expand("native")
  defp priv_dir, do: Path.expand("priv/native")
  defp target_dir, do: Mix.Project.build_path() |> Path.dirname() |> Path.join("native")
end
