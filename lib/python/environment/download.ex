defmodule Python.Environment.Download do
  @moduledoc false

  # A uv of a pinned version, in the folder of the environments: installed by an interpreter's own `pip`, which knows the
  # index, the proxies and the certificates of this machine; where there is none, a file of uv's releases that has the
  # hash below.

  alias Python.Environment.{Failure, Http, Indexes, Secrets, Spec, Store}
  alias Python.{InstallError, Interpreter, Program}

  @version "0.12.5"
  @releases "https://github.com/astral-sh/uv/releases/download"
  @pip_timeout 600_000

  # The SHA-256 of uv-TARGET.tar.gz.
  @hashes %{
    "aarch64-apple-darwin" => "5bb0e5fe008a773c3dbcb97ff79cd89e1241464fe9d2f986d52ad8f1b037bd62",
    "aarch64-unknown-linux-gnu" =>
      "9bf43b4d1a07665bf64d4c4e710930b382321a785e0eb10aac07f46471f86a31",
    "aarch64-unknown-linux-musl" =>
      "8767a0e77f2cd45436401b1b42bf7e9ed5a4a91a74a5305d6fe93249d0f6dbc5",
    "armv7-unknown-linux-gnueabihf" =>
      "63f86f3cd92de223c2680dee5149ed3f317ad7aeac774fd7e6fe1f86f53e85da",
    "armv7-unknown-linux-musleabihf" =>
      "62f838f29cad6fda061b1566168555978c544a4107697cd1967398b7f8efea84",
    "i686-unknown-linux-gnu" =>
      "4875a06092c3b0aa8ece5265a42b053dfef649adba26434b5e40eeb58c2a2aa5",
    "i686-unknown-linux-musl" =>
      "b920f32f0910be363f770485117e08494eec0b09abb4f3f9f1f9b9f53a29394c",
    "powerpc64le-unknown-linux-gnu" =>
      "af3f868fc8af2c3a688b1a202cbed507ec5bb32522876141f1b7f4200ed0395f",
    "riscv64gc-unknown-linux-gnu" =>
      "2a6fe4a685225082d82f8afba169d038d669f85bf6cff7f5f733079a7b7282d5",
    "riscv64gc-unknown-linux-musl" =>
      "c7fc653d16f0214eaaf2b3af537ec917af4861e3d00c0f10e0784fe4cbc1dcd6",
    "s390x-unknown-linux-gnu" =>
      "858d51fd178fe99c69923cef568fbac3f297f3767c0e0d985aa172bc1f3e2274",
    "x86_64-apple-darwin" => "b3b2137477cf96c9686ebfb71524614cec780c673fd73e59bce099aef02e70e8",
    "x86_64-unknown-linux-gnu" =>
      "68a509da24b06b4223a1c0175fb5eb5bc79342b76cbeff0cfe51ac3f5b17b6b2",
    "x86_64-unknown-linux-musl" =>
      "a4742988791c9aeae68c78150d6cba762062ad2a47e53738c2779d2b596bfcdb"
  }

  @by_yourself "Or install uv by yourself and put it on PATH, or name it: python: [uv: \"/path/to/uv\"]."

  @doc "The version that is downloaded."
  def version, do: @version

  @doc "The one that was downloaded before."
  @spec kept(Path.t()) :: {:ok, Path.t()} | :none
  def kept(store) do
    path = Path.join([store, "uv", @version, "bin/uv"])

    if Store.whole(store, "uv", @version) != :none and File.exists?(path),
      do: {:ok, path},
      else: :none
  end

  @doc "By the `pip` of this interpreter, or from uv's releases."
  @spec get(Spec.t(), Path.t() | nil, Path.t(), (String.t() -> any)) ::
          {:ok, Path.t()} | {:error, InstallError.t()}
  def get(spec, python, store, show) do
    make(store, show, fn folder ->
      with {:error, by_pip} <- by_pip(spec, python, folder, show),
           {:error, error} <- release(spec, @releases, folder, show) do
        {:error, neither(by_pip, error)}
      end
    end)
  end

  @doc "From a mirror of uv's releases."
  @spec fetch(Spec.t(), String.t(), Path.t(), (String.t() -> any)) ::
          {:ok, Path.t()} | {:error, InstallError.t()}
  def fetch(spec, mirror, store, show) do
    make(store, show, &release(spec, mirror, &1, show))
  end

  defp make(store, show, work) do
    waiting = fn -> show.("Waiting for another process that downloads uv") end

    with {:ok, folder, _made} <- Store.make(store, {"uv", @version}, waiting, work),
         do: {:ok, Path.join(folder, "bin/uv")}
  end

  ## pip

  defp by_pip(_spec, nil, _folder, _show), do: {:error, nil}

  defp by_pip(spec, python, folder, show) do
    with {:error, %{output: output}} = error when is_binary(output) <-
           by_pip_of(spec, python, folder, show) do
      # A virtual environment may have none, such as those that uv makes.
      if output =~ "No module named pip",
        do: Enum.reduce_while(below(python), error, &next(&1, &2, spec, folder, show)),
        else: error
    end
  end

  defp next(python, error, spec, folder, show) do
    case by_pip_of(spec, python, folder, show) do
      {:ok, mark} -> {:halt, {:ok, mark}}
      {:error, _} -> {:cont, error}
    end
  end

  defp below(python) do
    with {:ok, %{base_prefix: prefix, prefix: own, version: {major, minor, _}}}
         when prefix != own <- Interpreter.find(python, embed: false),
         path = Path.join(prefix, "bin/python#{major}.#{minor}"),
         true <- File.exists?(path) do
      [path]
    else
      _ -> []
    end
  end

  defp by_pip_of(spec, python, folder, show) do
    show.("Downloading uv #{@version} by the pip of #{python}")
    links = for link <- spec.find_links, not Spec.url?(link), do: "--find-links=" <> link
    offline = if spec.offline, do: ["--no-index"], else: []

    arguments =
      ~w(-m pip install --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: --upgrade) ++
        links ++ offline ++ ["--target", folder, "uv==#{@version}"]

    # What a user has set for packages of his own.
    env = %{
      "PIP_USER" => "0",
      "PIP_REQUIRE_VIRTUALENV" => "0",
      "PIP_TARGET" => nil,
      "PIP_PREFIX" => nil
    }

    options = [
      env: Map.merge(env, spec.env),
      timeout: @pip_timeout,
      mask: &Secrets.mask_url/1
    ]

    case Program.run(python, arguments, options) do
      {:ok, _} ->
        # Which pip leaves to the wheel.
        File.chmod(Path.join(folder, "bin/uv"), 0o755)
        {:ok, %{version: @version, by: :pip}}

      {:error, failure} ->
        {:error, Failure.program("downloading uv by the pip of #{python}", failure)}
    end
  end

  ## Releases

  defp release(%{offline: true}, _mirror, _folder, _show) do
    {:error,
     InstallError.new(:no_uv, "there is no uv, and it is not to be downloaded (:offline)",
       remedy: @by_yourself
     )}
  end

  defp release(spec, mirror, folder, show) do
    with {:ok, target} <- target(),
         {:ok, base, mask} <- Indexes.url(spec, String.trim_trailing(mirror, "/")),
         file = "/#{@version}/uv-#{target}.tar.gz",
         shown = Secrets.mask_url(mirror) <> file,
         show.("Downloading #{shown}"),
         {:ok, archive} <-
           masked(Http.get(base <> file, Map.merge(System.get_env(), spec.env)), mask),
         :ok <- check(archive, @hashes[target], shown),
         :ok <- unpack(archive, folder, shown) do
      {:ok, %{version: @version, by: :release}}
    end
  end

  defp masked({:error, error}, mask), do: {:error, %{error | message: mask.(error.message)}}
  defp masked(result, _mask), do: result

  defp target do
    target = target(to_string(:erlang.system_info(:system_architecture)))

    if is_map_key(@hashes, target) do
      {:ok, target}
    else
      message =
        "there is no release of uv for this system (#{:erlang.system_info(:system_architecture)})"

      {:error, InstallError.new(:no_uv, message, remedy: @by_yourself)}
    end
  end

  @doc "The name of a system in uv's releases, from its name in the VM."
  @spec target(String.t()) :: String.t()
  def target(architecture) do
    [cpu | _] = String.split(architecture, "-")
    musl = if architecture =~ "musl", do: "musl", else: "gnu"

    case {cpu, architecture =~ "darwin"} do
      {cpu, true} when cpu in ["aarch64", "arm64", "arm"] -> "aarch64-apple-darwin"
      {_cpu, true} -> "x86_64-apple-darwin"
      {"amd64", _} -> "x86_64-unknown-linux-#{musl}"
      {"arm" <> _, _} -> "armv7-unknown-linux-#{musl}eabihf"
      {"riscv64", _} -> "riscv64gc-unknown-linux-#{musl}"
      {<<?i, _, "86">>, _} -> "i686-unknown-linux-#{musl}"
      {cpu, _} when cpu in ["powerpc64le", "s390x"] -> "#{cpu}-unknown-linux-gnu"
      {cpu, _} -> "#{cpu}-unknown-linux-#{musl}"
    end
  end

  @doc false
  # Whether the content of a file is the one that was pinned.
  def check(archive, hash, url) do
    with :ok <- Http.ensure(:crypto) do
      case Base.encode16(apply(:crypto, :hash, [:sha256, archive]), case: :lower) do
        ^hash ->
          :ok

        other ->
          {:error,
           InstallError.new(
             :wrong_hash,
             "#{url} is not the file that was released: its SHA-256 is #{other} and not #{hash}",
             remedy: "Do not trust it. #{@by_yourself}",
             details: %{expected: hash, got: other}
           )}
      end
    end
  end

  @doc false
  # The program in an archive of a release.
  def unpack(archive, folder, url) do
    path = Path.join(folder, "bin/uv")

    with {:ok, files} <- :erl_tar.extract({:binary, archive}, [:compressed, :memory]),
         {_name, program} <-
           Enum.find(files, fn {name, _} -> Path.basename(to_string(name)) == "uv" end),
         {:write, :ok} <- {:write, File.mkdir_p(Path.dirname(path))},
         {:write, :ok} <- {:write, File.write(path, program)},
         {:write, :ok} <- {:write, File.chmod(path, 0o755)} do
      :ok
    else
      {:write, {:error, reason}} -> {:error, Failure.file(reason, path)}
      _ -> {:error, InstallError.new(:no_uv, "#{url} has no uv in it", remedy: @by_yourself)}
    end
  end

  defp neither(nil, error), do: %{error | remedy: "#{error.remedy} #{@by_yourself}"}

  defp neither(by_pip, error) do
    InstallError.new(
      if(by_pip.reason in [:failed, :no_uv], do: error.reason, else: by_pip.reason),
      "uv, which makes environments, was not found and could not be downloaded",
      output:
        "#{by_pip.message}:\n#{by_pip.output}\n\n#{error.message}\n#{error.output}"
        |> String.trim(),
      remedy: String.trim("#{by_pip.remedy} #{@by_yourself}")
    )
  end
end
