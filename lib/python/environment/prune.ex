defmodule Python.Environment.Prune do
  @moduledoc false

  # Removes from a store what nobody uses. An environment is used if a project has asked for it, or a VM was started with
  # it, in the last days, or if such a VM still runs.

  alias Python.Environment.{Download, Mark, Store}

  @day 86_400

  @doc "Removes what was not used for so many days. Returns the folders, with their sizes in bytes."
  @spec run(Path.t(), non_neg_integer) :: [{Path.t(), non_neg_integer}]
  def run(store, days) do
    swept = for folder <- Store.sweep(store), do: {folder, 0}

    for notice <- uses(store) ++ Store.list(Path.join(store, "added")),
        not Store.used?(notice),
        do: File.rm(notice)

    requests =
      Enum.filter(Store.list(Path.join(store, "requests")), &Store.recent?(&1, days * @day))

    wanted = for request <- requests, {:ok, key} <- [File.read(request)], do: String.trim(key)

    running =
      for notice <- uses(store), do: notice |> Path.basename() |> String.split(".") |> hd()

    folders =
      for kind <- ["environments", "additions"],
          folder <- Store.list(Path.join(store, kind)),
          Path.basename(folder) not in wanted and Path.basename(folder) not in running,
          # What is new may not have been asked for yet.
          days == 0 or not Store.recent?(Mark.path(folder), days * @day),
          do: folder

    old =
      Enum.reject(Store.list(Path.join(store, "uv")), &(Path.basename(&1) == Download.version()))

    removed =
      for folder <- folders ++ old,
          size = size(folder),
          :ok == Store.remove(store, folder),
          do: {folder, size}

    for request <- Store.list(Path.join(store, "requests")),
        {:ok, key} <- [File.read(request)],
        Store.whole(store, "environments", String.trim(key)) == :none,
        do: File.rm(request)

    for folder <- Store.list(Path.join(store, "locks")), do: File.rmdir(folder)
    for start <- Store.list(Path.join(store, "starts")), removed != [], do: File.rm(start)
    swept ++ removed
  end

  defp uses(store), do: Store.list(Path.join(store, "uses"))

  # No link is followed: the interpreter is one.
  defp size(path) do
    case File.lstat(path) do
      {:ok, %{type: :directory, size: size}} ->
        size + Enum.sum(Enum.map(Store.list(path), &size/1))

      {:ok, %{size: size}} ->
        size

      {:error, _} ->
        0
    end
  end
end
