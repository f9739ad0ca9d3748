defmodule Python.Engine.Process.Spares do
  @moduledoc false

  # Keeps workers of a pool that run nothing yet, so that one is there when another one ends: as many as the option
  # `:spares` says, and one more for each worker that will retire soon. It sees no request.

  use GenServer

  alias Python.Engine.Process.Worker

  # Not in the log: the environment may have secrets.
  @derive {Inspect, except: [:command]}

  # `spares`: pids of processes that look after one each, and whether it is ready. `wearing`: monitors of those whose
  # worker will retire; `:asks` for one that stays until there is another one, `:goes` for one that was told to go or
  # goes by itself.
  defstruct [:owner, :pool, :command, count: 0, open: false, next_id: 1, spares: [], wearing: %{}]

  # Ids that the pool's process gives to no worker.
  @first_id 0x1_0000_0000

  @doc "Starts it, linked to the pool's process."
  @spec start_link(term, Worker.command(), non_neg_integer) :: {:ok, pid}
  def start_link(pool, command, count) do
    # Linked by itself: a server whose parent ends says so in the log.
    {:ok, _pid} = GenServer.start(__MODULE__, {self(), pool, command, count})
  end

  @doc "From now on there are to be some: the workers of the pool come first."
  @spec open(pid) :: :ok
  def open(spares), do: GenServer.cast(spares, :open)

  @doc "Has a spare worker take requests. Its process is linked to the caller, the pool's process. Nil if there is none."
  @spec enter(pid) :: pid | nil
  def enter(spares) do
    with pid when is_pid(pid) <- GenServer.call(spares, :take, :infinity) do
      Process.link(pid)
      GenServer.cast(spares, {:taken, pid})
      send(pid, {:spare, :enter})
      pid
    end
  end

  @doc """
  The worker of the calling process will retire. `:goes`: by itself; `:asks`: when it gets `{:spare, :retire}`, for
  which there must be another one.
  """
  @spec wearing(pid, :goes | :asks) :: :ok
  def wearing(spares, how), do: GenServer.cast(spares, {:wearing, self(), how})

  @doc "The worker of the calling process takes no requests any more."
  @spec leaving(pid) :: :ok
  def leaving(spares), do: GenServer.cast(spares, {:leaving, self()})

  @doc "The worker of the calling process is ready."
  @spec ready(pid) :: :ok
  def ready(spares), do: GenServer.cast(spares, {:ready, self()})

  @impl true
  def init({owner, pool, command, count}) do
    Process.flag(:trap_exit, true)
    Process.link(owner)
    command = %{command | spares: self()}
    state = %__MODULE__{owner: owner, pool: pool, command: command, count: count}
    {:ok, %{state | next_id: @first_id}}
  end

  @impl true
  def handle_call(:take, _from, state) do
    # One that is ready, or the one that was started first.
    found = Enum.find(state.spares, List.first(state.spares), fn {_pid, ready} -> ready end)

    case found do
      nil -> {:reply, nil, state}
      {pid, _ready} -> {:reply, pid, fill(%{state | spares: List.delete(state.spares, found)})}
    end
  end

  @impl true
  def handle_cast(:open, state), do: {:noreply, fill(%{state | open: true})}

  def handle_cast({:taken, pid}, state) do
    Process.unlink(pid)
    # It may have ended before.
    receive do
      {:EXIT, ^pid, _reason} -> :ok
    after
      0 -> :ok
    end

    {:noreply, state}
  end

  def handle_cast({:wearing, pid, how}, state) do
    wearing = Map.put(state.wearing, Process.monitor(pid), {pid, how})
    {:noreply, %{state | wearing: wearing} |> fill() |> retire()}
  end

  def handle_cast({:leaving, pid}, state) do
    {monitors, wearing} =
      Enum.split_with(state.wearing, fn {_monitor, {one, _}} -> one == pid end)

    for {monitor, _} <- monitors, do: Process.demonitor(monitor, [:flush])
    {:noreply, %{state | wearing: Map.new(wearing)}}
  end

  def handle_cast({:ready, pid}, state) do
    spares = Enum.map(state.spares, fn {spare, ready} -> {spare, ready or spare == pid} end)

    {:noreply, retire(%{state | spares: spares})}
  end

  @impl true
  def handle_info({:DOWN, monitor, :process, _pid, _reason}, state),
    do: {:noreply, %{state | wearing: Map.delete(state.wearing, monitor)}}

  def handle_info({:EXIT, owner, _reason}, %{owner: owner} = state),
    do: {:stop, :shutdown, state}

  def handle_info({:EXIT, pid, _reason}, state) do
    {:noreply, fill(%{state | spares: List.keydelete(state.spares, pid, 0)})}
  end

  def handle_info(_message, state), do: {:noreply, state}

  defp fill(%{open: false} = state), do: state

  defp fill(state) do
    if length(state.spares) < state.count + map_size(state.wearing) do
      {:ok, pid} = Worker.start_link(state.pool, :spare, state.next_id, state.command)
      fill(%{state | next_id: state.next_id + 1, spares: state.spares ++ [{pid, false}]})
    else
      state
    end
  end

  # Tells workers to go, as many as there are others for.
  defp retire(state) do
    going = Enum.count(state.wearing, fn {_monitor, {_pid, how}} -> how == :goes end)
    ready = Enum.count(state.spares, fn {_pid, ready} -> ready end)

    case Enum.find(state.wearing, fn {_monitor, {_pid, how}} -> how == :asks end) do
      {monitor, {pid, :asks}} when ready > going ->
        send(pid, {:spare, :retire})
        retire(put_in(state.wearing[monitor], {pid, :goes}))

      _none ->
        state
    end
  end
end
