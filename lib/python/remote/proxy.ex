defmodule Python.Remote.Proxy do
  @moduledoc false

  # Stands for a process of another node: hands its requests in, and its answers back. It waits for none of them, and passes
  # on what Python sends it, which is meant for the process that it stands for.
  #
  # It holds the tickets of its requests. So when it ends, with that process or with the connection to it, they are given
  # up, and their workers are free.

  alias Python.{Home, Operation, Remote, Request, Telemetry, TimeoutError}
  alias Python.Pool.Asleep
  alias Python.Remote.{Feed, Handles, Wire}

  # Flag 4: a request ends when its ticket is gone.
  @cancel_on_drop 4

  # After so many ms without work, garbage is collected.
  @idle 1_000

  # Where a proxy has the node of its caller.
  @caller {__MODULE__, :caller}

  # How long to wait for the place where Python was, in ms. Nobody waits for longer.
  @listen 50

  # How long the start of one may take, in ms.
  @start 5_000

  ## The other node

  @doc "Starts the proxy of the calling process on another node, within the time of a call that it is started for."
  @spec start(node, timeout | nil) :: {:ok, pid} | {:error, Exception.t()}
  def start(node, timeout) do
    time = min(timeout || @start, @start)
    hello = :erlang.alias([:reply])
    arguments = [self(), hello, Remote.version()]

    request =
      :erlang.spawn_request(node, __MODULE__, :init, arguments, [:monitor, {:reply, :error_only}])

    receive do
      {^hello, proxy} ->
        Process.demonitor(request, [:flush])
        {:ok, proxy}

      {:spawn_reply, ^request, :error, reason} ->
        failed(node, hello, reason)

      {:DOWN, ^request, _, _, {:shutdown, reason}} ->
        failed(node, hello, reason)

      {:DOWN, ^request, _, _, reason} ->
        failed(node, hello, reason)
    after
      time ->
        :erlang.unalias(hello)
        # No reply comes after this, but one that has.
        :erlang.spawn_request_abandon(request)
        Process.demonitor(request, [:flush])
        flush(hello, request)
        late(node, timeout)
    end
  end

  defp failed(node, hello, reason) do
    :erlang.unalias(hello)
    {:error, Remote.unreachable(node, reason)}
  end

  defp flush(hello, request) do
    receive do
      {^hello, _proxy} -> flush(hello, request)
      {:spawn_reply, ^request, _, _} -> flush(hello, request)
      {:DOWN, ^request, _, _, _} -> flush(hello, request)
    after
      0 -> :ok
    end
  end

  defp late(_node, timeout) when is_integer(timeout) and timeout <= @start,
    do: {:error, TimeoutError.new(timeout, :queued)}

  defp late(node, _timeout), do: {:error, Remote.unreachable(node, :timeout)}

  ## The process

  # `requests`: by the reference that the caller waits for, and by ours. `given`: handles of which it is not known yet whether
  # the caller has taken them.
  defstruct [:caller, :monitor, requests: %{}, ours: %{}, given: %{}]

  @doc false
  def init(caller, hello, version) do
    cond do
      version != Remote.version() ->
        exit({:shutdown, {:version, Remote.version(), version}})

      Handles.running?() ->
        monitor = Process.monitor(caller)
        Process.put(@caller, node(caller))
        send(hello, {hello, self()})
        loop(%__MODULE__{caller: caller, monitor: monitor})

      true ->
        exit({:shutdown, :not_started})
    end
  end

  @doc """
  The caller has used something that is kept for another node, from which it has got it. It is kept as long as the caller lives:
  who has kept it so far may let go of it.
  """
  @spec used(reference, term, node) :: term
  def used(id, term, holder) do
    if Process.get(@caller, holder) != holder, do: Process.put({__MODULE__, id}, term)
    term
  end

  @doc "What the caller has used before, if it was kept for another node."
  @spec kept(reference) :: term
  def kept(id), do: Process.get({__MODULE__, id})

  @doc false
  def loop(state) do
    receive do
      message -> loop(handle(message, state))
    after
      @idle -> :proc_lib.hibernate(__MODULE__, :loop, [state])
    end
  end

  @doc "Does for a process of another node what the proxy does, in the body of a `with`, until that ends."
  @spec serve(pid) :: term
  def serve(caller), do: serve_on(%__MODULE__{caller: caller, monitor: Process.monitor(caller)})

  defp serve_on(state) do
    receive do
      {:ended, result} ->
        Process.demonitor(state.monitor, [:flush])
        result

      # For Python.Remote.Hold, whose process this is.
      {:final, final} ->
        Process.put(:final, final)
        serve_on(state)

      message ->
        serve_on(handle(message, state))
    end
  end

  defp handle({:ask, kind, reference, sendable, options, leader}, state) do
    operation = arrived(sendable)
    hand_in(kind, reference, operation, options, leader, state)
  end

  # An answer, or the place where Python was when it was given up.
  defp handle({ours, answer}, %{ours: all} = state) when is_map_key(all, ours),
    do: answered(ours, Map.fetch!(all, ours), answer, state)

  defp handle({:cancel, reference, listener}, state) do
    case state.requests do
      %{^reference => request} -> cancel(request, listener, state)
      _ -> tell(listener, :none, state)
    end
  end

  defp handle({:abandon, reference}, state) do
    with %{^reference => %{engine: engine, ticket: ticket}} when ticket != nil <- state.requests,
         do: engine.abandon(ticket)

    state
  end

  defp handle({:send, reference, sendable}, state) do
    with %{^reference => %{engine: engine, ticket: ticket}} when ticket != nil <- state.requests,
         {message, references} = sendable,
         do: engine.send_to_request(ticket, Wire.decode(message, references, nil))

    state
  end

  defp handle({:taken, ids}, state), do: %{state | given: Map.drop(state.given, ids)}

  # Of a stream: they are the caller's to take as well.
  defp handle({:given, ids}, state), do: give(ids, state)

  defp handle({:unlisten, reference}, state) do
    case state.requests do
      %{^reference => %{engine: engine, ticket: ticket, ours: ours}} ->
        unless engine.stop_listening(ticket), do: flush(ours)
        remove(reference, state)

      _ ->
        state
    end
  end

  defp handle({:woken, kind, reference, operation, options, leader}, state) do
    if is_map_key(state.requests, reference) do
      hand_in(kind, reference, operation, options, leader, remove(reference, state))
    else
      state
    end
  end

  defp handle({:refused, reference, error}, state) do
    if is_map_key(state.requests, reference) do
      send(reference, {reference, {:refused, error}})
      remove(reference, state)
    else
      state
    end
  end

  defp handle({:DOWN, monitor, _, _, _reason}, %{monitor: monitor} = state) do
    Handles.release(Map.keys(state.given))
    exit(:shutdown)
  end

  defp handle(message, state) do
    send(state.caller, message)
    state
  end

  ## Requests

  defp arrived({{:open, chunks, operation}, references}),
    do: {:open, chunks, arrived({operation, references})}

  defp arrived({{:hold, object}, references}),
    do: {:hold, Wire.decode(object, references, nil)}

  defp arrived({operation, references}),
    do: operation |> Wire.decode(references, nil) |> Operation.arrived()

  # A stream has a process of its own, which reads it as any other does.
  defp hand_in(_kind, reference, {:open, chunks, operation}, options, leader, state) do
    Feed.start(self(), state.caller, reference, chunks, operation, options, leader)
    state
  end

  # Nor does the one who enters a manager return before that is left.
  defp hand_in(:hold, reference, {:hold, object}, options, leader, state) do
    Remote.Hold.start(state.caller, reference, object, options, leader)
    state
  end

  defp hand_in(kind, reference, operation, options, leader, state) do
    if leader != Process.group_leader(), do: Process.group_leader(self(), leader)

    case Home.lookup(options) do
      {:error, error} ->
        refuse(reference, error, state)

      {:asleep, pool} ->
        wake(kind, pool, reference, operation, options, leader, state)

      {:remote, {node, _options}} ->
        refuse(reference, Remote.unreachable(node, {:elsewhere, node()}), state)

      {engine, native, timeout} ->
        ours = make_ref()
        flags = Request.flags(options) + @cancel_on_drop
        request = request(kind, reference, ours, engine, operation, options)

        case Request.hand_in(engine, native, ours, flags, operation, timeout) do
          ticket when is_reference(ticket) ->
            # Who has said nothing of a timeout does not look at the clock.
            if timeout != :infinity and (options.timeout == nil or kind == :submit),
              do: engine.limit(ticket, timeout)

            add(%{request | ticket: ticket}, state)

          {answer} ->
            answered(ours, request, answer, add(request, state))

          refused ->
            refuse(reference, Request.refused(refused, options), state)
        end
    end
  end

  defp request(kind, reference, ours, engine, operation, options) do
    %{
      kind: kind,
      reference: reference,
      ours: ours,
      engine: engine,
      ticket: nil,
      listener: nil,
      span: if(Telemetry.enabled?(), do: Telemetry.begin(operation, options))
    }
  end

  defp add(request, state) do
    requests = Map.put(state.requests, request.reference, request)
    %{state | requests: requests, ours: Map.put(state.ours, request.ours, request)}
  end

  defp remove(reference, state) do
    {request, requests} = Map.pop(state.requests, reference)
    %{state | requests: requests, ours: Map.delete(state.ours, request && request.ours)}
  end

  defp refuse(reference, error, state) do
    send(reference, {reference, {:refused, error}})
    state
  end

  # Its start takes time: somebody else waits for it.
  defp wake(kind, pool, reference, operation, options, leader, state) do
    proxy = self()

    # Linked, so that it ends with this one.
    spawn_link(fn ->
      woken =
        Asleep.wake_for(pool, options, fn options ->
          send(proxy, {:woken, kind, reference, operation, options, leader})
          :ok
        end)

      with {:error, error} <- woken, do: send(proxy, {:refused, reference, error})
    end)

    add(request(kind, reference, make_ref(), nil, operation, options), state)
  end

  ## Answers

  defp answered(_ours, %{listener: listener} = request, {:location, location}, state)
       when listener != nil do
    tell(listener, location, remove(request.reference, state))
  end

  defp answered(_ours, request, answer, state) do
    if request.span, do: Telemetry.finish(request.span, Request.answer(answer))
    {answer, ids} = Wire.encode_answer(answer, node(state.caller))
    send(request.reference, {request.reference, {:answer, answer, ids != []}})
    give(ids, remove(request.reference, state))
  end

  defp give([], state), do: state
  defp give(ids, state), do: %{state | given: Map.merge(state.given, Map.from_keys(ids, []))}

  defp cancel(%{ticket: nil} = request, listener, state),
    do: tell(listener, :queued, remove(request.reference, state))

  defp cancel(%{engine: engine, ticket: ticket} = request, listener, state) do
    case engine.cancel(ticket, listener != nil) do
      :running when listener != nil ->
        # The place follows, or nothing.
        Process.send_after(self(), {:unlisten, request.reference}, @listen)
        add(%{request | listener: listener}, state)

      :running ->
        remove(request.reference, state)

      :queued ->
        tell(listener, :queued, remove(request.reference, state))

      :answered ->
        flush(request.ours)
        tell(listener, :none, remove(request.reference, state))
    end
  end

  # The answer is in the mailbox, or about to be.
  defp flush(ours) do
    receive do
      {^ours, _answer} -> :ok
    end
  end

  defp tell(nil, _location, state), do: state

  defp tell(listener, location, state) do
    send(listener, {listener, location})
    state
  end
end
