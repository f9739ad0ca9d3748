defmodule Python.Remote.Feed do
  @moduledoc false

  # Reads a stream for a consumer on another node, chunk by chunk, and never more of them ahead than that one has asked for.
  # It ends with the consumer, and with its proxy. What Python sends it is meant for the consumer.

  alias Python.{Callback, Request, Stream}
  alias Python.Remote.{Handles, Proxy, Wire}

  ## The consumer

  @doc "Lets it read so many chunks more."
  @spec credit(pid, pos_integer) :: :ok
  def credit(feed, chunks), do: Proxy.send_soon(feed, {__MODULE__, {:credit, chunks}})

  @doc "Closes the stream. Whoever monitors the feed hears when that is done."
  @spec close(pid) :: :ok
  def close(feed), do: Proxy.send_soon(feed, {__MODULE__, :close})

  ## The node of the stream

  @doc """
  Opens a stream, as the proxy was asked. Its chunks go to `chunks`. `keeper` has what was given to the caller.
  """
  @spec start(pid, pid, reference, map) :: pid
  def start(keeper, caller, chunks, %{reference: reference, options: options} = asked) do
    proxy = self()
    # In the body of a `with`, its items are made on the thread of the manager.
    running = Callback.running()

    spawn_link(fn ->
      Callback.run_as(running)
      Handles.keep_for(keeper)
      Process.group_leader(self(), asked.leader)
      monitor = Process.monitor(caller)
      feed = %{keeper: keeper, caller: caller, monitor: monitor, chunks: chunks, options: options}

      # What ends it otherwise ends the proxy as well.
      open(feed, reference, asked.operation)
      Proxy.tell(keeper, {:untaken, chunks})
      Proxy.tell(proxy, {:closed, reference})
    end)
  end

  defp open(feed, reference, operation) do
    case run(operation, feed.options) do
      {:ok, stream} ->
        send(reference, {reference, {:answer, {:ok, self()}, nil}})
        feed(feed, stream, 0)

      {:error, error} ->
        pass_on(feed)
        send(reference, {reference, {:refused, error}})

      {:raised, error} ->
        send(reference, {reference, {:raised, error}})
    end
  end

  defp run(operation, options) do
    Request.run(operation, options)
  rescue
    # For a wrong argument.
    error -> {:raised, error}
  end

  defp feed(feed, stream, credit) do
    case next(feed, credit) do
      {:credit, more} -> feed(feed, stream, credit + more)
      :go_on -> feed_chunk(feed, stream, credit)
      :close -> Stream.close(stream)
    end
  end

  # What comes next: with credit, it does not wait.
  defp next(%{monitor: monitor} = feed, credit) do
    receive do
      {__MODULE__, message} ->
        message

      {:DOWN, ^monitor, _, _, _} ->
        :close

      message ->
        send(feed.caller, message)
        next(feed, credit)
    after
      if(credit == 0, do: :infinity, else: 0) -> :go_on
    end
  end

  # What the chunk's code has sent comes before it.
  defp pass_on(%{monitor: monitor} = feed) do
    receive do
      message
      when not (is_tuple(message) and tuple_size(message) > 1 and
                    (elem(message, 0) == __MODULE__ or elem(message, 1) == monitor)) ->
        send(feed.caller, message)
        pass_on(feed)
    after
      0 -> :ok
    end
  end

  defp feed_chunk(feed, stream, credit) do
    chunk = Stream.chunk(stream, feed.options)
    pass_on(feed)
    {sendable, ids} = Wire.encode_chunk(chunk, node(feed.caller))
    keeper = Proxy.given(feed.keeper, feed.chunks, ids)
    send(feed.chunks, {feed.chunks, sendable, keeper})

    case chunk do
      {:more, _items} -> feed(feed, stream, credit - 1)
      _ -> await_close(feed, stream)
    end
  end

  # The consumer reads what was sent, and closes.
  defp await_close(feed, stream) do
    with {:credit, _} <- next(feed, 0),
         do: await_close(feed, stream),
         else: (:close -> Stream.close(stream))
  end
end
