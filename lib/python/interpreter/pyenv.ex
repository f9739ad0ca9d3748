defmodule Python.Interpreter.Pyenv do
  @moduledoc false

  # pyenv puts small programs called shims on PATH. Each is a bash script that takes 100 ms to find
  # out which python to run, longer than starting Python and everything else here together. Where
  # the answer is plain, one version that is installed under its full name, it is found here. In all
  # other cases (several versions, "system", an abbreviation) the shim itself is run and knows.
  #
  # The rules: https://github.com/pyenv/pyenv#understanding-python-version-selection

  @doc "The interpreter that the shim at `path` stands for; `:unknown` where only the shim can tell."
  @spec resolve(Path.t(), %{String.t() => String.t()}) :: {:ok, Path.t()} | :unknown
  def resolve(path, env) do
    root = path |> Path.dirname() |> Path.dirname()

    with true <- shim?(path),
         true <- File.dir?(Path.join(root, "versions")),
         [version] <- versions(env, root),
         true <- plain?(version),
         interpreter = Path.join([root, "versions", version, "bin", Path.basename(path)]),
         true <- File.regular?(interpreter) do
      {:ok, interpreter}
    else
      _ -> :unknown
    end
  end

  @doc "Whether a program stands for others."
  @spec shim?(Path.t()) :: boolean
  def shim?(path), do: path |> Path.dirname() |> Path.basename() == "shims"

  defp versions(env, root) do
    case env["PYENV_VERSION"] do
      unset when unset in [nil, ""] -> env |> version_file(root) |> read()
      version -> String.split(version, ":")
    end
  end

  defp version_file(env, root) do
    local =
      [env["PYENV_DIR"], File.cwd!()]
      |> Enum.reject(&(&1 in [nil, ""]))
      |> Enum.flat_map(&upwards(Path.expand(&1)))
      |> Enum.map(&Path.join(&1, ".python-version"))
      |> Enum.find(&File.regular?/1)

    local || Path.join(root, "version")
  end

  defp upwards(folder) do
    case Path.dirname(folder) do
      ^folder -> [folder]
      parent -> [folder | upwards(parent)]
    end
  end

  # The first word of each line that is no comment.
  defp read(file) do
    case File.read(file) do
      {:ok, text} ->
        for line <- String.split(text, ["\n", "\r"]),
            [word | _] <- [:string.lexemes(line, ~c" \t")],
            not String.starts_with?(word, "#"),
            do: word

      {:error, _} ->
        []
    end
  end

  defp plain?(version),
    do: version not in ["system", ".", ".."] and not String.contains?(version, "/")
end
