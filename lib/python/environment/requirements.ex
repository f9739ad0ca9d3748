defmodule Python.Environment.Requirements do
  @moduledoc false

  # The requirements of a spec: their texts, for keys and locks, and how uv is to install them.

  alias Python.Environment.{Failure, Indexes, Lock, Secrets, Spec, Uv}
  alias Python.InstallError

  @doc "What a spec is resolved from: its own text and those of the files that it names."
  @spec inputs(Spec.t()) :: term
  def inputs(%Spec{project: folder}) when is_binary(folder) do
    {:project, for(name <- ["pyproject.toml", "uv.lock"], do: content(Path.join(folder, name)))}
  end

  def inputs(%Spec{requirements: file}) when is_binary(file),
    do: {:requirements, for(file <- all(file, []), do: content(file))}

  def inputs(%Spec{packages: packages}),
    do: {:packages, Enum.map(packages || [], &Secrets.without/1)}

  @doc "The files of this machine that a request depends on, of which some may not be there."
  @spec watched(Spec.t()) :: [Path.t()]
  def watched(%Spec{project: folder} = spec) when is_binary(folder),
    do: [
      Lock.path(spec) | for(name <- ["pyproject.toml", "uv.lock"], do: Path.join(folder, name))
    ]

  def watched(%Spec{requirements: file} = spec) when is_binary(file),
    do: [Lock.path(spec) | all(file, [])] ++ Enum.map(local(spec), &elem(&1, 0))

  def watched(spec), do: [Lock.path(spec) | Enum.map(local(spec), &elem(&1, 0))]

  # A file with those that it includes, each once.
  defp all(file, seen) do
    case content(file) do
      nil -> [file]
      text -> [file | Enum.flat_map(included(text, file, seen), &all(&1, [file | seen]))]
    end
  end

  defp included(text, file, seen) do
    for [_, name] <-
          Regex.scan(
            ~r/^\s*(?:-r|--requirement|-c|--constraint)[\s=]+["']?([^\s"'#]+)/m,
            text
          ),
        path = Path.expand(name, Path.dirname(file)),
        path not in [file | seen],
        do: path
  end

  defp content(path) do
    case File.read(path) do
      # Lines may end as git wrote them here. A password changes nothing.
      {:ok, text} -> text |> String.replace("\r\n", "\n") |> Secrets.without()
      {:error, _} -> nil
    end
  end

  @doc """
  The files of this machine among the requirements, such as a wheel: when they were changed. Another file of the same
  name is another environment.
  """
  @spec files(Spec.t()) :: [term]
  def files(%Spec{project: folder}) when is_binary(folder), do: []

  def files(%Spec{} = spec),
    do: for({path, stat} <- local(spec), do: {Path.basename(path), stat.size, stat.mtime})

  defp local(spec) do
    {_kind, inputs} = inputs(spec)
    base = folder(spec)

    for text <- List.wrap(inputs),
        text != nil,
        [_, path] <-
          Regex.scan(
            ~r/(?:^|[\s@=])((?:file:\/\/|\.{0,2}\/|[\w-]+\/)[^\s;"']+|[^\s;"'\/]+\.(?:whl|tar\.gz|zip))/m,
            text
          ),
        path = path |> String.replace_prefix("file://", "") |> Path.expand(base),
        {:ok, %{type: :regular} = stat} <- [File.stat(path, time: :posix)],
        uniq: true,
        do: {path, stat}
  end

  @doc "An error if what a spec names is not there."
  @spec check(Spec.t()) :: :ok | {:error, InstallError.t()}
  def check(%Spec{project: folder}) when is_binary(folder) do
    file = Path.join(folder, "pyproject.toml")

    if File.regular?(file),
      do: :ok,
      else: {:error, missing("the project #{folder} has no pyproject.toml", :project)}
  end

  def check(%Spec{requirements: file}) when is_binary(file) do
    if File.regular?(file),
      do: :ok,
      else: {:error, missing("there is no file #{file}", :requirements)}
  end

  def check(_spec), do: :ok

  defp missing(message, key) do
    InstallError.new(:invalid, message,
      remedy: "Create it, or correct the key #{inspect(key)} of the setting python."
    )
  end

  @doc "The file that uv is to resolve, and the folder in which its relative paths are right."
  @spec input(Spec.t(), Path.t()) :: {:ok, Path.t(), Path.t()} | {:error, InstallError.t()}
  def input(%Spec{requirements: file} = spec, _temporary) when is_binary(file),
    do: {:ok, file, folder(spec)}

  def input(%Spec{packages: packages} = spec, temporary) do
    with {:ok, path} <- write(temporary, "requirements.txt", Enum.join(packages || [], "\n")),
         do: {:ok, path, folder(spec)}
  end

  # In which its relative paths are right.
  defp folder(%Spec{project: folder}) when is_binary(folder), do: folder
  defp folder(%Spec{requirements: file}) when is_binary(file), do: Path.dirname(file)
  defp folder(%Spec{base: base}), do: base

  @doc """
  What `uv pip install` is to be given, one list of arguments after the other, and the folder to run it in.
  """
  @spec plan(Uv.t(), Spec.t(), Python.Interpreter.t(), Path.t(), Uv.show()) ::
          {:ok, [[String.t()]], Path.t()} | {:error, InstallError.t()}
  def plan(uv, spec, interpreter, temporary, show) do
    with :ok <- check(spec), {:ok, indexes} <- Indexes.of(spec) do
      case Lock.fetch(spec) do
        {:ok, lock} ->
          with(
            :ok <- fits(lock, interpreter),
            do: locked(spec, lock.pinned, lock.local, indexes, temporary)
          )

        :none ->
          unlocked(uv, spec, interpreter, indexes, temporary, show)

        {:error, error} ->
          {:error, error}
      end
    end
  end

  # A newer Python may do with the same versions; an older one may not.
  defp fits(lock, interpreter) do
    {major, minor, _} = interpreter.version

    with [_, of_major, of_minor] <- Regex.run(~r/\A(\d+)\.(\d+)\z/, lock.python),
         true <- {major, minor} < {String.to_integer(of_major), String.to_integer(of_minor)} do
      {:error,
       InstallError.new(
         :not_locked,
         "the lock was resolved for Python #{lock.python} and newer, and this is #{interpreter.version_string}",
         remedy:
           "Run `mix python.lock` with this Python, or set the key :version of the setting python."
       )}
    else
      _ -> :ok
    end
  end

  defp locked(spec, pinned, local, indexes, temporary) do
    with {:ok, first} <-
           arguments(pinned, "pinned.txt", ["--require-hashes", "--no-deps"], temporary),
         {:ok, second} <- arguments(local, "local.txt", ["--no-deps"], temporary) do
      {:ok, for(list <- first ++ second, do: list ++ indexes.arguments), folder(spec)}
    end
  end

  defp arguments("", _name, _options, _temporary), do: {:ok, []}

  defp arguments(text, name, options, temporary) do
    with {:ok, path} <- write(temporary, name, text),
         do: {:ok, [options ++ ["--requirements", path]]}
  end

  # A lock of uv's own is kept to, and one is made if there is none, as `uv sync` does.
  defp unlocked(uv, %{project: folder} = spec, interpreter, indexes, temporary, show)
       when is_binary(folder) do
    locked = if File.exists?(Path.join(folder, "uv.lock")), do: ["--locked"], else: []

    with {:ok, pinned, local} <- export(uv, spec, interpreter, locked, temporary, show),
         do: locked(spec, pinned, local, indexes, temporary)
  end

  defp unlocked(
         _uv,
         %{packages: packages, requirements: nil},
         _interpreter,
         _indexes,
         temporary,
         _show
       )
       when packages in [nil, []],
       do: {:ok, [], temporary}

  defp unlocked(_uv, spec, _interpreter, indexes, temporary, _show) do
    with {:ok, path, cd} <- input(spec, temporary),
         do: {:ok, [["--requirements", path] ++ indexes.arguments], cd}
  end

  @doc "The requirements of a project with its lock: those with hashes, and what is in folders."
  @spec export(Uv.t(), Spec.t(), Python.Interpreter.t(), [String.t()], Path.t(), Uv.show()) ::
          {:ok, String.t(), String.t()} | {:error, InstallError.t()}
  def export(uv, spec, interpreter, arguments, temporary, show) do
    output = Path.join(temporary, "exported.txt")

    arguments =
      ~w(export --no-dev --no-header --no-annotate --python) ++
        [interpreter.executable, "--output-file", output] ++ arguments

    options = [cd: spec.project, project: true, show: &exported(&1, show)]

    with {:ok, indexes} <- Indexes.of(spec),
         {:ok, _} <- Uv.run(uv, spec, "uv export", arguments ++ indexes.arguments, options),
         {:ok, text} <- read(output) do
      {pinned, rest} = split(text)
      with_hashes(uv, spec, interpreter, pinned, rest, temporary)
    end
  end

  # uv.lock has no hashes of what is in a folder of `:find_links`. Resolved once more, with all versions given, it has.
  defp with_hashes(uv, spec, interpreter, pinned, rest, temporary) do
    {versions, local} = rest |> entries() |> Enum.split_with(&(&1 =~ ~r/\A[\w.-]+(\[.*\])?==/))
    output = Path.join(temporary, "hashes.txt")
    options = [cd: spec.project, project: true]
    constraints = for entry <- entries(pinned), do: entry |> String.split(~r/\s*\\\n/) |> hd()

    with [_ | _] <- versions,
         {:ok, input} <- write(temporary, "versions.txt", Enum.join(versions, "\n")),
         {:ok, given} <- write(temporary, "given.txt", Enum.join(constraints, "\n")),
         more = ["--constraints", given],
         {:ok, text} <-
           compile(uv, spec, "hashing packages", interpreter, {input, output}, more, options) do
      names = Enum.map(versions, &name/1)

      {more, without} =
        text |> entries() |> Enum.filter(&(name(&1) in names)) |> Enum.split_with(&hashed?/1)

      {:ok, lines(entries(pinned) ++ more), lines(local ++ without)}
    else
      [] -> {:ok, pinned, rest}
      {:error, error} -> {:error, error}
    end
  end

  @doc "What uv resolves a file to, for all systems and with hashes. `more`: further arguments; the options are those of `Uv.run/5`."
  @spec compile(
          Uv.t(),
          Spec.t(),
          String.t(),
          Python.Interpreter.t(),
          {input :: Path.t(), output :: Path.t()},
          [String.t()],
          keyword
        ) :: {:ok, String.t()} | {:error, InstallError.t()}
  def compile(uv, spec, doing, interpreter, {input, output}, more, options) do
    arguments =
      ~w(pip compile --universal --generate-hashes --no-header --no-annotate --python) ++
        [interpreter.executable, "--output-file", output] ++ more

    with {:ok, indexes} <- Indexes.of(spec),
         {:ok, _} <- Uv.run(uv, spec, doing, arguments ++ indexes.arguments ++ [input], options),
         do: read(output)
  end

  defp name(entry), do: entry |> String.split(~r/[\[=\s]/) |> hd()

  # It prints the whole of the result, too.
  defp exported(line, show),
    do: if(line =~ ~r/\A(Resolved|warning|Using|Updated|Added)/, do: show.(line))

  @doc "Requirements with hashes, and those of folders, which have none."
  @spec split(String.t()) :: {String.t(), String.t()}
  def split(text) do
    {pinned, local} = text |> entries() |> Enum.split_with(&hashed?/1)
    {lines(pinned), lines(local)}
  end

  # An entry may go on in further lines.
  defp entries(text) do
    text
    |> String.replace("\\\n", "\\\r")
    |> String.split("\n", trim: true)
    |> Enum.reject(&(&1 =~ ~r/\A\s*#/))
    |> Enum.map(&String.replace(&1, "\\\r", "\\\n"))
  end

  defp hashed?(entry), do: entry =~ "--hash="

  defp lines(entries), do: Enum.join(entries, "\n")

  defp read(path) do
    with {:error, reason} <- File.read(path), do: {:error, Failure.file(reason, path)}
  end

  defp write(folder, name, text) do
    path = Path.join(folder, name)

    case File.write(path, text <> "\n") do
      :ok -> {:ok, path}
      {:error, reason} -> {:error, Failure.file(reason, path)}
    end
  end
end
