defmodule Python.Native.Cargo do
  @moduledoc false

  # Builds the Rust workspace in native/. Does not know where the libraries are installed.

  alias Python.Native.Library

  # Environment variables that change what cargo builds.
  @variables ~w(RUSTFLAGS RUSTC RUSTUP_TOOLCHAIN CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_ CARGO_PROFILE_)

  @doc """
  Builds the libraries. Returns the folder that they are in.

  ## Options

    * `:target` - the Rust target. Defaults to the variable `CARGO_BUILD_TARGET`, then to this machine.
    * `:glibc` - the oldest glibc that the libraries support. Needs cargo-zigbuild. Defaults to the glibc of this
      machine.
  """
  @spec build(keyword) :: {:ok, Path.t()} | {:error, String.t()}
  def build(options \\ []) do
    count = length(Library.crates())
    run(command(options), &"Compiling #{count} native libraries (cargo #{&1} --release)")
  end

  @doc "Builds a library that is not part of the package. Returns its path, as `:erlang.load_nif/2` takes it."
  @spec build_one(String.t()) :: {:ok, charlist} | {:error, String.t()}
  def build_one(crate) do
    {command, arguments, folder} = command([])
    arguments = ["--quiet", "--package", crate | arguments]

    with {:ok, folder} <-
           run({command, arguments, folder}, fn _command -> "Compiling #{crate}" end) do
      library = folder |> Path.join(Library.built_name(crate, Library.host())) |> loadable()
      {:ok, library |> Path.rootname() |> String.to_charlist()}
    end
  end

  # The VM adds `.so` on macOS too.
  defp loadable(library) do
    so = Path.rootname(library) <> ".so"
    if Path.extname(library) == ".dylib", do: File.cp!(library, so)
    so
  end

  defp run({command, arguments, folder}, announced) do
    with {:ok, cargo} <- find_cargo() do
      common = ["--release", "--locked", "--target-dir", target_dir()]
      Mix.shell().info(announced.(command))

      {_output, status} =
        System.cmd(cargo, [command | common] ++ arguments,
          cd: native_dir(),
          stderr_to_stdout: true,
          into: IO.stream()
        )

      if status == 0, do: {:ok, folder}, else: {:error, cargo_failed(cargo, command, status)}
    end
  end

  @doc "The default target of cargo: this machine."
  @spec host_target() :: {:ok, String.t()} | {:error, String.t()}
  def host_target do
    with {:ok, cargo} <- find_cargo() do
      {version, 0} = System.cmd(cargo, ["--version", "--verbose"], cd: native_dir())
      [_, target] = Regex.run(~r/^host: (.+)$/m, version)
      {:ok, target}
    end
  end

  @doc "A digest of the sources, and of the environment variables that change the build."
  def sources_digest do
    sources =
      native_dir()
      |> Path.join("**/*")
      |> Path.wildcard(match_dot: true)
      |> Enum.reject(&String.starts_with?(&1, Path.join(native_dir(), "target/")))
      |> Enum.filter(&File.regular?/1)
      |> Enum.map(&[Path.relative_to(&1, native_dir()), 0, :erlang.md5(File.read!(&1))])

    variables =
      for {name, value} <- Enum.sort(System.get_env()),
          String.starts_with?(name, @variables),
          do: [name, 0, value, 0]

    :erlang.md5([sources, variables])
  end

  @doc """
  The folder in which cargo builds, in the checkout: all Mix environments and all projects that depend on the checkout
  share it.
  """
  # Mix runs a compiler in the folder of the project that it compiles, also for a dependency.
  def target_dir, do: Path.expand("_build/native")

  defp native_dir, do: Path.expand("native")

  defp command(options) do
    case {options[:target] || System.get_env("CARGO_BUILD_TARGET"), options[:glibc]} do
      {nil, nil} ->
        {"build", [], Path.join(target_dir(), "release")}

      {target, nil} ->
        {"build", ["--target", target], Path.join([target_dir(), target, "release"])}

      {target, glibc} when is_binary(target) ->
        arguments = ["--target", "#{target}.#{glibc}"]
        {"zigbuild", arguments, Path.join([target_dir(), target, "release"])}
    end
  end

  defp find_cargo do
    # A shell that was opened before rustup was installed does not have it on its PATH.
    home = System.get_env("CARGO_HOME") || Path.expand("~/.cargo")

    case System.find_executable("cargo") || System.find_executable(Path.join(home, "bin/cargo")) do
      nil -> {:error, cargo_missing()}
      cargo -> {:ok, cargo}
    end
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

  defp cargo_failed(cargo, command, status) do
    {version, 0} = System.cmd(cargo, ["--version"], cd: native_dir())

    """
    cargo could not build erlang_python's native libraries (exit status #{status}); its output is above.
    The build needs Rust #{required_rust()} or newer and used #{String.trim(version)}.
    #{if command == "zigbuild", do: "`cargo zigbuild` needs cargo-zigbuild and zig on the PATH.\n"}\
    """
  end

  defp required_rust do
    manifest = File.read!(Path.join(native_dir(), "Cargo.toml"))
    [_, version] = Regex.run(~r/^rust-version = "(.+)"$/m, manifest)
    version
  end
end
