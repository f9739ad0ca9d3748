defmodule Mix.Tasks.Python.Release.Artifact do
  @moduledoc """
  Builds the native libraries and packs them as a release's artifact.

      mix python.release.artifact
      mix python.release.artifact --glibc 2.17

  Prints the path of the artifact. It is for the machine that the task runs on, unless `--target` names another one.

  ## Options

    * `--target TARGET` - the Rust target. Defaults to this machine.
    * `--glibc VERSION` - the oldest glibc that the libraries support. Needs cargo-zigbuild. Defaults to the glibc of this
      machine, which is too new for a release.
    * `--output FOLDER` - the folder for the artifact. Defaults to `_build/artifacts`.
    * `--version VERSION` - the version of the release. Defaults to that of `mix.exs`.
  """

  # Part of making a release: RELEASE.md. Without a @shortdoc, so that `mix help` of those who use the
  # package does not list it.

  use Mix.Task

  alias Python.Native.{Artifact, Cargo}

  @switches [target: :string, glibc: :string, output: :string, version: :string]

  @impl true
  def run(args) do
    {options, []} = OptionParser.parse!(args, strict: @switches)
    target = options[:target] || done!(Cargo.host_target())

    if target not in Artifact.targets() do
      Mix.raise(
        "No release has an artifact for #{target}. Targets: #{Enum.join(Artifact.targets(), ", ")}"
      )
    end

    # Named only when it is wanted: cargo then builds where it builds for `mix compile`.
    build_target = if options[:target] || options[:glibc], do: target
    folder = done!(Cargo.build(target: build_target, glibc: options[:glibc]))

    version = options[:version] || Mix.Project.config()[:version]
    output = Path.expand(options[:output] || "_build/artifacts")
    path = Artifact.pack(folder, version, target, output)
    Mix.shell().info("#{path} (#{File.stat!(path).size} bytes)")
  end

  defp done!({:ok, result}), do: result
  defp done!({:error, message}), do: Mix.raise(message)
end
