# Words on the terminal, each as soon as a Python generator has made it:
#
#     mix run examples/stream_words.exs
#
# The generator could go on for ever. It is closed when enough has been read.

defmodule StreamWords do
  @moduledoc false

  @folder Path.relative_to_cwd(__DIR__)
  @width 72
  @sentences 3

  def run do
    Python.call!(:sys, "path.append", [Path.join(@folder, "python")])

    # The author stays in Python; Elixir has a handle, and streams one of its methods.
    author = Python.call!(:author, :Author, [Path.join(@folder, "data/alice.txt")])

    # With `prefetch: 0` Python makes no word that is not read.
    words = Python.stream(author, :write, ["Alice"], kwargs: [seed: 101], prefetch: 0)

    started = now()
    IO.puts("")
    read = Enum.reduce_while(words, %{words: 0, sentences: 0, column: 0}, &show(&1, &2, now()))
    ended = now()

    written = Python.getattr!(author, :words_written)

    IO.puts("""


    The first word came after #{read.first - started} ms, the last after #{ended - started} ms.
    #{read.words} words were read. Python has closed the generator after #{written}.\
    """)

    unless written == read.words, do: raise("the generator was not closed")
  end

  # Words until some sentences are complete: a stream may be left at any time.
  defp show(word, read, now) do
    read =
      read
      |> write(word)
      |> Map.put_new(:first, now)
      |> Map.update!(:words, &(&1 + 1))
      |> Map.update!(:sentences, &if(word =~ ~r/[.!?]”?$/u, do: &1 + 1, else: &1))

    if read.sentences == @sentences, do: {:halt, read}, else: {:cont, read}
  end

  defp write(%{column: 0} = read, word) do
    IO.write(word)
    %{read | column: String.length(word)}
  end

  defp write(%{column: column} = read, word) do
    if column + 1 + String.length(word) > @width do
      IO.write("\n")
      write(%{read | column: 0}, word)
    else
      IO.write(" " <> word)
      %{read | column: column + 1 + String.length(word)}
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end

StreamWords.run()
