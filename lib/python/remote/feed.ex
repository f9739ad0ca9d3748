defmodule Python.Remote.Feed do
  @moduledoc false

  # Reads a stream for a consumer on another node, chunk by chunk, and never more of them ahead than that one has asked for.
  # It ends with the proxy of the consumer.

  alias Python.{Options, Request, Stream}
  alias Python.Remote.Wire

  @doc "Opens a stream, for the process that waits for `reference`. Its chunks go to `chunks`."
  @spec start(pid, pid, reference, reference, tuple, Options.t(), pid) :: pid
  def start(proxy, caller, reference, chunks, operation, options, leader) do
    spawn_link(fn ->
      Process.group_leader(self(), leader)

      open(
        %{proxy: proxy, caller: caller, chunks: chunks, options: options},
        reference,
        operation
      )
    end)
  end

  defp open(feed, reference, operation) do
    case Request.run(operation, feed.options) do
      {:ok, stream} ->
        send(reference, {reference, {:answer, {:ok, self()}, false}})
        feed(feed, stream, 0)

      {:error, error} ->
        send(reference, {reference, {:refused, error}})
    end
  end

  defp feed(feed, stream, 0) do
    receive do
      {:credit, credit} -> feed(feed, stream, credit)
      :close -> Stream.close(stream)
    end
  end

  defp feed(feed, stream, credit) do
    receive do
      :close -> Stream.close(stream)
    after
      0 -> feed_chunk(feed, stream, credit)
    end
  end

  defp feed_chunk(feed, stream, credit) do
    chunk = Stream.chunk(stream, feed.options)
    {sendable, ids} = Wire.encode_answer(chunk, node(feed.caller))
    # Before the caller can have taken them.
    if ids != [], do: send(feed.proxy, {:given, ids})
    send(feed.chunks, {feed.chunks, sendable, ids != []})

    case chunk do
      {:more, _items} -> feed(feed, stream, credit - 1)
      _ -> await_close(stream)
    end
  end

  # The consumer reads what was sent, and closes.
  defp await_close(stream) do
    receive do
      :close -> Stream.close(stream)
      {:credit, _} -> await_close(stream)
    end
  end
end
