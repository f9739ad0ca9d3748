defmodule Python.Checkout do
  @moduledoc false

  # Where the files of the project are that runs. Not where these helpers were compiled: a checkout can be
  # copied with what was built in it.

  @doc "The path of a file or folder of the project, from its root."
  @spec path(Path.t()) :: Path.t()
  def path(path), do: Path.expand(path, root())

  # In a VM of its own a test has no Mix, and begins in the same folder.
  defp root do
    file = if Process.whereis(Mix.State), do: Mix.Project.project_file()
    if file, do: Path.dirname(file), else: File.cwd!()
  end
end
