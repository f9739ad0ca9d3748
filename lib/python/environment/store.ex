defmodule Python.Environment.Store do
  @moduledoc false

  # The folder of the environments:
  #
  #     environments/KEY/              an environment: a virtual environment and, written last, its mark
  #     requests/REQUEST               the key of the environment that was made last for a request
  #
  # What is there is whole: it is made elsewhere and moved into place.

  alias Python.Environment.Spec

  @mark "erlang_python.term"

  @doc "The folder of a spec's environments."
  @spec folder(Spec.t()) :: Path.t()
  def folder(%Spec{cache: cache}) when is_binary(cache), do: cache

  def folder(%Spec{}) do
    case System.get_env("ERLANG_PYTHON_CACHE", "") do
      "" -> user_cache()
      folder -> Path.expand(folder)
    end
  end

  # Without a home there is none.
  defp user_cache do
    to_string(:filename.basedir(:user_cache, "erlang_python"))
  rescue
    _ -> Path.join(System.tmp_dir!(), "erlang_python")
  end

  @doc "The folder of the environment that was made last for a request."
  @spec fetch(Path.t(), String.t()) :: {:ok, Path.t()} | :none
  def fetch(store, request) do
    with {:ok, key} <- File.read(Path.join([store, "requests", request])),
         folder = Path.join([store, "environments", String.trim(key)]),
         true <- File.exists?(Path.join(folder, @mark)) do
      {:ok, folder}
    else
      _ -> :none
    end
  end
end
