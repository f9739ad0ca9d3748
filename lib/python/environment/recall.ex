defmodule Python.Environment.Recall do
  @moduledoc false

  # What the start before has found for a spec, so that the next one has little to do: the folder of the environment, and
  # the files that it depends on, such as a lock, as they were. In interactive mode the VM loads each module when it is
  # needed, so this one needs no others.

  alias Python.Environment.{Secrets, Spec}

  @format 1
  # Known when this is compiled.
  @mark Python.Environment.Mark.file()

  @doc "The folder of the environment, if nothing has changed since."
  @spec fetch(Path.t(), Spec.t()) :: {:ok, Path.t()} | :none
  def fetch(store, spec) do
    with {:ok, binary} <- :file.read_file(path(store, spec)),
         {@format, key, files} <- term(binary),
         true <- Enum.all?(files, fn {file, stat} -> stat(file) == stat end),
         folder = :filename.join([store, "environments", key]),
         {:ok, _} <- :file.read_file_info(:filename.join(folder, @mark)) do
      {:ok, folder}
    else
      _ -> :none
    end
  end

  defp term(binary) do
    :erlang.binary_to_term(binary, [:safe])
  rescue
    ArgumentError -> :none
  end

  @doc "Keeps it for the next start, where that is possible. `files`: what it depends on."
  @spec keep(Path.t(), Spec.t(), Path.t(), [Path.t()]) :: :ok
  def keep(store, spec, folder, files) do
    files = for file <- files, do: {file, stat(file)}

    # What has just been written may be written once more in the same second, and look the same.
    unless Enum.any?(files, fn {_file, stat} -> recent?(stat) end) do
      path = path(store, spec)
      new = "#{path}.#{System.pid()}.#{System.unique_integer([:positive])}"

      with :ok <- File.mkdir_p(Path.dirname(path)),
           binary = :erlang.term_to_binary({@format, Path.basename(folder), files}),
           :ok <- File.write(new, binary),
           {:error, _} <- File.rename(new, path),
           do: File.rm(new)
    end

    :ok
  end

  defp recent?({_size, _inode, mtime}), do: mtime >= System.os_time(:second) - 2
  defp recent?(nil), do: false

  defp stat(file) do
    case :file.read_file_info(file, time: :posix) do
      {:ok, info} -> {elem(info, 1), elem(info, 11), elem(info, 5)}
      {:error, _} -> nil
    end
  end

  defp path(store, spec) do
    name = :erlang.md5(:erlang.term_to_binary({@format, plain(spec)}))
    text = name |> :binary.decode_unsigned() |> Integer.to_string(16)
    :filename.join([store, "starts", text])
  end

  # Without passwords.
  defp plain(spec) do
    texts =
      Enum.map([spec.index | spec.packages || []] ++ spec.extra_index ++ spec.find_links, &url/1)

    {spec.version, texts, spec.requirements, spec.project, variables(spec.env), spec.base,
     spec.name}
  end

  defp url(nil), do: nil

  defp url(text),
    do: if(:binary.match(text, "://") == :nomatch, do: text, else: Secrets.without(text))

  defp variables(env) when env == %{}, do: []

  defp variables(env),
    do: for({name, value} <- env, not Secrets.name?(name), do: {name, Secrets.without(value)})
end
