defmodule Python.Environment.Store do
  @moduledoc false

  # The folder of the environments:
  #
  #     environments/KEY/              an environment: a virtual environment and, written last, its mark
  #     requests/REQUEST               the key of the environment that was made last for a request
  #     additions/KEY/                 packages that were added to a running Python
  #     uv/VERSION/uv                  a uv that was downloaded
  #     locks/KEY/                     who makes one now
  #     temporary/                     what is being made
  #
  # What is there is whole: it is made in `temporary` and moved into place. So a process that is killed leaves nothing
  # half-made, and two that make the same do not meet. The locks are only there to spare the second one the work.

  alias Python.Environment.{Failure, Spec}
  alias Python.InstallError
  alias Python.Native.Lock, as: Turn

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

  ## Finding

  @doc "The folder of the environment that was made last for a request."
  @spec fetch(Path.t(), String.t()) :: {:ok, Path.t()} | :none
  def fetch(store, request) do
    case File.read(Path.join([store, "requests", request])) do
      {:ok, key} -> whole(store, "environments", String.trim(key))
      {:error, _} -> :none
    end
  end

  @doc "The folder of what has this key, if it is there."
  @spec whole(Path.t(), String.t(), String.t()) :: {:ok, Path.t()} | :none
  def whole(store, kind, key) do
    folder = Path.join([store, kind, key])
    if key != "" and File.exists?(Path.join(folder, @mark)), do: {:ok, folder}, else: :none
  end

  @doc "What its mark says."
  @spec mark(Path.t()) :: map
  def mark(folder) do
    case :file.consult(Path.join(folder, @mark)) do
      {:ok, [%{} = mark]} -> mark
      _ -> %{}
    end
  end

  ## Making

  @doc """
  The folder of what has this key. It is made by `work`, which gets a folder for it and returns `{:ok, mark}`, if it is
  not there. `waiting` is called once if somebody makes it now.
  """
  @spec make(
          Path.t(),
          {String.t(), String.t()},
          (() -> any),
          (Path.t() -> {:ok, map} | {:error, e})
        ) ::
          {:ok, Path.t(), :made | :found} | {:error, e | InstallError.t()}
        when e: term
  def make(store, {kind, key}, waiting, work) do
    case whole(store, kind, key) do
      {:ok, folder} -> {:ok, folder, :found}
      :none -> in_turn(store, {kind, key}, waiting, work)
    end
  end

  defp in_turn(store, {kind, key}, waiting, work) do
    Turn.hold(Path.join([store, "locks", key]), waiting, fn ->
      case whole(store, kind, key) do
        {:ok, folder} -> {:ok, folder, :found}
        :none -> in_temporary(store, {kind, key}, work)
      end
    end)
  rescue
    error in File.Error -> {:error, Failure.file(error.reason, to_string(error.path))}
  end

  defp in_temporary(store, {kind, key}, work) do
    temporary(store, fn temporary ->
      made = Path.join(temporary, "made")
      place = Path.join([store, kind, key])

      with {:ok, mark} <- work.(made),
           :ok <- write_mark(made, mark),
           :ok <- move(made, place, temporary) do
        {:ok, place, :made}
      end
    end)
  end

  @doc "Calls `work` with a new folder, which is removed afterwards."
  @spec temporary(Path.t(), (Path.t() -> result)) :: result | {:error, InstallError.t()}
        when result: term
  def temporary(store, work) do
    name = "#{System.os_time()}.#{System.pid()}.#{System.unique_integer([:positive])}"
    folder = Path.join([store, "temporary", name])

    case File.mkdir_p(folder) do
      :ok ->
        try do
          work.(folder)
        after
          File.rm_rf(folder)
        end

      {:error, reason} ->
        {:error, Failure.file(reason, folder)}
    end
  end

  defp write_mark(folder, mark),
    do: write(Path.join(folder, @mark), :io_lib.format(~c"~tp.~n", [mark]))

  defp write(path, text) do
    with {:error, reason} <- File.write(path, :unicode.characters_to_binary(text), [:sync]),
         do: {:error, Failure.file(reason, path)}
  end

  # What is in the place has no mark: somebody has broken it.
  defp move(made, place, temporary) do
    with :ok <- File.mkdir_p(Path.dirname(place)),
         _ <- File.rename(place, Path.join(temporary, "broken")),
         :ok <- File.rename(made, place) do
      :ok
    else
      {:error, reason} -> {:error, Failure.file(reason, place)}
    end
  end

  @doc "Remembers that this is the environment for a request."
  @spec remember(Path.t(), String.t(), String.t()) :: :ok | {:error, InstallError.t()}
  def remember(store, request, key) do
    path = Path.join([store, "requests", request])

    if File.read(path) == {:ok, key} do
      :ok
    else
      temporary(store, fn temporary ->
        new = Path.join(temporary, "request")

        with :ok <- write(new, key),
             :ok <- File.mkdir_p(Path.dirname(path)),
             :ok <- File.rename(new, path) do
          :ok
        else
          {:error, %InstallError{} = error} -> {:error, error}
          {:error, reason} -> {:error, Failure.file(reason, path)}
        end
      end)
    end
  end
end
