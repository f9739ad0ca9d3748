defmodule Python.Remote.Handles do
  @moduledoc false

  # What other nodes hold of this one, and what this one holds of others: handles and functions.
  #
  # Whatever leaves gets an id of its own, and is kept from that moment on, until the other node says that nobody has it there
  # any more, or its connection ends. There, something to be held (`guard_new`) stands for it: when the garbage collector has
  # found that nobody holds it, this process is told.

  use GenServer

  alias Python.Engine.Native
  alias Python.NotStartedError
  alias Python.Remote.Reference

  # What others hold: `{id, node, term, tracker, keeper}`. The tracker, if there is one, is a process that ends with it. The
  # keeper, if there is one, has given it away, and does not know yet whether it was taken.
  @held Python.Remote.Handles.Held
  # What we hold: `{number, node, id}`.
  @ours Python.Remote.Handles.Ours

  # How long something is kept after the last one has let go of it, in ms: it may be on its way to a third node.
  @grace 2_000

  # A process that does not know yet that a node is gone may keep something for it. So it is looked again after so many ms.
  @again 1_000

  def start_link(_), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @spec running?() :: boolean
  def running?, do: Process.whereis(__MODULE__) != nil

  ## What others hold

  @doc "Keeps a term for another node. The id that it has from now on."
  @spec keep(term, node, pid | nil) :: reference
  def keep(term, node, tracker \\ nil) do
    id = make_ref()
    keeper = Process.get({__MODULE__, :keeper})
    :ets.insert(@held, {id, node, term, tracker, keeper})
    watch(keeper, id)
    id
  end

  @doc """
  What this process keeps from here on is given away for this keeper: a process that ends before it was taken, other than by
  itself, as it was killed, leaves nothing.
  """
  @spec keep_for(pid) :: term
  def keep_for(keeper), do: Process.put({__MODULE__, :keeper}, keeper)

  defp watch(nil, _id), do: :ok

  # One watch is enough, unless the keeper has ended since.
  defp watch(keeper, id) do
    cond do
      Process.put({__MODULE__, :watched}, keeper) != keeper ->
        GenServer.cast(__MODULE__, {:watch, keeper})

      keeper != self() and not Process.alive?(keeper) ->
        release([id])

      true ->
        :ok
    end
  end

  @doc "What was given away is held by those who have got it."
  @spec taken([reference]) :: :ok
  def taken(ids), do: Enum.each(ids, &:ets.update_element(@held, &1, {5, nil}))

  @doc """
  Keeps a handle, or what a stream is of, for another node: what stands for it there, and a process that ends when that is held
  no more.
  """
  @spec track(Python.Object.t() | tuple, node) :: {Reference.t(), pid}
  def track(%Python.Object{home: home} = object, node) do
    {id, tracker} = track_term(object, node)
    {%Reference{kind: :object, node: node(), id: id, home: home}, tracker}
  end

  def track(source, node) do
    {id, tracker} = track_term(source, node)
    {%Reference{kind: :source, node: node(), id: id}, tracker}
  end

  defp track_term(term, node) do
    tracker = spawn(fn -> receive do: (:released -> :ok) end)
    {keep(term, node, tracker), tracker}
  end

  @doc "What is kept by this id, and for which node."
  @spec fetch(reference) :: {:ok, term, node} | :error
  def fetch(id) do
    case :ets.lookup(@held, id) do
      [{_, node, term, _tracker, _keeper}] -> {:ok, term, node}
      [] -> :error
    end
  end

  @doc "Lets go of what was kept for nobody."
  @spec release([reference]) :: :ok
  def release([]), do: :ok
  def release(ids), do: GenServer.cast(__MODULE__, {:release, ids})

  @doc "How many things other nodes hold of this one, and this one of others."
  @spec count() :: {non_neg_integer, non_neg_integer}
  def count, do: {:ets.info(@held, :size), :ets.info(@ours, :size)}

  ## What we hold

  @doc "Something to be held for what another node keeps for this one."
  @spec hold(Reference.t()) :: reference
  def hold(%Reference{node: node, id: id}) do
    number = System.unique_integer([:positive])

    case Native.any() do
      {:ok, native} ->
        :ets.insert(@ours, {number, node, id})
        native.guard_new(Process.whereis(__MODULE__), number)

      :error ->
        cause = "this node needs one to hold what another node keeps for it"
        raise NotStartedError.new(:not_loaded, %{cause: cause})
    end
  end

  ## The process

  @impl true
  def init(nil) do
    :ets.new(@held, [:named_table, :public, write_concurrency: true])
    :ets.new(@ours, [:named_table, :public, write_concurrency: true])
    :net_kernel.monitor_nodes(true, node_type: :all)
    {:ok, nil}
  end

  @impl true
  def handle_cast({:release, ids}, state) when is_list(ids) do
    Process.send_after(self(), {:forget, ids}, @grace)
    {:noreply, state}
  end

  def handle_cast({:watch, keeper}, state) do
    Process.monitor(keeper)
    {:noreply, state}
  end

  # With this process, all pools would be started anew.
  def handle_cast(_message, state), do: {:noreply, state}

  @impl true
  def handle_info({:dropped, number}, state) do
    [number]
    |> dropped()
    |> Enum.flat_map(&:ets.take(@ours, &1))
    |> Enum.group_by(fn {_, node, _} -> node end, fn {_, _, id} -> id end)
    |> Enum.each(fn {node, ids} -> release_there(node, ids) end)

    {:noreply, state}
  end

  def handle_info({:forget, ids}, state) do
    for id <- ids, {_, _, _, tracker, _keeper} <- :ets.take(@held, id), do: released(tracker)
    {:noreply, state}
  end

  # It has let go of what was not taken.
  def handle_info({:DOWN, _, :process, _keeper, reason}, state)
      when reason in [:normal, :shutdown],
      do: {:noreply, state}

  def handle_info({:DOWN, _, :process, keeper, _reason}, state) do
    release(:ets.select(@held, [{{:"$1", :_, :_, :_, keeper}, [], [:"$1"]}]))
    {:noreply, state}
  end

  def handle_info({:nodedown, node, _}, state) do
    gone(node)
    Process.send_after(self(), {:gone, node}, @again)
    {:noreply, state}
  end

  # It may be back.
  def handle_info({:gone, node}, state) do
    unless node in Node.list(:connected), do: gone(node)
    {:noreply, state}
  end

  def handle_info(_message, state), do: {:noreply, state}

  # A connection that has much to carry holds up who sends, and one that is gone is not made again for this.
  defp release_there(node, ids) do
    to = {__MODULE__, node}
    message = {:"$gen_cast", {:release, ids}}

    if :erlang.send(to, message, [:nosuspend, :noconnect]) == :nosuspend,
      do: spawn(fn -> :erlang.send(to, message, [:noconnect]) end)
  end

  defp dropped(numbers) do
    receive do
      {:dropped, number} -> dropped([number | numbers])
    after
      0 -> numbers
    end
  end

  defp released(nil), do: :ok
  defp released(tracker), do: send(tracker, :released)

  defp gone(node) do
    for tracker <- :ets.select(@held, [{{:_, node, :_, :"$1", :_}, [is_pid: :"$1"], [:"$1"]}]),
        do: released(tracker)

    :ets.match_delete(@held, {:_, node, :_, :_, :_})
    :ets.match_delete(@ours, {:_, node, :_})
  end
end
