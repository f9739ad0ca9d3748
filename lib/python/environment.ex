defmodule Python.Environment do
  @moduledoc false

  # Python and its packages, as the setting `python` asks for them: a virtual environment in a cache, made by uv. The
  # modules below make it; a start only looks for it.

  alias Python.{NotStartedError, Settings}
  alias Python.Environment.{Key, Mark, Recall, Requirements, Spec, Store}
  alias Python.Release.Bundle

  @enforce_keys [:folder, :interpreter, :made, :mark]
  defstruct @enforce_keys

  @typedoc "`:made`: whether it was made now. `:mark`: what was written down when it was made."
  @type t :: %__MODULE__{
          folder: Path.t(),
          interpreter: Path.t(),
          made: :made | :found,
          mark: map
        }

  @typedoc "Is given what is to be done when there is time for it."
  @type later :: ((() -> term) -> term)

  @doc "The environment in a folder of the store."
  @spec new(Path.t(), :made | :found) :: t
  def new(folder, made) do
    %__MODULE__{
      folder: folder,
      interpreter: interpreter(folder),
      made: made,
      mark: Mark.read(folder)
    }
  end

  @doc """
  What the interpreter is to be found by: a path and where that is from, or nil for neither. In a release with a Python of
  its own that comes before what is found on the machine.
  """
  @spec python(Settings.t(), later) ::
          {:ok, {Path.t() | nil, :python_path | :environment}} | {:error, NotStartedError.t()}
  def python(settings, later \\ &spawn/1)

  def python(%Settings{python_path: path}, _later) when is_binary(path),
    do: {:ok, {path, :python_path}}

  def python(settings, later) do
    case locate(settings, later) do
      {:ok, path} -> {:ok, {path, :environment}}
      :none -> {:ok, {nil, :python_path}}
      {:error, error} -> {:error, error}
    end
  end

  @doc """
  The interpreter of the environment that the settings, or a spec of its own, ask for. `:none`: they ask for none.

  It runs nothing and needs no network. That it is used is noted `later`.
  """
  @spec locate(Settings.t() | Spec.t(), later) ::
          {:ok, Path.t()} | :none | {:error, NotStartedError.t()}
  def locate(settings_or_spec, later \\ &spawn/1)

  def locate(%Settings{python: spec} = settings, later) do
    case Bundle.find() do
      {:ok, folder, mark} -> bundled(folder, mark, spec)
      :none when spec == nil -> on_demand(settings)
      :none -> in_store(spec, later)
    end
  end

  # That of a pool. In a release it may be one of those that were built with it.
  def locate(%Spec{} = spec, later) do
    with :none <- Bundle.matching(spec), do: in_store(spec, later)
  end

  defp in_store(spec, later) do
    store = Spec.store(spec)

    with :none <- Recall.fetch(store, spec),
         :none <- fetch(store, spec) do
      {:error, not_installed(spec, store)}
    else
      {:ok, folder} ->
        later.(fn -> use(store, spec, folder) end)
        {:ok, interpreter(folder)}
    end
  end

  defp fetch(store, spec) do
    with {:ok, folder} <- Store.fetch(store, Key.request(spec)) do
      Recall.keep(store, spec, folder, Requirements.watched(spec))
      {:ok, folder}
    end
  end

  defp use(store, spec, folder),
    do: Store.use(store, Path.basename(folder), Key.request(spec))

  defp on_demand(%{python_path: nil}) do
    case remembered() do
      nil -> :none
      {_spec, environment} -> {:ok, environment.interpreter}
    end
  end

  defp on_demand(_settings), do: :none

  @doc "The environment that was asked for before the start, and what by: see `Python.Environment.OnDemand`."
  @spec remembered() :: {Spec.t(), t} | nil
  def remembered, do: :persistent_term.get(__MODULE__, nil)

  @spec remember(Spec.t(), t) :: :ok
  def remember(spec, environment), do: :persistent_term.put(__MODULE__, {spec, environment})

  # The store of the machine that the release was built on is not here.
  defp bundled(folder, mark, spec) do
    if spec == nil or Spec.identity(spec) == mark.identity,
      do: {:ok, Bundle.interpreter(folder)},
      else: {:error, other_bundle(folder, mark, spec)}
  end

  defp other_bundle(folder, mark, spec) do
    NotStartedError.new(:not_installed, %{
      what: "the environment of the setting python, with #{Spec.describe(spec)},",
      cause: "the release has one with #{mark.of}, in #{folder}",
      source: :environment,
      remedy: "Build the release with the settings that it runs with."
    })
  end

  @doc "The interpreter in the folder of an environment."
  @spec interpreter(Path.t()) :: Path.t()
  def interpreter(folder), do: Path.join(folder, "bin/python")

  @doc "The error of a start without the environment that is asked for."
  @spec not_installed(Spec.t(), Path.t()) :: NotStartedError.t()
  def not_installed(spec, store) do
    details = %{
      what: "the environment of #{Spec.origin(spec)}, with #{Spec.describe(spec)},",
      cause: "there is none for it in #{store}",
      source: :environment
    }

    NotStartedError.new(:not_installed, Map.merge(details, remedy(spec)))
  end

  defp remedy(%{name: false}) do
    %{
      remedy:
        "Name it in the setting environments of :erlang_python and run `mix python.install`, or give the same options to " <>
          "Python.install/2 with `pool: true`."
    }
  end

  defp remedy(_spec), do: %{}
end
