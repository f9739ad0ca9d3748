defmodule Python.FakeEngine do
  # An engine without a Python: its answers stand in a table. It shows what `Python.Engine` asks of an engine, and
  # that pools, requests and streams are the same for all.
  #
  # A pool is a process, which keeps the queue. A worker is no more than a number: what is in the table is answered
  # at once, but for `:never`, which holds its worker until the request is given up.

  @behaviour Python.Engine

  use GenServer

  @table %{
    {:math, :sqrt, [16]} => {:ok, 4.0},
    {:builtins, :abs, [-1]} => {:ok, 1},
    {:builtins, :range, [5]} => {:items, 0..4},
    {:itertools, :count, []} => {:items, 0..1_000_000_000},
    {:builtins, :int, ["x"]} =>
      {:error, "ValueError", "invalid literal for int() with base 10: 'x'"},
    {:time, :sleep, [5]} => :never,
    "1 + 1" => {:ok, 2},
    "pass" => :ok
  }

  @never {"fake.py", 1, "sleep"}

  ## The engine

  @impl Python.Engine
  def status, do: :ok

  @impl Python.Engine
  def prepare, do: :ok

  @impl Python.Engine
  def prepared?, do: true

  @impl Python.Engine
  def guard(_pid), do: make_ref()

  @impl Python.Engine
  def options(:pool) do
    [patience: %{type: {:integer, 1, 10}, default: 1, doc: "Nothing waits for it."}]
  end

  def options(:context), do: []

  @impl Python.Engine
  def shares_handles?, do: false

  @impl Python.Engine
  def start(_kind, options) do
    make_table()
    GenServer.start(__MODULE__, {self(), options})
  end

  @impl Python.Engine
  def open(pool), do: ask(pool, :open)

  @impl Python.Engine
  def stop(pool) do
    with :closed <- ask(pool, :stop), do: :ok
  end

  @impl Python.Engine
  def start_worker(pool, _kind, _id) do
    :ok = ask(pool, :worker)
    {:ok, nil}
  end

  # Its process is asked instead.
  @impl Python.Engine
  def context(_pid), do: nil

  @impl Python.Engine
  def stats(pool), do: ask(pool, :stats)

  @impl Python.Engine
  def workers(pool) do
    for {busy, calls} <- ask(pool, :workers),
        do: %{os_pid: nil, busy: busy, calls: calls, memory: nil}
  end

  @impl Python.Engine
  def count_workers(pool), do: {length(ask(pool, :workers)), true}

  @impl Python.Engine
  def stuck(_pool), do: []

  @impl Python.Engine
  def jammed?(_pool), do: false

  @impl Python.Engine
  def send_to_pool(_pool, _message), do: :ok

  @impl Python.Engine
  def submit(pool, reference, flags, operation, _leader, _timeout) do
    ticket = make_ref()

    request = %{
      ticket: ticket,
      caller: self(),
      reference: reference,
      operation: operation,
      init: Bitwise.band(flags, 32) != 0
    }

    :ets.insert(__MODULE__, {ticket, pool})
    ask(pool, {:submit, request})
  end

  @impl Python.Engine
  def submit_nested(_callbacks, pool, reference, {flags, timeout}, operation, leader),
    do: submit(pool, reference, flags, operation, leader, timeout)

  @impl Python.Engine
  def run(_pool, _flags, _operation, _leader), do: :busy

  @impl Python.Engine
  def cancel(ticket, listens) do
    with :closed <- ask_for(ticket, {:cancel, ticket, listens}), do: :answered
  end

  # The location comes with the cancelling.
  @impl Python.Engine
  def stop_listening(_ticket), do: false

  @impl Python.Engine
  def limit(ticket, timeout), do: later(ticket, {:limit, ticket, timeout}, timeout)

  @impl Python.Engine
  def expire(ticket, timeout), do: later(ticket, {:expire, ticket}, timeout)

  @impl Python.Engine
  def claim(ticket), do: :ets.insert_new(__MODULE__, {{:claimed, ticket}, true})

  # It watches all callers.
  @impl Python.Engine
  def watch(_ticket, _owner), do: :ok

  @impl Python.Engine
  def abandon(ticket) do
    with :closed <- ask_for(ticket, {:end, ticket, {:error, :cancelled}}), do: :ok
  end

  @impl Python.Engine
  def send_to_request(_ticket, _message), do: :ok

  @impl Python.Engine
  def stream_demand({pool, id}, reference, _callbacks), do: ask(pool, {:demand, id, reference})

  @impl Python.Engine
  def stream_flush(_stream), do: :empty

  @impl Python.Engine
  def stream_cancel(_stream), do: :answered

  @impl Python.Engine
  def stream_stop_listening(_stream), do: true

  @impl Python.Engine
  def stream_close({pool, id}, _reference, _callbacks) do
    ask(pool, {:close, id})
    true
  end

  # Nothing is called from here.
  @impl Python.Engine
  def callback_serve(_registered), do: :ok
  @impl Python.Engine
  def callback_register(_name, _function), do: true
  @impl Python.Engine
  def callback_unregister(_name), do: :ok
  @impl Python.Engine
  def callback_accept(_callback), do: :ok
  @impl Python.Engine
  def callback_answered?(_callback), do: true
  @impl Python.Engine
  def callback_answer(_callback, _answer), do: false

  defp ask(pool, request) do
    GenServer.call(pool, request)
  catch
    :exit, {_gone, {GenServer, :call, _}} -> :closed
  end

  defp ask_for(ticket, request) do
    [{^ticket, pool}] = :ets.lookup(__MODULE__, ticket)
    ask(pool, request)
  end

  defp later(ticket, message, timeout) do
    [{^ticket, pool}] = :ets.lookup(__MODULE__, ticket)
    Process.send_after(pool, message, timeout)
    :ok
  end

  # The pools of tickets. It outlives the pool that is the first.
  defp make_table do
    if :ets.whereis(__MODULE__) == :undefined do
      test = self()

      spawn(fn ->
        :ets.new(__MODULE__, [:named_table, :public])
        send(test, {__MODULE__, :made})
        Process.sleep(:infinity)
      end)

      receive do
        {__MODULE__, :made} -> :ok
      end
    end
  end

  ## The process of a pool

  @impl GenServer
  def init({owner, options}) do
    Process.monitor(owner)

    {:ok,
     %{
       owner: owner,
       max_queue: options.max_queue,
       held: options.init != nil,
       # How many calls each has begun.
       free: [],
       queue: [],
       running: [],
       streams: %{},
       counts: %{done: 0, failed: 0, timed_out: 0}
     }}
  end

  @impl GenServer
  def handle_call(:open, _from, state), do: {:reply, :ok, next(%{state | held: false})}

  def handle_call(:worker, _from, state),
    do: {:reply, :ok, next(%{state | free: [0 | state.free]})}

  def handle_call(:workers, _from, state) do
    busy = for request <- state.running, do: {true, request.calls}
    {:reply, busy ++ for(calls <- state.free, do: {false, calls}), state}
  end

  def handle_call(:stats, _from, %{queue: queue, running: running} = state) do
    now = %{busy: length(running), queued: length(queue), stuck: 0}
    {:reply, Map.merge(state.counts, now), state}
  end

  def handle_call(:stop, _from, state) do
    for request <- state.queue, do: tell(request, {:error, :closed})
    for request <- state.running, do: tell(request, {:error, :stopped})
    {:stop, :normal, :ok, state}
  end

  def handle_call({:submit, request}, _from, state) do
    waiting = length(state.queue)

    if waiting >= state.max_queue and (state.free == [] or state.held) do
      {:reply, :overloaded, state}
    else
      Process.monitor(request.caller)
      first = if request.init, do: [request], else: []
      queue = first ++ state.queue ++ ([request] -- first)
      {:reply, request.ticket, next(%{state | queue: queue})}
    end
  end

  def handle_call({:cancel, ticket, listens}, _from, state) do
    {progress, request, state} = take(ticket, state)

    if listens and progress == :running,
      do: send(request.caller, {request.reference, {:location, @never}})

    late = if listens and progress != :answered, do: :timed_out
    {:reply, progress, next(count(state, late))}
  end

  def handle_call({:end, ticket, answer}, _from, state) do
    {_progress, request, state} = take(ticket, state)
    if request, do: tell(request, answer)
    {:reply, :ok, next(state)}
  end

  def handle_call({:demand, id, reference}, {caller, _}, state) do
    case state.streams do
      %{^id => {items, size}} ->
        {chunk, rest} = {Enum.take(items, size), Stream.drop(items, size)}
        more = if length(chunk) == size, do: :more, else: :done
        send(caller, {reference, {:ok, {more, chunk}}})
        {:reply, :coming, %{state | streams: %{state.streams | id => {rest, size}}}}

      _ ->
        {:reply, :ended, state}
    end
  end

  def handle_call({:close, id}, _from, state),
    do: {:reply, :ok, %{state | streams: Map.delete(state.streams, id)}}

  @impl GenServer
  def handle_info({:limit, ticket, timeout}, state) do
    {progress, request, state} = take(ticket, state)
    if request, do: tell(request, {:error, {:timed_out, timeout, progress == :running}})
    {:noreply, next(if(request, do: count(state, :timed_out), else: state))}
  end

  def handle_info({:expire, ticket}, state) do
    {_progress, _request, state} = take(ticket, state)
    {:noreply, next(state)}
  end

  def handle_info({:DOWN, _, _, owner, _}, %{owner: owner} = state), do: {:stop, :normal, state}

  def handle_info({:DOWN, _, _, caller, _}, state) do
    {gone, queue} = Enum.split_with(state.queue, &(&1.caller == caller))
    {ended, running} = Enum.split_with(state.running, &(&1.caller == caller))
    for request <- gone ++ ended, do: tell(request, {:error, :cancelled})
    free = for(request <- ended, do: request.calls) ++ state.free
    {:noreply, next(%{state | queue: queue, running: running, free: free})}
  end

  defp next(%{free: []} = state), do: state
  defp next(%{queue: []} = state), do: state
  defp next(%{held: true, queue: [%{init: false} | _]} = state), do: state

  defp next(%{queue: [request | queue], free: [calls | others]} = state) do
    request = Map.put(request, :calls, calls + 1)
    state = %{state | queue: queue, free: [calls + 1 | others]}

    case answer(request.operation) do
      :never ->
        next(%{state | running: [request | state.running], free: others})

      {:stream, items, size} ->
        id = make_ref()
        tell(request, {:ok, {self(), id}})
        next(%{state | streams: Map.put(state.streams, id, {items, size})})

      {:error, _reason} = error ->
        tell(request, error)
        next(count(state, :failed))

      answer ->
        tell(request, answer)
        next(count(state, :done))
    end
  end

  defp answer({:stream, max_chunk, _max_wait, _prefetch, source}) do
    with {:ok, {:items, items}} <- answer(source), do: {:stream, items, max_chunk}
  end

  defp answer({:map, target, name, list, kwargs}) do
    answers = for args <- list, do: answer({:call, target, name, args, kwargs})

    case Enum.find_index(answers, &match?({:error, _}, &1)) do
      nil -> {:ok, for({:ok, value} <- answers, do: value)}
      index -> {:error, {:error, index, elem(Enum.at(answers, index), 1)}}
    end
  end

  defp answer(operation) do
    case Map.get(@table, key(operation)) do
      nil -> exception("KeyError", inspect(key(operation)))
      {:error, type, message} -> exception(type, message)
      {:items, items} -> {:ok, {:items, items}}
      answer -> answer
    end
  end

  defp key({:call, target, name, args, _kwargs}), do: {target, name, args}
  defp key({_kind, code, _vars, _place}), do: code
  defp key({:exec, code, _place}), do: code
  defp key(other), do: other

  # As `Python.Error.from_native/1` takes them.
  defp exception(type, message) do
    data = {type, "builtins", true, message, [], [], nil, nil, nil}
    {:error, {:exception, [{data, nil}]}}
  end

  defp take(ticket, state) do
    cond do
      request = find(state.queue, ticket) ->
        {:queued, request, %{state | queue: state.queue -- [request]}}

      request = find(state.running, ticket) ->
        running = state.running -- [request]
        {:running, request, %{state | running: running, free: [request.calls | state.free]}}

      true ->
        {:answered, nil, state}
    end
  end

  defp find(requests, ticket), do: Enum.find(requests, &(&1.ticket == ticket))
  defp tell(request, answer), do: send(request.caller, {request.reference, answer})
  defp count(state, nil), do: state
  defp count(state, what), do: %{state | counts: Map.update!(state.counts, what, &(&1 + 1))}
end
