defmodule Python.Interpreter.Search do
  @moduledoc false

  # Which file to run: from `python_path`, else VIRTUAL_ENV, else PATH. Looks at files and at the
  # environment that it is given; runs nothing.
  #
  # No link is followed: the interpreter of a virtual environment is a link, and Python knows the
  # environment by the name it was started with.

  require Record

  alias Python.Interpreter.Pyenv
  alias Python.{NotStartedError, Paths}

  Record.defrecordp(:file_info, Record.extract(:file_info, from_lib: "kernel/include/file.hrl"))

  @type source :: :python_path | :environment | :option | :virtual_env | :path

  @type candidate :: %{
          source: source,
          what: String.t(),
          executable: Path.t(),
          tried: [{String.t(), String.t()}]
        }

  @doc """
  The file to run, how it was named, and what was tried before. `from`: who has named the path; `:option` is that of a pool.
  """
  @spec locate(
          String.t() | nil,
          %{String.t() => String.t()},
          :python_path | :environment | :option
        ) ::
          {:ok, candidate} | {:error, NotStartedError.t()}
  def locate(path, env, from \\ :python_path)

  def locate(nil, env, _from) do
    tried = [{"python_path", "not set"}]

    case env["VIRTUAL_ENV"] do
      unset when unset in [nil, ""] -> locate_on_path(env, tried ++ [{"VIRTUAL_ENV", "not set"}])
      folder -> locate_virtual_env(folder, env, tried)
    end
  end

  def locate(path, env, :environment) do
    named = %{source: :environment, what: "the environment of the setting python", tried: []}

    if File.exists?(path),
      do: check_file(named, path, env),
      else: refuse_missing(named, path, path, :enoent)
  end

  def locate(path, env, from) do
    name = if from == :option, do: "the option python:", else: "python_path"
    named = %{source: from, what: "#{name} #{quoted(path)}", tried: []}

    case bare_name?(path) && find_program(path, env) do
      executable when is_binary(executable) -> candidate(named, executable, env)
      _ -> check_path(named, path, env)
    end
  end

  ## VIRTUAL_ENV and PATH

  defp locate_virtual_env(folder, env, tried) do
    named = %{source: :virtual_env, what: "VIRTUAL_ENV #{quoted(folder)}", tried: tried}
    path = Path.expand(folder)

    cond do
      File.dir?(path) -> check_folder(named, path, env)
      File.exists?(path) -> refuse(:not_found, named, path, %{cause: "it is not a folder"})
      true -> refuse(:not_found, named, path, %{cause: "no such folder"})
    end
  end

  defp locate_on_path(env, tried) do
    locate_on_path(program_names(), env, tried)
  end

  defp locate_on_path([], env, tried) do
    details = %{what: Enum.join(program_names(), " or "), cause: path_text(env), tried: tried}
    {:error, NotStartedError.new(:not_found, details)}
  end

  defp locate_on_path([name | others], env, tried) do
    case find_program(name, env) do
      nil ->
        locate_on_path(others, env, tried ++ [{"#{name} on PATH", "not found"}])

      executable ->
        named = %{source: :path, what: "#{name} on PATH (#{executable})", tried: tried}
        candidate(named, executable, env)
    end
  end

  # On Windows `python3` is a stub that opens the store.
  defp program_names do
    if windows?(), do: ["python", "python3"], else: ["python3", "python"]
  end

  defp path_text(env) do
    case env["PATH"] do
      unset when unset in [nil, ""] -> "PATH is empty"
      path -> "there is none on PATH (#{path})"
    end
  end

  @doc "A program on the `PATH` of an environment."
  @spec find_program(String.t(), map) :: Path.t() | nil
  def find_program(name, env) do
    case :os.find_executable(String.to_charlist(name), String.to_charlist(env["PATH"] || "")) do
      false -> nil
      path -> path |> List.to_string() |> Path.expand()
    end
  end

  defp bare_name?(path), do: Path.split(path) == [path] and not String.starts_with?(path, "~")

  ## A path that somebody has given

  # A relative one may be in the release that runs, as the folders of the setting `paths`.
  defp check_path(named, given, env) do
    candidates = Paths.candidates(given)
    path = Enum.find(candidates, List.last(candidates), &File.exists?/1)

    case stat(path) do
      {:ok, :directory, _mode} -> check_folder(named, path, env)
      {:ok, :regular, _mode} -> check_file(named, path, env)
      {:ok, _device, _mode} -> refuse(:broken, named, path, %{cause: "it is not a file"})
      {:error, reason} -> refuse_missing(named, given, path, reason)
    end
  end

  defp check_folder(named, folder, env) do
    interpreters = Enum.map(interpreter_names(), &Path.join(folder, &1))
    interpreter = Enum.find(interpreters, &File.exists?/1)

    cond do
      not environment?(folder) ->
        details = if interpreter, do: %{interpreter: interpreter}, else: %{}
        refuse(:not_a_virtual_environment, named, folder, details)

      interpreter ->
        check_file(named, interpreter, env)

      true ->
        cause = Enum.find_value(interpreters, "there is no interpreter in it", &dangling/1)
        refuse(:broken, named, folder, %{cause: cause, folder: folder})
    end
  end

  # conda's environments have another mark.
  defp environment?(folder) do
    File.exists?(Path.join(folder, "pyvenv.cfg")) or File.dir?(Path.join(folder, "conda-meta"))
  end

  defp interpreter_names do
    if windows?(),
      do: ["Scripts/python.exe", "python.exe"],
      else: ["bin/python", "bin/python3"]
  end

  defp check_file(named, path, env) do
    if executable?(path),
      do: candidate(named, path, env),
      else: refuse(:not_executable, named, path, %{executable: path})
  end

  defp executable?(path) do
    case stat(path) do
      {:ok, :regular, mode} -> windows?() or Bitwise.band(mode, 0o111) != 0
      _ -> false
    end
  end

  # Not `File.stat/1`, for whose struct the VM loads another module.
  defp stat(path) do
    with {:ok, info} <- :file.read_file_info(path),
         do: {:ok, file_info(info, :type), file_info(info, :mode)}
  end

  defp refuse_missing(named, given, path, reason) do
    case dangling(path) do
      nil ->
        cause = to_string(:file.format_error(reason))
        refuse(:not_found, named, path, %{cause: cause <> looked_for(given, path)})

      cause ->
        # The interpreter of a virtual environment, if there is a pyvenv.cfg above it.
        folder = path |> Path.dirname() |> Path.dirname()
        details = if environment?(folder), do: %{folder: folder}, else: %{}
        refuse(:broken, named, path, Map.put(details, :cause, cause))
    end
  end

  defp looked_for(given, path) do
    cond do
      bare_name?(given) -> " (looked on PATH and for #{path})"
      path != given -> " (looked for #{path})"
      true -> ""
    end
  end

  # The end of a chain of links that leads nowhere: what was removed is what people look for.
  defp dangling(path, depth \\ 0) do
    case File.read_link(path) do
      {:ok, target} when depth < 40 ->
        target = Path.expand(target, Path.dirname(path))

        if File.exists?(target),
          do: nil,
          else: dangling(target, depth + 1) || "it is a link to #{target}, which does not exist"

      _ ->
        nil
    end
  end

  ## Results

  defp candidate(named, executable, env) do
    case Pyenv.resolve(executable, env) do
      {:ok, interpreter} ->
        tried = named.tried ++ [{named.what, "pyenv's shim for #{interpreter}"}]
        {:ok, %{named | tried: tried} |> Map.put(:executable, interpreter)}

      :unknown ->
        tried = named.tried ++ [{named.what, executable}]
        {:ok, %{named | tried: tried} |> Map.put(:executable, executable)}
    end
  end

  defp refuse(reason, named, path, details) do
    details = details |> Map.merge(Map.take(named, [:source, :what])) |> Map.put(:path, path)
    error = NotStartedError.new(reason, details)
    outcome = Map.get(details, :cause) || outcome(reason)
    tried = named.tried ++ [{named.what, outcome}]
    {:error, %{error | details: Map.put(error.details, :tried, tried)}}
  end

  defp outcome(:not_executable), do: "it is not executable"
  defp outcome(:not_a_virtual_environment), do: "a folder without pyvenv.cfg"

  # As `inspect` does, which it is left to where there is something to escape: that loads many modules.
  defp quoted(path) do
    if path =~ ~r/\A[\w .\/~-]*\z/, do: ~s("#{path}"), else: inspect(path)
  end

  defp windows?, do: match?({:win32, _}, :os.type())
end
