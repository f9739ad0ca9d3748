defmodule Python.Remote.Proxy do
  @moduledoc false

  # Stands for a process of another node: hands its requests in, and its answers back. It waits for none of them, and passes
  # on what Python sends it, which is meant for the process that it stands for.
  #
  # It holds the tickets of its requests. So when it ends, with that process or with the connection to it, they are given
  # up, and their workers are free.

  alias Python.{Engine, Home, Operation, Options, Remote, Request, StoppedError, Telemetry}
  alias Python.TimeoutError
  alias Python.Pool.Asleep
  alias Python.Remote.{Feed, Handles, Start, Wire}

  # Flag 4: a request ends when its ticket is gone.
  @cancel_on_drop 4

  # After so many ms without work, garbage is collected.
  @idle 1_000

  # Where a proxy has the node of its caller.
  @caller {__MODULE__, :caller}

  # How long to wait for the place where Python was, in ms. Nobody waits for longer.
  @listen 50

  ## The other node

  @doc "Sends a message of this protocol. What else comes to a proxy is meant for the process that it stands for."
  @spec tell(pid, term) :: :ok
  def tell(proxy, message) do
    send(proxy, {__MODULE__, message})
    :ok
  end

  @doc "The same, without waiting for a connection that has much to carry."
  @spec tell_soon(pid, term) :: :ok
  def tell_soon(proxy, message), do: send_soon(proxy, {__MODULE__, message})

  @doc "Sends a message, without waiting for a connection that has much to carry."
  @spec send_soon(pid, term) :: :ok
  def send_soon(pid, message) do
    if :erlang.send(pid, message, [:nosuspend]) == :nosuspend,
      do: spawn(fn -> send(pid, message) end)

    :ok
  end

  @doc "Sends a request, within so many ms: a connection that has much to carry holds up who sends more."
  @spec ask(pid, term, timeout) :: :ok | :timeout
  def ask(proxy, message, timeout) do
    message = {__MODULE__, message}

    if :erlang.send(proxy, message, [:nosuspend]) == :nosuspend,
      do: send_within(proxy, message, timeout),
      else: :ok
  end

  defp send_within(proxy, message, timeout) do
    {sender, monitor} = spawn_monitor(fn -> send(proxy, message) end)

    receive do
      {:DOWN, ^monitor, _, _, _} -> :ok
    after
      timeout ->
        Process.demonitor(monitor, [:flush])
        Process.exit(sender, :kill)
        :timeout
    end
  end

  ## The process

  # `requests`: by the reference that the caller waits for, and by ours. `feeds`: of streams, by the reference that their
  # opening was asked with. `keeper`: the process that has in `given` which handles the caller may not have taken yet, by
  # what they were sent in; those of a stream in the order of its chunks.
  defstruct [:caller, :monitor, :keeper, requests: %{}, ours: %{}, feeds: %{}, given: %{}]

  @doc false
  # A node with another version is to find it by this name and with as many arguments.
  def init(caller, hello, version) do
    cond do
      version != Remote.version() ->
        exit({:shutdown, {:version, Remote.version(), version}})

      Handles.running?() ->
        monitor = Process.monitor(caller)
        Process.put(@caller, node(caller))
        Handles.keep_for(self())
        send(hello, {hello, self()})
        Start.await_begin(monitor)
        loop(%__MODULE__{caller: caller, monitor: monitor, keeper: self()})

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

  @doc "Does for a process of another node what its proxy does, in the body of a `with`, until that ends; and what is left then."
  @spec serve(pid, pid) :: {term, left :: struct}
  def serve(caller, proxy),
    do: serve_on(%__MODULE__{caller: caller, monitor: Process.monitor(caller), keeper: proxy})

  @doc "Goes on with what is left, until all is answered."
  @spec serve_out(struct) :: :ok
  def serve_out(state) do
    receive do
      message -> serve_out(handle(message, state))
    after
      if(state.requests == %{}, do: 0, else: :infinity) -> :ok
    end
  end

  defp serve_on(state) do
    receive do
      {__MODULE__, {:ended, result}} ->
        {result, state}

      # For Python.Remote.Hold, whose process this is.
      {__MODULE__, {:final, final}} ->
        Process.put(:final, final)
        serve_on(state)

      message ->
        serve_on(handle(message, state))
    end
  end

  defp handle({__MODULE__, message}, state), do: handle_ours(message, state)

  # An answer, or the place where Python was when it was given up.
  defp handle({ours, answer}, %{ours: all} = state) when is_map_key(all, ours),
    do: answered(Map.fetch!(all, ours), answer, state)

  defp handle({:DOWN, monitor, _, _, _reason}, %{monitor: monitor} = state) do
    for {_, lists} <- state.given, ids <- lists, do: Handles.release(ids)
    release_given()
    exit(:shutdown)
  end

  defp handle(message, state) do
    send(state.caller, message)
    state
  end

  # What it has not heard of yet.
  defp release_given do
    receive do
      {__MODULE__, {:given, _of, ids}} ->
        Handles.release(ids)
        release_given()
    after
      0 -> :ok
    end
  end

  defp handle_ours({:ask, kind, reference, sendable, options, leader}, state) do
    refusing(reference, state, fn ->
      asked = %{
        kind: kind,
        reference: reference,
        operation: arrived(sendable),
        options: options,
        leader: leader,
        # Of the telemetry, once it has begun.
        span: nil
      }

      if Handles.running?(),
        do: hand_in(asked, state),
        else: refuse(reference, Remote.unreachable(node(), :not_started), state)
    end)
  end

  defp handle_ours({:cancel, reference, listener}, state) do
    case state do
      %{requests: %{^reference => request}} ->
        cancel(request, listener, state)

      %{feeds: %{^reference => feed}} ->
        Feed.close(feed)
        tell_place(listener, :none, %{state | feeds: Map.delete(state.feeds, reference)})

      # Its answer has crossed this.
      _ ->
        untaken(reference, tell_place(listener, :none, state))
    end
  end

  defp handle_ours({:abandon, reference}, state) do
    with %{^reference => %{engine: engine, ticket: ticket}} when ticket != nil <- state.requests,
         do: engine.abandon(ticket)

    state
  end

  defp handle_ours({:send, reference, {message, references}}, state) do
    with %{^reference => %{engine: engine, ticket: ticket}} when ticket != nil <- state.requests,
         do: engine.send_to_request(ticket, Wire.decode(message, references))

    state
  rescue
    # With something in it that is not kept any more: nobody waits to hear of it.
    StoppedError -> state
  end

  defp handle_ours({:closed, reference}, state),
    do: %{state | feeds: Map.delete(state.feeds, reference)}

  defp handle_ours({:given, of, ids}, state), do: note_given(of, ids, state)
  defp handle_ours({:untaken, of}, state), do: untaken(of, state)

  defp handle_ours({:taken, of}, state) do
    case state.given do
      %{^of => [ids | later]} ->
        Handles.taken(ids)
        %{state | given: note_later(state.given, of, later)}

      _ ->
        state
    end
  end

  defp handle_ours({:unlisten, reference}, state) do
    case state.requests do
      %{^reference => %{engine: engine, ticket: ticket, ours: ours} = request} ->
        unless engine.stop_listening(ticket), do: flush(ours)
        finish(request, {:error, TimeoutError.new(request.timeout, :none)})
        remove(reference, state)

      _ ->
        state
    end
  end

  defp handle_ours({:woken, %{reference: reference} = asked}, state) do
    case state.requests do
      %{^reference => %{span: span}} ->
        state = remove(reference, state)
        refusing(reference, state, fn -> hand_in(%{asked | span: span}, state) end)

      _ ->
        state
    end
  end

  defp handle_ours({:refused, reference, answer}, state) do
    case state.requests do
      %{^reference => request} ->
        finish(request, {:error, elem(answer, 1)})
        send(reference, {reference, answer})
        remove(reference, state)

      _ ->
        state
    end
  end

  # What is raised for a wrong argument is the caller's to hear, as on its own node.
  defp refusing(reference, state, hand_in) do
    hand_in.()
  rescue
    error in StoppedError ->
      refuse(reference, error, state)

    error ->
      send(reference, {reference, {:raised, error}})
      state
  end

  ## Requests

  defp arrived({{:open, chunks, operation}, references}),
    do: {:open, chunks, arrived({operation, references})}

  defp arrived({{:hold, object}, references}),
    do: {:hold, Wire.decode(object, references)}

  defp arrived({operation, references}),
    do: operation |> Wire.decode(references) |> Operation.arrived()

  # A stream has a process of its own, which reads it as any other does.
  defp hand_in(%{operation: {:open, chunks, operation}, reference: reference} = asked, state) do
    opened = %{asked | operation: operation}
    feed = Feed.start(state.keeper, state.caller, chunks, opened)
    %{state | feeds: Map.put(state.feeds, reference, feed)}
  end

  # Nor does the one who enters a manager return before that is left.
  defp hand_in(%{operation: {:hold, object}} = asked, state) do
    Remote.Hold.start(state.caller, state.keeper, object, asked)
    state
  end

  defp hand_in(%{reference: reference, options: options} = asked, state) do
    if asked.leader != Process.group_leader(),
      do: Process.group_leader(self(), asked.leader)

    case starting?(options) || Home.lookup(options) do
      true ->
        later(asked, state, fn go_on ->
          with {:error, error} <- Home.lookup(options),
               do: {:error, error},
               else: (_ -> go_on.(options))
        end)

      {:error, error} ->
        refuse(reference, error, state)

      {:asleep, pool} ->
        later(asked, state, &Asleep.wake_for(pool, options, &1))

      {:remote, {node, _options}} ->
        refuse(reference, Remote.unreachable(node, {:elsewhere, node()}), state)

      {engine, native, timeout} ->
        submit(asked, engine, native, timeout, state)
    end
  end

  defp submit(%{reference: reference, options: options} = asked, engine, native, timeout, state) do
    request = request(asked, engine)
    flags = Request.flags(options) + @cancel_on_drop

    case Request.hand_in(engine, native, request.ours, flags, asked.operation, timeout) do
      ticket when is_reference(ticket) ->
        # Who has said nothing of a timeout does not look at the clock.
        if timeout != :infinity and (options.timeout == nil or asked.kind == :submit),
          do: engine.limit(ticket, timeout)

        add(%{request | ticket: ticket}, state)

      {answer} ->
        answered(request, answer, add(request, state))

      refused ->
        error = Request.refused(refused, options)
        finish(request, {:error, error})
        refuse(reference, error, state)
    end
  end

  # A context that has no queue yet is waited for.
  defp starting?(%{context: pid}) when is_pid(pid),
    do: Engine.any_status() == :ok and Engine.context(pid) == nil and Process.alive?(pid)

  defp starting?(%Options{}), do: false

  # `engine`: nil as long as it is not handed in.
  defp request(%{options: options} = asked, engine) do
    %{
      reference: asked.reference,
      ours: make_ref(),
      engine: engine,
      ticket: nil,
      listener: nil,
      timeout: options.timeout,
      span: asked.span || if(Telemetry.enabled?(), do: Telemetry.begin(asked.operation, options))
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

  # What takes time is waited for by somebody else, who says when to go on.
  defp later(%{reference: reference} = asked, state, wait) do
    proxy = self()

    go_on = fn options ->
      tell(proxy, {:woken, %{asked | options: options}})
      :ok
    end

    # Linked, so that it ends with this one.
    spawn_link(fn ->
      try do
        with {:error, error} <- wait.(go_on),
             do: tell(proxy, {:refused, reference, {:refused, error}})
      rescue
        error -> tell(proxy, {:refused, reference, {:raised, error}})
      end
    end)

    add(request(asked, nil), state)
  end

  ## Answers

  defp answered(%{listener: listener} = request, {:location, location}, state)
       when listener != nil do
    finish(request, {:error, TimeoutError.new(request.timeout, location)})
    tell_place(listener, location, remove(request.reference, state))
  end

  defp answered(%{reference: reference} = request, answer, state) do
    finish(request, Request.answer(answer))
    {answer, ids} = Wire.encode_answer(answer, node(state.caller))
    {keeper, state} = give(reference, ids, state)
    send(reference, {reference, {:answer, answer, keeper}})
    remove(reference, state)
  end

  # At once where this is the keeper: the word that it was dropped may be in the mailbox already.
  defp give(of, [_ | _] = ids, %{keeper: keeper} = state) when keeper == self(),
    do: {keeper, note_given(of, ids, state)}

  defp give(of, ids, state), do: {given(state.keeper, of, ids), state}

  defp note_given(of, ids, state),
    do: %{state | given: Map.update(state.given, of, [ids], &(&1 ++ [ids]))}

  defp note_later(given, of, []), do: Map.delete(given, of)
  defp note_later(given, of, later), do: %{given | of => later}

  @doc """
  Tells the keeper of what is about to be given to the caller, so that it has it before the caller can have taken it. The keeper,
  for the caller to know; nil if there is nothing to keep. `of`: what it is sent in.
  """
  @spec given(pid, reference, [reference]) :: pid | nil
  def given(_keeper, _of, []), do: nil

  def given(keeper, of, ids) do
    tell(keeper, {:given, of, ids})
    keeper
  end

  # The caller has dropped what they were in.
  defp untaken(of, %{keeper: keeper} = state) when keeper != self() do
    tell(keeper, {:untaken, of})
    state
  end

  defp untaken(of, state) do
    {lists, given} = Map.pop(state.given, of, [])
    Enum.each(lists, &Handles.release/1)
    %{state | given: given}
  end

  defp finish(%{span: nil}, _result), do: :ok
  defp finish(%{span: span}, result), do: Telemetry.finish(span, result)

  defp cancel(%{ticket: nil} = request, listener, state),
    do: given_up(request, listener, :queued, state)

  defp cancel(%{engine: engine, ticket: ticket} = request, listener, state) do
    case engine.cancel(ticket, listener != nil) do
      :running when listener != nil ->
        # The place follows, or nothing.
        Process.send_after(self(), {__MODULE__, {:unlisten, request.reference}}, @listen)
        add(%{request | listener: listener}, state)

      :running ->
        given_up(request, nil, :none, state)

      :queued ->
        given_up(request, listener, :queued, state)

      :answered ->
        flush(request.ours)
        given_up(request, listener, :none, state)
    end
  end

  # `listener`: of who has waited for too long.
  defp given_up(request, listener, location, state) do
    error =
      if listener,
        do: TimeoutError.new(request.timeout, location),
        else: StoppedError.new(:cancelled)

    finish(request, {:error, error})
    tell_place(listener, location, remove(request.reference, state))
  end

  # The answer is in the mailbox, or about to be.
  defp flush(ours) do
    receive do
      {^ours, _answer} -> :ok
    end
  end

  defp tell_place(nil, _location, state), do: state

  defp tell_place(listener, location, state) do
    send(listener, {listener, location})
    state
  end
end
