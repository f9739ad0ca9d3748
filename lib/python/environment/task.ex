defmodule Python.Environment.Task do
  @moduledoc false

  # What the Mix tasks about environments have in common. Mix is there when they run.

  alias Python.Environment.Spec

  @doc "The options of a task, which has no other arguments."
  @spec parse!([String.t()], keyword, String.t()) :: keyword
  def parse!(args, switches, name) do
    {options, rest} = OptionParser.parse!(args, strict: switches)

    if rest != [] do
      Mix.raise("expected options only, got: #{inspect(hd(rest))}. See mix help #{name}")
    end

    options
  end

  @doc "The environments that the project's configuration asks for: the settings `python` and `environments`."
  @spec specs!(keyword) :: [Spec.t()]
  def specs!(options) do
    Mix.Task.run("app.config")

    case Python.Settings.fetch() do
      {:ok, %{python: spec, environments: named}} when spec != nil or named != [] ->
        for spec <- List.wrap(spec) ++ Keyword.values(named),
            do: if(options[:offline], do: %{spec | offline: true}, else: spec)

      {:ok, _} ->
        Mix.raise(
          "there is no environment to make: the setting :python of :erlang_python is not set. Set it in " <>
            ~s(config/config.exs, such as `config :erlang_python, python: [packages: ["numpy~=2.1"]]`)
        )

      {:error, error} ->
        Mix.raise(Exception.message(error))
    end
  end

  @doc "What progress is shown with."
  @spec show(keyword) :: (String.t() -> any)
  def show(options), do: if(options[:quiet], do: fn _line -> :ok end, else: &Mix.shell().info/1)
end
