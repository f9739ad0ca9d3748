defmodule Python.Native.Artifact do
  @moduledoc false

  # An artifact is the archive of the libraries for one target, and the checksum file says which
  # artifacts are genuine. Names and formats are those of rustler_precompiled. May use the file
  # system; knows nothing of how libraries are built or downloaded.

  alias Python.Native.Library

  # The oldest that rustler supports: that of OTP 22.
  @nif_version "2.15"

  @targets [
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-gnu",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "x86_64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl"
  ]

  def nif_version, do: @nif_version

  @doc "The targets of a release. RELEASE.md says why Windows is not among them."
  def targets, do: @targets

  def checksum_file, do: Path.expand("checksum-erlang_python.exs")

  @doc "The name of an artifact, such as `liberlang_python-v1.2.3-nif-2.15-x86_64-unknown-linux-gnu.so.tar.gz`."
  def name(version, target) do
    "liberlang_python-v#{version}-nif-#{@nif_version}-#{target}.so.tar.gz"
  end

  @doc "Packs the libraries that cargo has built in `folder`. Returns the path of the artifact."
  @spec pack(Path.t(), String.t(), String.t(), Path.t()) :: Path.t()
  def pack(folder, version, target, output) do
    path = Path.join(output, name(version, target))

    files =
      for crate <- Library.crates() do
        built = Path.join(folder, Library.built_name(crate, target))
        {String.to_charlist(Library.installed_name(crate, target)), File.read!(built)}
      end

    File.mkdir_p!(output)
    :ok = :erl_tar.create(String.to_charlist(path), files, [:compressed])
    path
  end

  @doc """
  Writes the checksum file, from a folder of artifacts. Returns their names.

  The folder must contain the artifact of every target, and no other version: the package can be installed only on
  targets whose artifact is in the checksum file.
  """
  @spec write_checksums(Path.t(), String.t(), [String.t()]) ::
          {:ok, [String.t()]} | {:error, String.t()}
  def write_checksums(folder, version, targets) do
    expected = Enum.map(targets, &name(version, &1))
    found = folder |> Path.join("*.tar.gz") |> Path.wildcard() |> Enum.map(&Path.basename/1)

    case {expected -- found, found -- expected} do
      {[], []} ->
        lines =
          for name <- Enum.sort(expected) do
            ~s(  "#{name}" => "#{checksum(Path.join(folder, name))}",\n)
          end

        File.write!(checksum_file(), ["%{\n", lines, "}\n"])
        {:ok, Enum.sort(expected)}

      {missing, unknown} ->
        {:error, incomplete(folder, missing, unknown)}
    end
  end

  @doc "The checksums in the package: a map from names to `\"sha256:…\"`."
  @spec checksums() :: {:ok, %{String.t() => String.t()}} | :error
  def checksums do
    with {:ok, source} <- File.read(checksum_file()),
         {%{} = checksums, _binding} <- Code.eval_string(source) do
      {:ok, checksums}
    else
      _ -> :error
    end
  end

  def checksum(path) do
    # This code runs under Mix only, and the application does not depend on :crypto: the compiler would warn of a plain
    # call. The option against that changed with Elixir 1.20.
    hash = apply(:crypto, :hash, [:sha256, File.read!(path)])
    "sha256:" <> Base.encode16(hash, case: :lower)
  end

  defp incomplete(folder, missing, unknown) do
    listed = fn heading, names ->
      if names != [], do: [heading, "\n", Enum.map(names, &["  ", &1, "\n"])], else: []
    end

    IO.iodata_to_binary([
      "No checksums were written: #{folder} has to hold the artifact of every target, and only these.\n",
      listed.("Missing:", missing),
      listed.("Not expected:", unknown),
      "Download the artifacts again, or name the targets with --target."
    ])
  end
end
