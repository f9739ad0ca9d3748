defmodule Python.Source do
  @moduledoc false

  # Lines of Python source, for errors that Python itself is not asked about: a file name in Python is
  # anybody's word, and may be that of a pipe, or lie on a disk that does not answer.
  #
  # Files are read by a process of its own, one at a time. Should that be held up, the caller goes on without
  # the line, and so does everybody after it: at most one dirty scheduler is lost.

  alias Python.Deadline

  # What the caller waits, in ms.
  @wait 20

  # Bytes. A file of more is not read.
  @largest 8 * 1024 * 1024

  @doc "A line of a file, or of code that is said to be in it, without the spaces around it; nil if it cannot be had."
  @spec line(String.t(), integer) :: String.t() | nil
  def line(file, number) when number > 0 do
    case kept(file, number) do
      nil -> if readable?(file), do: read(file, number, Deadline.in_ms(@wait))
      line -> filled(line)
    end
  end

  def line(_file, _number), do: nil

  # Text that the interpreter of the VM was given.
  defp kept(file, number) do
    if Python.Library.loaded?(:erlang_python), do: :erlang_python.source_line(file, number)
  end

  # Python calls it `<string>`, `<stdin>` or `<frozen …>` if it is in no file.
  defp readable?(file), do: file != "" and not String.starts_with?(file, "<")

  defp read(file, number, deadline) do
    {reader, monitor} = spawn_monitor(fn -> exit({:shutdown, find(file, number)}) end)

    receive do
      {:DOWN, ^monitor, _, ^reader, {:shutdown, {:ok, line}}} ->
        line

      {:DOWN, ^monitor, _, ^reader, {:shutdown, :busy}} ->
        if Deadline.left(deadline) > 0 do
          Process.sleep(1)
          read(file, number, deadline)
        end

      {:DOWN, ^monitor, _, ^reader, _reason} ->
        nil
    after
      Deadline.left(deadline) ->
        Process.demonitor(monitor, [:flush])
        nil
    end
  end

  ## In the reader

  defp find(file, number) do
    if register() do
      # Raw: the file server is one process for the whole VM.
      with {:ok, info} <- :file.read_file_info(file, [:raw]),
           {:regular, size} when size in 1..@largest <- {elem(info, 2), elem(info, 1)},
           {:ok, device} <- :file.open(file, [:raw, :read, :binary]),
           {:ok, text} <- :file.read(device, @largest) do
        {:ok, nth(text, number)}
      else
        _ -> {:ok, nil}
      end
    else
      :busy
    end
  end

  defp register do
    Process.register(self(), __MODULE__)
  rescue
    ArgumentError -> false
  end

  # As Python splits text.
  defp nth(text, number) do
    text
    |> :binary.split(["\r\n", "\n", "\r"], [:global])
    |> Enum.at(number - 1, "")
    |> filled()
  end

  defp filled(line) do
    if String.valid?(line) do
      case String.trim(line) do
        "" -> nil
        line -> :binary.copy(line)
      end
    end
  end
end
