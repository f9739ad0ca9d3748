defmodule Python.Paths do
  @moduledoc false

  # The setting `paths`: which folders of this machine its entries are. Looks at folders; changes nothing.

  @type entry :: String.t() | {app :: atom, String.t()}

  @doc """
  The folders, with absolute paths. An error for the first entry that is no folder: its modules would be missing
  somewhere else, with an error that says nothing of the setting.
  """
  @spec resolve([entry]) :: {:ok, [String.t()]} | {:error, Exception.t()}
  def resolve(paths) do
    resolve(paths, [])
  end

  defp resolve([], folders), do: {:ok, folders |> Enum.reverse() |> Enum.uniq()}

  defp resolve([entry | others], folders) do
    case folder(entry) do
      {:ok, folder} -> resolve(others, [folder | folders])
      {:error, text} -> {:error, ArgumentError.exception(refusal(entry, text))}
    end
  end

  defp folder({app, path}) do
    case :code.lib_dir(app) do
      {:error, :bad_name} ->
        {:error,
         "there is no application #{inspect(app)} on the code path. Name an application of this project or release"}

      lib ->
        first([Path.expand(path, lib)])
    end
  end

  defp folder(path), do: path |> candidates() |> first()

  # A release can be started from any folder, and has the files of its application in a folder with a version. An
  # environment that says so may also be that of a release which has started this VM, such as Livebook's.
  @doc "Where the file or folder of an entry may be, the likeliest first. `[]`: there is no such application."
  @spec candidates(entry) :: [String.t()]
  def candidates({app, path}) do
    case :code.lib_dir(app) do
      {:error, :bad_name} -> []
      lib -> [Path.expand(path, lib)]
    end
  end

  def candidates(path) do
    root = System.get_env("RELEASE_ROOT", "")
    released = if root == "", do: [], else: [released_app(), root]
    for base <- released ++ [File.cwd!()], base != nil, do: to_string(Path.expand(path, base))
  end

  @doc """
  The folder of the project: that of the umbrella for an application in one, wherever Mix runs; else the current one.
  """
  @spec project() :: Path.t()
  def project do
    here = File.cwd!()
    lock = mix_lock()
    above = lock && lock |> Path.expand(here) |> Path.dirname()

    if above && String.starts_with?(here, above <> "/") &&
         File.regular?(Path.join(above, "mix.exs")),
       do: above,
       else: here
  end

  # An application in an umbrella has the lock of that.
  defp mix_lock do
    if :erlang.module_loaded(Mix.Project), do: apply(Mix.Project, :config, [])[:lockfile]
  catch
    # Mix is loaded, and does not run.
    _kind, _reason -> nil
  end

  defp released_app do
    case System.get_env("RELEASE_NAME", "") do
      "" -> nil
      # One atom in the life of a VM.
      name -> with {:error, :bad_name} <- :code.lib_dir(String.to_atom(name)), do: nil
    end
  end

  defp first(candidates) do
    candidates = Enum.map(candidates, &to_string/1)

    case Enum.find(candidates, &File.dir?/1) do
      nil ->
        {:error,
         "there is no folder #{candidates |> Enum.uniq() |> Enum.join(", nor ")}. " <>
           "Create it, or correct the setting"}

      folder ->
        {:ok, folder}
    end
  end

  defp refusal(entry, text),
    do: "the setting :paths of :erlang_python has #{inspect(entry)}, but #{text}"
end
