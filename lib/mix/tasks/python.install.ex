defmodule Mix.Tasks.Python.Install do
  @shortdoc "Makes the Python environment of the project"

  @moduledoc """
  Makes the environment that the setting `python` asks for, Python and its packages, and those of the setting
  `environments`.

      mix python.install
      mix python.install --check

  It installs what the lock pins that `mix python.lock` has written, or what is asked for if there is no lock. If the
  environment is there already, it is left alone. The guide [Packages](packages.md) has more.

  The exit status is 0 when the environment is there, and 1 when it is not.

  ## Options

    * `--check` - makes nothing, and says whether the environment is there and in step with the configuration and the
      lock.
    * `--offline` - uses no network: packages come from uv's cache and from the folders of `:find_links`.
    * `--force` - makes the environment again.
    * `--quiet` - prints errors only.
  """

  # A shell around Python.Environment.

  use Mix.Task

  alias Python.Environment

  @switches [check: :boolean, offline: :boolean, force: :boolean, quiet: :boolean]

  @impl true
  def run(args) do
    options = Environment.Task.parse!(args, @switches, "python.install")
    specs = Environment.Task.specs!(options)

    if options[:check],
      do: check(specs),
      else: Enum.each(specs, &install(&1, options))
  end

  defp install(spec, options) do
    show = Environment.Task.show(options)

    case Environment.Install.run(spec, show, options[:force] == true) do
      {:ok, %{made: :found, folder: folder}} -> show.("It is there already: #{folder}")
      {:ok, %{folder: folder}} -> show.("The environment is in #{folder}")
      {:error, error} -> Mix.raise(Exception.message(error))
    end
  end

  defp check(specs) do
    if not (specs |> Enum.map(&in_step?/1) |> Enum.all?()), do: exit({:shutdown, 1})
  end

  defp in_step?(spec) do
    %{problems: problems, notes: notes} = check = Environment.Check.run(spec)

    for {text, remedy} <- problems, do: Mix.shell().error("#{text} #{remedy}")
    for note <- notes, do: Mix.shell().info("Note: #{note}")

    if problems == [],
      do: Mix.shell().info("The environment is there and in step: #{check.environment.folder}")

    problems == []
  end
end
