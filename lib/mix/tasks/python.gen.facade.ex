defmodule Mix.Tasks.Python.Gen.Facade do
  @moduledoc """
  Writes `src/py.erl`, the facade for Erlang, from the functions in `lib/python/erlang.ex`.

      mix python.gen.facade
      mix python.gen.facade --check

  For contributors to erlang_python. With `--check` it writes nothing, and fails if the file is out of date.
  """

  # Without a @shortdoc, so that `mix help` of those who use the package does not list it.

  use Mix.Task

  @path "src/py.erl"

  @impl true
  def run(args) do
    {options, []} = OptionParser.parse!(args, strict: [check: :boolean])
    Mix.Task.run("compile")
    text = Python.Facade.text()

    cond do
      File.read(@path) == {:ok, text} ->
        Mix.shell().info("#{@path} is up to date")

      options[:check] ->
        Mix.raise("#{@path} is out of date; run `mix python.gen.facade`")

      true ->
        File.mkdir_p!(Path.dirname(@path))
        File.write!(@path, text)
        Mix.shell().info("#{@path} was written")
    end
  end
end
