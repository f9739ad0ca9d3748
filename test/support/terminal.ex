defmodule Python.FakeTerminal do
  @moduledoc false

  # A group leader such as a shell's: what is written to it is sent on, and it knows its size. Without a
  # size it is no terminal, and with `:silent` it does not answer when it is asked for it.

  def start(size) do
    test = self()
    spawn_link(fn -> loop(test, size) end)
  end

  defp loop(test, size) do
    receive do
      {:io_request, from, reference, {:get_geometry, _}} when size == :silent ->
        send(test, {:asked, from, reference})

      {:io_request, from, reference, request} ->
        send(from, {:io_reply, reference, reply(test, size, request)})
    end

    loop(test, size)
  end

  defp reply(test, _size, {:put_chars, _encoding, text}) do
    send(test, {:written, IO.chardata_to_string(text)})
    :ok
  end

  defp reply(_test, {columns, _rows}, {:get_geometry, :columns}), do: columns
  defp reply(_test, {_columns, rows}, {:get_geometry, :rows}), do: rows
  defp reply(_test, _size, _request), do: {:error, :enotsup}
end
