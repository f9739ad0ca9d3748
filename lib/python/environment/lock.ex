defmodule Python.Environment.Lock do
  @moduledoc false

  # `python.lock`: what was resolved, with hashes, in the form of a file of requirements. Any index can serve it.
  # It stands beside the `mix.exs`, in the project's folder, or beside the file of requirements, whose name it has.

  alias Python.Environment.Spec

  @doc "Where the lock of a spec is."
  @spec path(Spec.t()) :: Path.t()
  def path(%Spec{project: folder}) when is_binary(folder), do: Path.join(folder, "python.lock")

  def path(%Spec{requirements: file}) when is_binary(file), do: Path.rootname(file) <> ".lock"

  def path(%Spec{base: base}), do: Path.join(base, "python.lock")

  @doc "The lock of a spec."
  @spec read(Spec.t()) :: {:ok, String.t()} | :none
  def read(spec) do
    case File.read(path(spec)) do
      {:ok, text} -> {:ok, text}
      {:error, _} -> :none
    end
  end

  @doc "What it was resolved from: the texts of the spec and of the files that it names."
  @spec inputs(Spec.t()) :: term
  def inputs(%Spec{project: folder}) when is_binary(folder),
    do: {:project, File.read(Path.join(folder, "pyproject.toml"))}

  def inputs(%Spec{requirements: file}) when is_binary(file), do: {:requirements, File.read(file)}
  def inputs(%Spec{packages: packages}), do: {:packages, packages || []}
end
