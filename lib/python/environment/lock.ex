defmodule Python.Environment.Lock do
  @moduledoc false

  # The lock: what was resolved, with hashes, in the form of a file of requirements, so that any index can serve it.
  # `python.lock` stands beside the `mix.exs` or in the project's folder; that of a file of requirements has its name.
  # It begins with what it was resolved from. What is in folders of this machine has no hash and stands at its end.

  alias Python.Environment.{Failure, Indexes, Key, Requirements, Secrets, Spec, Uv}
  alias Python.InstallError

  @of "# of: "
  @python "# python: "
  @local "# in folders of this project:"

  @type t :: %{pinned: String.t(), local: String.t(), python: String.t()}

  @doc "Where the lock of a spec is."
  @spec path(Spec.t()) :: Path.t()
  def path(%Spec{project: folder}) when is_binary(folder), do: Path.join(folder, "python.lock")

  def path(%Spec{requirements: file}) when is_binary(file), do: Path.rootname(file) <> ".lock"

  def path(%Spec{base: base, name: name}) when name != nil and name != false,
    do: Path.join(base, "python-#{name}.lock")

  def path(%Spec{base: base}), do: Path.join(base, "python.lock")

  @doc "The text of the lock of a spec."
  @spec read(Spec.t()) :: {:ok, String.t()} | :none
  # Packages that a call or a pool names have none: the one beside the `mix.exs` is for others.
  def read(%Spec{configured: false, project: nil, requirements: nil}), do: :none

  def read(spec) do
    case File.read(path(spec)) do
      # As git may write it on its way.
      {:ok, text} -> {:ok, String.replace(text, "\r\n", "\n")}
      {:error, _} -> :none
    end
  end

  @doc "The lock of a spec, if there is one. An error if it was resolved from something else."
  @spec fetch(Spec.t()) :: {:ok, t} | :none | {:error, InstallError.t()}
  def fetch(spec) do
    with {:ok, text} <- read(spec) do
      of = hash(spec)

      case header(text, @of) do
        ^of -> {:ok, parse(text)}
        _other -> {:error, out_of_step(spec)}
      end
    end
  end

  defp out_of_step(spec) do
    InstallError.new(
      :not_locked,
      "#{Path.relative_to_cwd(path(spec))} was not resolved from #{Spec.describe(spec)} as they are now",
      remedy: "Run `mix python.lock`, or remove the file to install without a lock.",
      details: %{path: path(spec)}
    )
  end

  defp parse(text) do
    [head | local] = String.split(text, @local <> "\n", parts: 2)
    pinned = head |> String.split("\n") |> Enum.reject(&(&1 =~ ~r/\A#/)) |> Enum.join("\n")

    %{
      pinned: String.trim(pinned),
      local: local |> Enum.join() |> String.trim(),
      python: header(text, @python)
    }
  end

  defp header(text, start) do
    text
    |> String.split("\n")
    |> Enum.take(10)
    |> Enum.find_value(
      "",
      &if(String.starts_with?(&1, start), do: String.replace_prefix(&1, start, ""))
    )
  end

  defp hash(spec), do: Key.hash({spec.version, Requirements.inputs(spec)})

  ## Writing

  @doc """
  Resolves a spec for this interpreter and all systems, and writes the lock. With `upgrade`, versions that are in it
  now do not stay. Returns the lock's path, and whether it has changed.
  """
  @spec write(Uv.t(), Spec.t(), Python.Interpreter.t(), boolean, Path.t(), Uv.show()) ::
          {:ok, Path.t(), :changed | :same} | {:error, InstallError.t()}
  def write(uv, spec, interpreter, upgrade, temporary, show) do
    {major, minor, _} = interpreter.version
    python = "#{major}.#{minor}"
    before = read(spec)

    with {:ok, pinned, local} <- resolve(uv, spec, interpreter, python, upgrade, temporary, show),
         text = text(spec, python, pinned, local),
         :ok <- harmless(text, spec),
         :ok <- put(path(spec), text) do
      {:ok, path(spec), if(before == {:ok, text}, do: :same, else: :changed)}
    end
  end

  # The lock is for all to read.
  defp harmless(text, spec) do
    if Secrets.literal?(text) do
      {:error,
       InstallError.new(
         :invalid,
         "#{path(spec)} was not written, as the URL of a package has a password in it",
         remedy: "Name it by an environment variable: https://${TOKEN}@…"
       )}
    else
      :ok
    end
  end

  defp resolve(uv, %{project: folder} = spec, interpreter, _python, upgrade, temporary, show)
       when is_binary(folder) do
    more = if upgrade, do: ["--upgrade"], else: []
    options = [cd: folder, project: true, show: show]

    with {:ok, indexes} <- Indexes.of(spec),
         arguments = ["lock", "--python", interpreter.executable] ++ more ++ indexes.arguments,
         {:ok, _} <- Uv.run(uv, spec, "uv lock", arguments, options) do
      Requirements.export(uv, spec, interpreter, ["--frozen"], temporary, show)
    end
  end

  defp resolve(uv, spec, interpreter, python, upgrade, temporary, show) do
    output = Path.join(temporary, "locked.txt")
    more = ["--python-version", python] ++ if(upgrade, do: ["--upgrade"], else: [])
    doing = "resolving #{Spec.describe(spec)}"

    # What is there says which versions stay.
    with {:ok, lock} <- fetch_any(spec), do: File.write(output, lock.pinned)

    with {:ok, input, cd} <- Requirements.input(spec, temporary),
         options = [cd: cd, show: &resolved(&1, show)],
         {:ok, text} <-
           Requirements.compile(uv, spec, doing, interpreter, {input, output}, more, options) do
      {pinned, local} = Requirements.split(text)
      {:ok, pinned, local}
    end
  end

  # It prints the whole of the result, too.
  defp resolved(line, show), do: if(line =~ ~r/\A[A-Z]|\Awarning/, do: show.(line))

  defp fetch_any(spec), do: with({:ok, text} <- read(spec), do: {:ok, parse(text)})

  defp text(spec, python, pinned, local) do
    """
    # Written by `mix python.lock`. Do not edit it; keep it in version control.
    #{@of}#{hash(spec)}
    #{@python}#{python}
    #{pinned}
    """ <> if(local == "", do: "", else: "#{@local}\n#{local}\n")
  end

  defp put(path, text) do
    case File.read(path) do
      {:ok, ^text} ->
        :ok

      _ ->
        # Written beside it and moved, so that a full disk leaves the old one.
        new = "#{path}.#{System.pid()}.new"

        with :ok <- File.write(new, text), :ok <- File.rename(new, path) do
          :ok
        else
          {:error, reason} ->
            File.rm(new)
            {:error, Failure.file(reason, path)}
        end
    end
  end
end
