defmodule Mix.Tasks.Python.Release.Checksums do
  @moduledoc """
  Writes `checksum-erlang_python.exs` from a folder of artifacts.

      mix python.release.checksums FOLDER

  The folder must contain the artifact of every target, and nothing else: the package can be installed only on targets
  whose artifact is in the checksum file.

  ## Options

    * `--target TARGET` - a target in the folder; can be repeated. Defaults to all targets.
    * `--version VERSION` - the version of the release. Defaults to that of `mix.exs`.
  """

  # Part of making a release: RELEASE.md. Without a @shortdoc, as python.release.artifact.

  use Mix.Task

  alias Python.Native.Artifact

  @impl true
  def run(args) do
    {options, arguments} = OptionParser.parse!(args, strict: [target: :keep, version: :string])

    folder =
      case arguments do
        [folder] ->
          folder

        _ ->
          Mix.raise(
            "expected one folder, that of the artifacts, got: #{Enum.join(arguments, " ")}"
          )
      end

    targets =
      case Keyword.get_values(options, :target) do
        [] -> Artifact.targets()
        targets -> targets
      end

    version = options[:version] || Mix.Project.config()[:version]

    case Artifact.write_checksums(folder, version, targets) do
      {:ok, names} ->
        Mix.shell().info(["#{Artifact.checksum_file()}:\n" | Enum.map(names, &"  #{&1}\n")])

      {:error, message} ->
        Mix.raise(message)
    end
  end
end
