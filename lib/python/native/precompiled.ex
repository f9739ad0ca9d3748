defmodule Python.Native.Precompiled do
  @moduledoc false

  # Installs the artifact of a release with rustler_precompiled, which finds the target, downloads, caches, and
  # compares checksums.
  #
  # `use RustlerPrecompiled` would load the library by @on_load, before libpython is open, and would name another package
  # to build with. Its functions are called by name, because a checkout has no Hex packages.

  alias Python.Native.{Artifact, Library}

  @base_url_variable "ERLANG_PYTHON_ARTIFACTS"

  @doc "Identifies the artifact to install."
  def digest do
    environment = for name <- ~w(TARGET_ARCH TARGET_OS TARGET_ABI), do: System.get_env(name)
    :erlang.md5(:erlang.term_to_binary({version(), Artifact.checksums(), environment}))
  end

  @spec install() :: :ok | {:error, String.t()}
  def install do
    Enum.each([:rustler_precompiled, :castore], &ensure_dependency/1)

    with {:ok, rustler_precompiled} <- find_rustler_precompiled(),
         config = config(rustler_precompiled),
         {:ok, metadata} <- metadata(rustler_precompiled, config),
         :ok <- known(metadata.file_name) do
      # The download needs these, and Mix may have removed them from the code path.
      Enum.each([:crypto, :inets, :ssl], &ensure_application/1)

      # The archive is extracted in place. A running VM that has mapped the old files keeps them if they are removed.
      Enum.each(Library.crates(), &File.rm(Library.installed_path(&1)))
      download(rustler_precompiled, config, metadata)
    end
  end

  defp download(rustler_precompiled, config, metadata) do
    case rustler_precompiled.download_or_reuse_nif_file(config, metadata) do
      {:ok, _loading} ->
        installed(metadata.file_name)

      {:error, reason} ->
        if genuine?(metadata.cached_tar_gz) do
          {:error, download_failed(metadata.file_name, reason)}
        else
          # Else it would stay in the cache.
          File.rm(metadata.cached_tar_gz)
          {:error, checksum_differs(metadata.file_name)}
        end
    end
  end

  defp genuine?(path) do
    {:ok, checksums} = Artifact.checksums()
    not File.exists?(path) or Artifact.checksum(path) == checksums[Path.basename(path)]
  end

  defp installed(name) do
    case Enum.reject(Library.crates(), &File.exists?(Library.installed_path(&1))) do
      [] -> Library.make_executable()
      missing -> {:error, unusable("#{name} does not hold #{Enum.join(missing, " and ")}")}
    end
  end

  # The functions are undocumented, so a newer version may lack them.
  defp find_rustler_precompiled do
    module = Module.concat(["RustlerPrecompiled"])

    if Code.ensure_loaded?(module) and function_exported?(module, :build_metadata, 1) and
         function_exported?(module, :download_or_reuse_nif_file, 2) do
      {:ok, module}
    else
      {:error, unusable("the package rustler_precompiled (0.8) is missing or has changed")}
    end
  end

  defp config(rustler_precompiled) do
    Module.concat(rustler_precompiled, Config).new(
      otp_app: :erlang_python,
      # The checksum file is named after it.
      module: :erlang_python,
      # Without a slash at its end, a host alone would not become a URL.
      base_url: String.trim_trailing(base_url(), "/") <> "/",
      version: version(),
      targets: Artifact.targets(),
      nif_versions: [Artifact.nif_version()],
      max_retries: 2,
      force_build: false
    )
  end

  defp metadata(rustler_precompiled, config) do
    with {:error, reason} <- rustler_precompiled.build_metadata(config) do
      {:error, unusable(reason)}
    end
  end

  defp known(name) do
    case Artifact.checksums() do
      {:ok, %{^name => _}} ->
        :ok

      _ ->
        file = Path.basename(Artifact.checksum_file())
        {:error, unusable("#{file} of this package says nothing of #{name}")}
    end
  end

  defp version, do: Mix.Project.config()[:version]

  defp base_url do
    System.get_env(@base_url_variable) ||
      "#{Mix.Project.config()[:source_url]}/releases/download/v#{version()}"
  end

  # Since Elixir 1.15, Mix removes applications from the path and has this function to add them.
  defp ensure_application(name) do
    if function_exported?(Mix, :ensure_application!, 1) do
      apply(Mix, :ensure_application!, [name])
    end
  end

  # Since Elixir 1.15, Mix removes dependencies of dependencies from the path, and those that are only needed to compile
  # a package, if that is compiled alone. castore has the certificates.
  defp ensure_dependency(name) do
    path = Path.join([Mix.Project.build_path(), "lib", to_string(name), "ebin"])
    if File.dir?(path), do: Code.prepend_path(path)
  end

  ## Messages

  defp unusable(reason) do
    """
    erlang_python has no precompiled native libraries for this build: #{reason}.

    #{build_it()}
    """
  end

  defp download_failed(name, reason) do
    """
    erlang_python could not download its native libraries, #{name}:
    #{reason |> to_string() |> String.slice(0, 400)}

    Is #{base_url()} reachable from here? Behind a proxy set HTTPS_PROXY; where downloads come
    from a mirror, set #{@base_url_variable} to the URL of the folder that holds the file.
    #{build_it()}
    """
  end

  defp checksum_differs(name) do
    """
    erlang_python has refused its native libraries: the checksum of #{name}
    is not the one that the package names, so the file was damaged or replaced. It has been deleted.

    Compile again to download it anew. If that does not help, somebody between here and
    #{base_url()} changes it: please report that.
    #{build_it()}
    """
  end

  defp build_it do
    "To build the libraries here, which needs Rust, set ERLANG_PYTHON_BUILD=1 and compile again:\n" <>
      "    ERLANG_PYTHON_BUILD=1 mix deps.compile erlang_python --force"
  end
end
