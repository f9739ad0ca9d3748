defmodule Mix.Tasks.Python.Prune do
  @shortdoc "Removes Python environments that are not used"

  @moduledoc """
  Removes the environments that no project has used for 30 days, and what interrupted installations have left.

      mix python.prune
      mix python.prune --days 7

  An environment that a running VM uses stays. All projects of a user share the folder of the environments, which is
  printed.

  ## Options

    * `--days` - how many days without use. Defaults to 30. With 0, all that no VM uses now are removed.
    * `--quiet` - prints errors only.
  """

  # A shell around Python.Environment.Prune.

  use Mix.Task

  alias Python.Environment
  alias Python.Environment.{Prune, Spec}

  @impl true
  def run(args) do
    options = Environment.Task.parse!(args, [days: :integer, quiet: :boolean], "python.prune")
    days = Keyword.get(options, :days, 30)
    if days < 0, do: Mix.raise("expected --days to be 0 or more, got: #{days}")

    Mix.Task.run("app.config")
    store = store()
    show = Environment.Task.show(options)
    removed = Prune.run(store, days)

    for {folder, size} <- removed, do: show.("Removed #{folder} (#{megabytes(size)})")
    total = removed |> Enum.map(&elem(&1, 1)) |> Enum.sum()
    show.("#{length(removed)} removed from #{store}, #{megabytes(total)}")
  end

  defp store do
    case Python.Settings.fetch() do
      {:ok, %{python: spec}} -> Spec.store(spec)
      {:error, error} -> Mix.raise(Exception.message(error))
    end
  end

  defp megabytes(bytes), do: "#{Float.round(bytes / 1_048_576, 1)} MiB"
end
