defmodule Python.Notes do
  @moduledoc false

  # What Python code has told a test, by test/support/python/notes.py, in whichever process it runs; and gates.

  import ExUnit.Assertions
  import Python.TestCase, only: [eventually: 2, unique: 1]

  @doc "A name under which Python code can tell something, until the test ends."
  def new_name do
    folder = Path.join(System.tmp_dir!(), unique("notes"))
    File.mkdir_p!(folder)
    ExUnit.Callbacks.on_exit(fn -> File.rm_rf!(folder) end)
    Path.join(folder, "name")
  end

  @doc "What was told."
  def events(name), do: Enum.reject(lines(name), &thread?/1)

  @doc "How many items have been made."
  def made(name), do: elem(notes(name), 0)

  @doc "How many objects there are that are counted."
  def alive(name), do: elem(notes(name), 1)

  @doc "The thread in which the code was, if there was only one."
  def ident(name) do
    assert ["@" <> ident] = Enum.filter(lines(name), &thread?/1)
    String.to_integer(ident)
  end

  @doc "Waits until something is told, and returns all that was told."
  def eventually_told(name, event) do
    eventually("#{event} is told", fn -> event in events(name) end)
    events(name)
  end

  @doc "Lets through whoever waits at the gate of that name."
  def open_gate(name), do: File.touch!(name <> ".gate")

  defp thread?(line), do: String.starts_with?(line, "@")

  defp lines(name), do: name |> notes() |> elem(2) |> String.split("\n", trim: true)

  defp notes(name) do
    case File.open(name <> ".notes", [:read, :binary, :raw], &read/1) do
      {:ok, notes} -> notes
      # Nothing was told.
      {:error, :enoent} -> {0, 0, ""}
    end
  end

  defp read(file) do
    case :file.pread(file, 0, 24) do
      {:ok, <<made::64-native, alive::64-native, length::64-native>>} ->
        {made, alive, if(length == 0, do: "", else: text(file, length))}

      # It is being made.
      _empty ->
        {0, 0, ""}
    end
  end

  defp text(file, length) do
    {:ok, text} = :file.pread(file, 24, length)
    text
  end
end
