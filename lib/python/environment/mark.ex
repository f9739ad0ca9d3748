defmodule Python.Environment.Mark do
  @moduledoc false

  # The file in the folder of an environment, or of a bundle in a release, that says what it is. It is written last: a folder
  # with one is whole.

  @file_name "erlang_python.term"

  @doc "The name of the file."
  @spec file() :: String.t()
  def file, do: @file_name

  @doc "Where it is in a folder."
  @spec path(Path.t()) :: Path.t()
  def path(folder), do: Path.join(folder, @file_name)

  @doc "What it says. Empty if there is none, or none that can be read."
  @spec read(Path.t()) :: map
  def read(folder) do
    case :file.consult(path(folder)) do
      {:ok, [%{} = mark]} -> mark
      _ -> %{}
    end
  end

  @doc "What is to be in the file."
  @spec text(map) :: binary
  def text(mark), do: :unicode.characters_to_binary(:io_lib.format(~c"~tp.~n", [mark]))
end
