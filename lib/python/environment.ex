defmodule Python.Environment do
  @moduledoc false

  # Python and its packages, as the setting `python` asks for them: a virtual environment in a cache, made by uv. The
  # modules below make it; a start only looks for it.

  alias Python.{NotStartedError, Settings}
  alias Python.Environment.{Key, OnDemand, Spec, Store}

  @enforce_keys [:folder, :interpreter, :made, :mark]
  defstruct @enforce_keys

  @typedoc "`:made`: whether it was made now. `:mark`: what was written down when it was made."
  @type t :: %__MODULE__{
          folder: Path.t(),
          interpreter: Path.t(),
          made: :made | :found,
          mark: map
        }

  @doc "The environment in a folder of the store."
  @spec new(Path.t(), :made | :found) :: t
  def new(folder, made) do
    %__MODULE__{
      folder: folder,
      interpreter: interpreter(folder),
      made: made,
      mark: Store.mark(folder)
    }
  end

  @doc """
  The interpreter of the environment that the settings, or a spec of its own, ask for. `:none`: they ask for none.

  It runs nothing and needs no network.
  """
  @spec locate(Settings.t() | Spec.t()) :: {:ok, Path.t()} | :none | {:error, NotStartedError.t()}
  def locate(%Settings{python: nil, python_path: nil}) do
    case OnDemand.remembered() do
      nil -> :none
      {_spec, environment} -> {:ok, environment.interpreter}
    end
  end

  def locate(%Settings{python: nil}), do: :none
  def locate(%Settings{python: spec}), do: locate(spec)

  def locate(%Spec{} = spec) do
    store = Store.folder(spec)
    request = Key.request(spec)

    case Store.fetch(store, request) do
      {:ok, folder} ->
        Store.use(store, Path.basename(folder), request)
        {:ok, interpreter(folder)}

      :none ->
        {:error, not_installed(spec, store)}
    end
  end

  @doc "The interpreter in the folder of an environment."
  @spec interpreter(Path.t()) :: Path.t()
  def interpreter(folder), do: Path.join(folder, "bin/python")

  @doc "The error of a start without the environment that is asked for."
  @spec not_installed(Spec.t(), Path.t()) :: NotStartedError.t()
  def not_installed(spec, store) do
    NotStartedError.new(:not_installed, %{
      what: "the environment of the setting python, with #{Spec.describe(spec)},",
      cause: "there is none for it in #{store}",
      source: :environment
    })
  end
end
