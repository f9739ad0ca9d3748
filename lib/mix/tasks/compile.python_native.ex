defmodule Mix.Tasks.Compile.PythonNative do
  @shortdoc "Installs the native libraries"

  @moduledoc """
  Installs the native libraries into `priv/native`.

  `mix compile` runs it.

  | version | libraries |
  |---|---|
  | released | downloaded for this machine, with `rustler_precompiled` |
  | development, or any with `ERLANG_PYTHON_BUILD=1` | built from the Rust workspace in `native/` |

  It runs only if a source or the artifact has changed, or with `--force`. cargo builds in the folder `_build/native` of
  erlang_python itself, not of the project that depends on it. So all Mix environments share a build, and all projects
  that depend on the same checkout. They build one after the other.

  If there is a Python interpreter, it compiles the Python files of erlang_python, which makes starts faster.
  The build needs none, and no headers: the libraries use the stable ABI and find libpython when they
  are loaded. `native/.cargo/config.toml` configures pyo3 so.
  """

  # The task decides whether there is something to do, and asks for it.

  use Mix.Task.Compiler

  alias Python.Native.{Bytecode, Cargo, Library, Lock, Precompiled}

  @recursive true

  @manifest_vsn 2

  @impl true
  def run(args) do
    compile_python()
    install(args)
  end

  # Of use, and not needed.
  defp compile_python do
    digest = Bytecode.digest()

    unless digest == nil or read(bytecode_manifest()) == digest do
      Bytecode.compile(digest)
      _ = write(bytecode_manifest(), digest)
    end
  end

  defp install(args) do
    if "--force" not in args and current?(digest()) do
      {:noop, []}
    else
      waiting = fn -> Mix.shell().info("Waiting for another build of the native libraries") end

      Lock.hold(Cargo.target_dir(), waiting, fn ->
        # Before the build: a file that changes meanwhile is then built next time.
        digest = digest()
        # The other one may have built what is wanted here.
        if "--force" not in args and current?(digest),
          do: built_elsewhere(),
          else: install_libraries(digest)
      end)
    end
  end

  defp current?(digest), do: read_manifest() == {digest, Library.installed_stats()}

  defp built_elsewhere do
    Mix.Project.build_structure()
    {:ok, []}
  end

  @impl true
  def manifests, do: [manifest(), bytecode_manifest()]

  @impl true
  def clean do
    File.rm_rf!(Library.folder())
    File.rm_rf!(Bytecode.folder())
    File.rm_rf!(Cargo.target_dir())
    :ok
  end

  defp install_libraries(digest) do
    case install_libraries() do
      {:ok, status} ->
        # Where _build holds a copy of priv instead of a link to it, the copy needs the new files.
        Mix.Project.build_structure()
        write_manifest({digest, Library.installed_stats()})
        {status, []}

      {:error, message} ->
        Mix.shell().error(message)
        {:error, []}
    end
  end

  defp install_libraries do
    case native() do
      :cargo ->
        with {:ok, folder} <- Cargo.build() do
          changed =
            for crate <- Library.crates() do
              Library.install(crate, Path.join(folder, Library.built_name(crate, Library.host())))
            end

          {:ok, if(:changed in changed, do: :ok, else: :noop)}
        end

      :precompiled ->
        with :ok <- Precompiled.install(), do: {:ok, :ok}
    end
  end

  defp digest do
    case native() do
      :cargo -> {:cargo, Cargo.sources_digest()}
      :precompiled -> {:precompiled, Precompiled.digest()}
    end
  end

  # mix.exs decides it, as the dependencies depend on it.
  defp native, do: Mix.Project.config()[:native]

  ## The manifest: what was installed, and what became of it

  defp read_manifest, do: read(manifest())
  defp write_manifest(installed), do: :ok = write(manifest(), installed)

  defp read(manifest) do
    with {:ok, binary} <- File.read(manifest),
         {@manifest_vsn, kept} <- :erlang.binary_to_term(binary) do
      kept
    else
      _ -> nil
    end
  end

  defp write(manifest, kept) do
    with :ok <- File.mkdir_p(Path.dirname(manifest)),
         do: File.write(manifest, :erlang.term_to_binary({@manifest_vsn, kept}))
  end

  defp manifest, do: Path.join(Cargo.target_dir(), "compile.python_native")
  defp bytecode_manifest, do: Path.join(Cargo.target_dir(), "compile.python_bytecode")
end
