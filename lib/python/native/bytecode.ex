defmodule Python.Native.Bytecode do
  @moduledoc false

  # Compiles the package `erlang` with the Python of this machine, if there is one. To compile it takes a start as long as
  # Python needs to start, and where Python writes no `.pyc` files each start does so: with PYTHONDONTWRITEBYTECODE, as in
  # many images of Docker, and where the folder cannot be written to. Other versions of Python do not find these files.
  #
  # They go by the hash of their source: in a release it has another time. What fails here is left to the start.

  alias Python.Interpreter.{Pyenv, Search}
  alias Python.Program

  @folder "priv/python/erlang"
  @timeout 30_000

  # `-S` and `-I`: nothing that is installed runs.
  @arguments ~w(-I -S -m compileall -q -f --invalidation-mode checked-hash)

  @doc "Where Python puts them."
  def folder, do: Path.expand(Path.join(@folder, "__pycache__"))

  @doc "What the files depend on: the sources and the interpreter. nil if there is none."
  @spec digest() :: term
  def digest do
    with path when is_binary(path) or path == nil <-
           Application.get_env(:erlang_python, :python_path),
         {:ok, %{executable: executable}} <- Search.locate(path, System.get_env()),
         # A shim would have to be asked.
         false <- Pyenv.shim?(executable),
         {:ok, stat} <- File.stat(executable) do
      {executable, stat.size, stat.mtime, stat.inode, :erlang.md5(sources())}
    else
      _ -> nil
    end
  end

  defp sources do
    for path <- @folder |> Path.join("*.py") |> Path.wildcard() |> Enum.sort(),
        do: [path, 0, File.read!(path), 0]
  end

  @doc "Compiles what a digest is of."
  @spec compile(term) :: :ok
  def compile(digest) do
    arguments = @arguments ++ [Path.expand(@folder)]
    _ = Program.run(elem(digest, 0), arguments, timeout: @timeout, show: & &1, mask: & &1)
    :ok
  end
end
