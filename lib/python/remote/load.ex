defmodule Python.Remote.Load do
  @moduledoc false

  # Which nodes have a pool of a name, and which of them is best asked. The processes of pools are members of groups of
  # `:pg`; each node tells the others now and then how much its pools have to do, so that nobody is asked for a call.

  use GenServer

  alias Python.Pool
  alias Python.Pool.Asleep

  @scope Python.Remote
  # What other nodes have said: `{{name, node}, load}`.
  @table __MODULE__

  # The load of a pool that is asleep, or of which nothing is known yet.
  @asleep 0.5

  # That of a pool none of whose processes has started: others come first.
  @not_started 1_000_000

  # How often others are told of what has changed, in ms.
  @every 200

  def start_link(_), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc "The groups, which outlive this process."
  @spec start_groups() :: GenServer.on_start()
  def start_groups, do: :pg.start_link(@scope)

  @doc "A process, the calling one, is the pool of this name."
  @spec join(atom, pid) :: :ok
  def join(name, pid \\ self()) do
    # Without the application there is nobody to be found.
    if Process.whereis(@scope) && pid not in :pg.get_local_members(@scope, name),
      do: :pg.join(@scope, name, pid)

    :ok
  end

  @doc "The calling process, which is the pool of this name, cannot run anything."
  @spec leave(atom) :: :ok
  def leave(name) do
    if Process.whereis(@scope), do: :pg.leave(@scope, name, self())
    :ok
  end

  @doc "The nodes that have such a pool, this one first."
  @spec whereabouts(atom) :: [node]
  def whereabouts(name) do
    nodes = for pid <- members(name), uniq: true, do: node(pid)
    {here, others} = Enum.split_with(nodes, &(&1 == node()))
    here ++ Enum.sort(others)
  end

  @doc "A node that has such a pool with little to do; this one, as long as a worker of it is idle. Nil if there is none."
  @spec nearest(atom) :: node | nil
  def nearest(name) do
    case whereabouts(name) do
      [] ->
        nil

      [only] ->
        only

      nodes ->
        loads = for node <- nodes, do: {load(name, node), node}
        {least, _} = Enum.min(loads)

        # Of those that are as idle any, so that not all callers take the same one; the next one first.
        if List.keyfind(loads, node(), 1, {:none, nil}) |> elem(0) == least,
          do: node(),
          else: Enum.random(for {^least, node} <- loads, do: node)
    end
  end

  defp members(name) do
    :pg.get_members(@scope, name)
  rescue
    # The application does not run.
    ArgumentError -> []
  end

  # Requests for each worker, those that run and those that wait: 0 if a worker is idle. A pool that is asleep is woken when
  # there is none.
  defp load(name, node) when node == node(), do: of_pool(name)

  defp load(name, node) do
    case :ets.lookup(@table, {name, node}) do
      [{_, load}] -> load
      # It has not told yet.
      [] -> @asleep
    end
  rescue
    ArgumentError -> @asleep
  end

  defp of_pool(name) do
    case Pool.lookup(name) do
      {engine, native, _timeout} ->
        %{busy: busy, queued: queued} = engine.stats(native)
        {workers, started?} = engine.count_workers(native)
        if started?, do: div(busy + queued, max(workers, 1)), else: @not_started

      nil ->
        if Asleep.asleep?(name), do: @asleep, else: 0
    end
  end

  ## The process

  @impl true
  def init(nil) do
    :ets.new(@table, [:named_table, :protected, read_concurrency: true])
    :net_kernel.monitor_nodes(true, node_type: :all)
    Process.send_after(self(), :tell, @every)
    join_again()

    for node <- Node.list(),
        do: :erlang.send({__MODULE__, node}, :tell_all, [:nosuspend, :noconnect])

    {:ok, %{told: %{}}}
  end

  # Pools in other supervision trees have outlived the groups.
  defp join_again, do: for(name <- Pool.names(), pid = Process.whereis(name), do: join(name, pid))

  @impl true
  def handle_info(:tell, state) do
    Process.send_after(self(), :tell, @every)
    {:noreply, tell(state)}
  end

  def handle_info({:load, node, loads}, state) when is_list(loads) do
    :ets.insert(@table, for({name, load} <- loads, do: {{name, node}, load}))
    {:noreply, state}
  end

  def handle_info({:nodeup, _node, _}, state), do: {:noreply, %{state | told: %{}}}
  def handle_info(:tell_all, state), do: {:noreply, %{state | told: %{}}}

  def handle_info({:nodedown, node, _}, state) do
    :ets.match_delete(@table, {{:_, node}, :_})
    {:noreply, state}
  end

  def handle_info(_message, state), do: {:noreply, state}

  @impl true
  def handle_cast(_message, state), do: {:noreply, state}

  # What has changed. Only nodes that run this are told.
  defp tell(state) do
    with [_ | _] = others <- Node.list() do
      loads =
        for name <- :pg.which_groups(@scope), mine?(name), into: %{}, do: {name, of_pool(name)}

      changed = for {name, load} <- loads, state.told[name] != load, do: {name, load}

      # Whose connection has much to carry is told next time, with all the others.
      told =
        changed == [] or
          Enum.all?(others, fn node ->
            to = {__MODULE__, node}
            :erlang.send(to, {:load, node(), changed}, [:nosuspend, :noconnect]) != :nosuspend
          end)

      if told, do: %{state | told: loads}, else: state
    else
      [] -> state
    end
  end

  defp mine?(name), do: :pg.get_local_members(@scope, name) != []
end
