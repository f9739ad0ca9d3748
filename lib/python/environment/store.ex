defmodule Python.Environment.Store do
  @moduledoc false

  # The folder of the environments:
  #
  #     environments/KEY/              an environment: a virtual environment and, written last, its mark
  #     requests/REQUEST               the key of the environment that was made last for a request
  #     additions/KEY/                 packages that were added to a running Python
  #     starts/SPEC                    what the start before has found (Recall)
  #     uses/KEY.HOST.PID              a VM that runs with it
  #     added/UNIQUE.HOST.PID          the additions of a VM, for its Python processes
  #     uv/VERSION/bin/uv              a uv that was downloaded
  #     locks/KEY/                     who makes one now
  #     temporary/                     what is being made
  #
  # What is there is whole: it is made in `temporary` and moved into place. So a process that is killed leaves nothing
  # half-made, and two that make the same do not meet. The locks are only there to spare the second one the work.

  alias Python.Environment.{Failure, Mark}
  alias Python.InstallError
  alias Python.Native.Lock, as: Turn

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
    if key != "" and File.exists?(Mark.path(folder)), do: {:ok, folder}, else: :none
  end

  # With a mark that can be read, and what is to be in it: somebody may have cleaned up, or a disk was full of errors.
  defp sound(store, kind, key, sound?) do
    with {:ok, folder} <- whole(store, kind, key),
         true <- Mark.read(folder) != %{} and sound?.(folder) do
      {:ok, folder}
    else
      _ -> :none
    end
  end

  ## Making

  @doc """
  The folder of what has this key. It is made by `work`, which gets a folder for it and returns `{:ok, mark}`, if it is
  not there, or if `sound?` says that the folder is not usable. `waiting` is called once if somebody makes it now.
  """
  @spec make(
          Path.t(),
          {String.t(), String.t()},
          (() -> any),
          (Path.t() -> {:ok, map} | {:error, e}),
          (Path.t() -> boolean)
        ) ::
          {:ok, Path.t(), :made | :found} | {:error, e | InstallError.t()}
        when e: term
  def make(store, {kind, key}, waiting, work, sound? \\ fn _folder -> true end) do
    case sound(store, kind, key, sound?) do
      {:ok, folder} -> {:ok, folder, :found}
      _ -> in_turn(store, {kind, key}, waiting, work, sound?)
    end
  end

  defp in_turn(store, {kind, key}, waiting, work, sound?) do
    Turn.hold(Path.join([store, "locks", key]), waiting, fn ->
      case sound(store, kind, key, sound?) do
        {:ok, folder} -> {:ok, folder, :found}
        _ -> in_temporary(store, {kind, key}, work)
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
           :ok <- write(Mark.path(made), Mark.text(mark)),
           :ok <- move(made, place, temporary) do
        {:ok, place, :made}
      end
    end)
  end

  @doc "Calls `work` with a new folder, which is removed afterwards."
  @spec temporary(Path.t(), (Path.t() -> result)) :: result | {:error, InstallError.t()}
        when result: term
  def temporary(store, work) do
    sweep(store)
    unique = "#{System.os_time()}-#{System.unique_integer([:positive])}"
    folder = Path.join([store, "temporary", "#{unique}.#{Turn.host()}.#{System.pid()}"])

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

  @doc "Removes what was being made by VMs that were killed."
  @spec sweep(Path.t()) :: [Path.t()]
  def sweep(store) do
    for folder <- list(Path.join(store, "temporary")),
        not alive?(folder),
        do: folder |> tap(&File.rm_rf/1)
  end

  # In a container a VM mostly has the number of the one before it.
  defp alive?(path) do
    case owner(path) do
      [host, pid] -> Turn.alive?(host, pid) and recent?(path, 86_400)
      _ -> true
    end
  end

  # The machine and the VM in a name that ends with them.
  defp owner(path), do: path |> Path.basename() |> String.split(".") |> Enum.take(-2)

  @doc "Whether a file or folder was changed in the last seconds."
  @spec recent?(Path.t(), non_neg_integer) :: boolean
  def recent?(path, seconds) do
    case File.stat(path, time: :posix) do
      {:ok, %{mtime: since}} -> System.os_time(:second) - since < seconds
      {:error, _} -> false
    end
  end

  @doc "What is in a folder, with paths."
  @spec list(Path.t()) :: [Path.t()]
  def list(folder) do
    case File.ls(folder) do
      {:ok, names} -> for name <- Enum.sort(names), do: Path.join(folder, name)
      {:error, _} -> []
    end
  end

  defp write(path, text) do
    with {:error, reason} <- File.write(path, text, [:sync]),
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
    if File.dir?(path), do: File.rm_rf(path)

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

  ## Using

  @doc "Remembers that this VM runs with an environment, so that it is not pruned. A store may be read-only."
  @spec use(Path.t(), String.t(), String.t() | nil) :: :ok
  def use(store, key, request \\ nil) do
    notice = Path.join([store, "uses", "#{key}.#{Turn.host()}.#{System.pid()}"])
    if request, do: touch(Path.join([store, "requests", request]))

    unless File.exists?(notice) do
      for other <- list(Path.join(store, "uses")), not used?(other), do: File.rm(other)
      with :ok <- File.mkdir_p(Path.dirname(notice)), do: File.write(notice, "")
    end

    :ok
  end

  # Not made again if it has been removed meanwhile.
  defp touch(path) do
    with {:ok, stat} <- File.stat(path, time: :posix),
         do: File.write_stat(path, %{stat | mtime: System.os_time(:second)}, time: :posix)
  end

  @doc "Whether the VM of a notice in `uses` may run."
  @spec used?(Path.t()) :: boolean
  def used?(notice) do
    case owner(notice) do
      [host, pid] -> Turn.alive?(host, pid)
      _ -> false
    end
  end

  @doc "Takes a folder of the store away, at once."
  @spec remove(Path.t(), Path.t()) :: :ok | {:error, InstallError.t()}
  def remove(store, folder) do
    temporary(store, fn temporary ->
      with {:error, reason} <- File.rename(folder, Path.join(temporary, "removed")),
           do: {:error, Failure.file(reason, folder)}
    end)
  end
end
