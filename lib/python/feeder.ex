defmodule Python.Feeder do
  @moduledoc false

  # Streams whose items come as messages, for those who do not enumerate: Erlang.
  #
  #     {:py_stream, reference, {:data, item} | :done | {:error, reason}}
  #
  # Each has a process that enumerates and sends. The one of this module knows them by their
  # references, ends them with their owners, and tells the owner if one dies. No item passes through
  # it.

  use GenServer

  alias Python.{Engine, NotStartedError, Options, StoppedError, Stream}

  # How many items are sent between two looks at the owner's mailbox. Further ones are sent when less
  # than as many messages are in it, besides those that were there before the stream.
  @batch 100

  # How often to look before sleeping, and how long to sleep between looks, at most, in ms.
  @looks 100
  @longest_sleep 25

  # Its messages are counted by copying them, and that by the owner itself. How many times as long it is then left
  # alone: a mailbox of 100,000 messages takes 30 ms.
  @rest 20

  @typedoc "What an exception is in a message."
  @type to_reason :: (Exception.t() -> term)

  def start_link(_), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc "Starts to send the calling process the items of what `source` gives."
  @spec start(tuple, Options.t(), to_reason) :: {:ok, reference} | {:error, Exception.t()}
  def start(source, options, to_reason) do
    with :ok <- Engine.any_status() do
      owner = self()
      reference = make_ref()
      # Not by the process below: the arguments would be copied twice.
      feeder = spawn(fn -> wait_to_begin({owner, reference, to_reason}, source, options) end)

      if call({:watch, reference, owner, feeder, to_reason}) == :ok do
        send(feeder, {reference, :begin})
        {:ok, reference}
      else
        Process.exit(feeder, :kill)
        {:error, NotStartedError.new(:not_started)}
      end
    end
  end

  @doc "Ends a stream. When this returns, no further message is sent."
  @spec cancel(reference) :: :ok
  def cancel(reference) do
    # If there is nobody to ask, the application does not run, and so no stream does.
    call({:cancel, reference})
    :ok
  end

  defp call(request) do
    GenServer.call(__MODULE__, request, :infinity)
  catch
    :exit, {_reason, {GenServer, :call, _}} -> :down
  end

  ## The process of a stream

  # It is known from its first item on, so that it can be cancelled.
  defp wait_to_begin({owner, reference, _} = receiver, source, options) do
    monitor = Process.monitor(owner)

    receive do
      {^reference, :begin} ->
        Process.demonitor(monitor, [:flush])
        feed(receiver, source, options)

      {:DOWN, ^monitor, _, _, _} ->
        :ok
    end
  end

  defp feed({owner, _, _} = receiver, source, options) do
    case Stream.open(source, options) do
      {:ok, stream} -> feed_chunks(receiver, stream, options, elem(look(owner), 0))
      {:error, error} -> fail(receiver, error)
    end
  end

  defp feed_chunks(receiver, stream, options, others) do
    case Stream.chunk(stream, options) do
      {:more, items} ->
        others = feed_items(receiver, items, others)
        feed_chunks(receiver, stream, options, others)

      {:done, items} ->
        feed_items(receiver, items, others)
        tell(receiver, :done)

      {:failed, items, error} ->
        feed_items(receiver, items, others)
        # With this process the stream ends, and is closed.
        fail(receiver, error)
    end
  end

  defp feed_items(_receiver, [], others), do: others

  defp feed_items(receiver, items, others) do
    others = wait_for_room(receiver, others, 0, {nil, now()})
    {items, rest} = Enum.split(items, @batch)
    Enum.each(items, &tell(receiver, {:data, &1}))
    feed_items(receiver, rest, others)
  end

  # `others` are the messages in the owner's mailbox that are not of this stream, as far as is known.
  # They may stay there for ever, and there may be more by now. There is nothing that would tell what it has read: so
  # when it has done something, its messages are counted. `asked` is what it had done when that was done the last time,
  # and when it may be done again.
  defp wait_for_room({owner, _, _} = receiver, others, looks, {asked_at, again} = asked) do
    {queued, waits, done} = look(owner)

    cond do
      queued < others + @batch ->
        min(others, queued)

      looks < @looks ->
        :erlang.yield()
        wait_for_room(receiver, others, looks + 1, asked)

      done != asked_at and (waits or rem(looks, @looks) == 0) and now() >= again ->
        begun = now()
        {unread, length} = unread(receiver)
        others = length - unread

        if unread < @batch do
          others
        else
          again = now() + @rest * (now() - begun)
          wait_longer(receiver, others, looks, {asked(owner, length), again})
        end

      true ->
        wait_longer(receiver, others, looks, asked)
    end
  end

  defp wait_longer(receiver, others, looks, asked) do
    Process.sleep(min(looks - @looks + 1, @longest_sleep))
    wait_for_room(receiver, others, looks + 1, asked)
  end

  defp now, do: System.monotonic_time(:millisecond)

  # Should the owner have read something since, it is to be asked again.
  defp asked(owner, length) do
    case look(owner) do
      {^length, _waits, done} -> done
      _ -> nil
    end
  end

  # How many messages it has, whether it waits for one, and a number that changes when it does anything.
  defp look(owner) do
    case Process.info(owner, [:message_queue_len, :status, :reductions]) do
      [message_queue_len: length, status: status, reductions: done] ->
        {length, status == :waiting, done}

      nil ->
        exit(:normal)
    end
  end

  # How many messages of this stream it has, and how many in all. This copies them.
  defp unread({owner, reference, _}) do
    case Process.info(owner, :messages) do
      {:messages, messages} ->
        {Enum.count(messages, &match?({:py_stream, ^reference, _}, &1)), length(messages)}

      nil ->
        exit(:normal)
    end
  end

  defp tell({owner, reference, _}, what), do: send(owner, {:py_stream, reference, what})

  defp fail({_, _, to_reason} = receiver, error),
    do: tell(receiver, {:error, to_reason.(error)})

  ## The process that knows them

  # `streams` by reference; `monitors`, two for each stream, to its reference.
  defstruct streams: %{}, monitors: %{}

  @impl true
  def init(nil) do
    Process.flag(:trap_exit, true)
    {:ok, %__MODULE__{}}
  end

  @impl true
  def handle_call({:watch, reference, owner, feeder, to_reason}, _from, state) do
    Process.link(feeder)

    stream = %{
      owner: owner,
      feeder: feeder,
      to_reason: to_reason,
      monitors: [Process.monitor(owner), Process.monitor(feeder)],
      cancelled_by: []
    }

    {:reply, :ok,
     %{
       state
       | streams: Map.put(state.streams, reference, stream),
         monitors: Enum.into(stream.monitors, state.monitors, &{&1, reference})
     }}
  end

  def handle_call({:cancel, reference}, from, state) do
    case state.streams do
      %{^reference => stream} ->
        # The answer follows when it is dead.
        Process.exit(stream.feeder, :kill)
        stream = %{stream | cancelled_by: [from | stream.cancelled_by]}
        {:noreply, %{state | streams: Map.put(state.streams, reference, stream)}}

      _ ->
        {:reply, :ok, state}
    end
  end

  @impl true
  def handle_info({:DOWN, monitor, :process, pid, reason}, state) do
    reference = Map.fetch!(state.monitors, monitor)

    case Map.fetch!(state.streams, reference) do
      %{feeder: ^pid} = stream ->
        ended(reference, stream, reason)
        {:noreply, forget(state, reference, stream)}

      %{owner: ^pid} = stream ->
        Process.exit(stream.feeder, :kill)
        {:noreply, state}
    end
  end

  # Feeders are linked, to end with this process whatever ends it.
  def handle_info(_message, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state) do
    for {reference, stream} <- state.streams do
      Process.exit(stream.feeder, :kill)
      ended(reference, stream, :shutdown)
    end
  end

  defp ended(_reference, _stream, :normal), do: :ok

  defp ended(reference, %{cancelled_by: []} = stream, _reason) do
    error = %{StoppedError.new(:stopped) | message: "the process of the stream was killed"}
    fail({stream.owner, reference, stream.to_reason}, error)
  end

  defp ended(_reference, stream, _reason),
    do: Enum.each(stream.cancelled_by, &GenServer.reply(&1, :ok))

  defp forget(state, reference, stream) do
    for monitor <- stream.monitors, do: Process.demonitor(monitor, [:flush])

    %{
      state
      | streams: Map.delete(state.streams, reference),
        monitors: Map.drop(state.monitors, stream.monitors)
    }
  end
end
