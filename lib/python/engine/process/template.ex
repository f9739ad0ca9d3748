defmodule Python.Engine.Process.Template do
  @moduledoc false

  # Keeps the process that workers of a pool are forked from. It has imported this library's package and the modules of
  # the option `:preload` (native/erlang_python_worker/src/template.rs). When it ends, another one is started. Where there
  # can be none, workers are started without it, and import the modules themselves. It sees no request.

  use GenServer

  alias Python.Engine.Process.{NotStarted, Worker}

  # Not in the log: the environment may have secrets.
  @derive {Inspect, except: [:command]}

  # `waiting`: workers that are started when it is known whether there is a template. `before`: how many are started
  # without one first. `ends`: how many have ended, one soon after the other.
  defstruct [
    :owner,
    :pool,
    :command,
    :items,
    :modules,
    :link,
    :born,
    stage: :none,
    before: 0,
    waiting: [],
    ends: 0
  ]

  @type what :: %{
          modules: [String.t()],
          paths: [String.t()],
          package: String.t(),
          before: non_neg_integer
        }

  # How long to wait until another one is started, in ms, after the first that has ended. It is twice as long each time.
  @pause 100

  # So many may end, each within so many ms. Then there is none any more.
  @most_ends 5
  @long 60_000

  # How long workers wait for one that has nothing to import, in ms. Then they are started without it.
  @patience 5_000

  @doc "Starts it, linked to the pool's process. `before`: how many workers come first, before it is of use."
  @spec start_link(term, Worker.command(), what) :: {:ok, pid}
  def start_link(pool, command, what) do
    # Linked by itself: a server whose parent ends says so in the log.
    {:ok, _pid} = GenServer.start(__MODULE__, {self(), pool, command, what})
  end

  @doc "What a worker is forked from, or nil if it is to be started by itself."
  @spec link(pid) :: reference | nil
  def link(template), do: GenServer.call(template, :link, :infinity)

  @impl true
  def init({owner, pool, command, %{modules: modules, before: before} = what}) do
    # It ends with the pool's process, also where that ends normally.
    Process.flag(:trap_exit, true)
    Process.link(owner)

    items =
      ["package:" <> what.package | Enum.map(what.paths, &("path:" <> &1))] ++
        Enum.map(modules, &("module:" <> &1))

    state = %__MODULE__{
      owner: owner,
      pool: pool,
      command: command,
      modules: modules,
      items: items
    }

    {:ok, if(before > 0, do: %{state | stage: :later, before: before}, else: start(state))}
  end

  defp start(state) do
    link = :erlang_python_process.process_template(state.pool)

    case Worker.spawn(link, state.command, ["--template"], [Worker.guard() | state.items]) do
      :ok ->
        if state.modules == [], do: Process.send_after(self(), {:late, link}, @patience)
        %{state | link: link, stage: :starting, born: now()}

      # Workers meet the same, and say so.
      {:error, _reason} ->
        answer(%{state | stage: :none})
    end
  end

  @impl true
  def handle_call(:link, from, %{stage: :starting} = state),
    do: {:noreply, %{state | waiting: [from | state.waiting]}}

  def handle_call(:link, _from, %{stage: :later, before: 0} = state),
    do: {:reply, nil, start(state)}

  def handle_call(:link, _from, %{stage: :later} = state),
    do: {:reply, nil, %{state | before: state.before - 1}}

  def handle_call(:link, _from, state), do: {:reply, found(state), state}

  @impl true
  def handle_info({:python_process, :ready, _os_pid}, state) do
    {:noreply, answer(%{state | stage: :ready})}
  end

  def handle_info({:python_process, :output, descriptor, text}, state) do
    Worker.write(descriptor, text)
    {:noreply, state}
  end

  def handle_info({:late, link}, %{stage: :starting, link: link} = state),
    do: {:noreply, answer(%{state | stage: :late})}

  # It says why it is none: there will be no other.
  def handle_info({:python_process, :failed, reason, _pause}, state) do
    warn(state, cause(reason))
    {:noreply, answer(%{state | stage: :none})}
  end

  def handle_info({:python_process, :ended, reason}, state) do
    ends = if now() - state.born > @long, do: 1, else: state.ends + 1
    stage = if ends < @most_ends, do: :ended, else: :none

    if stage == :ended,
      do: Process.send_after(self(), :start, @pause * 2 ** (ends - 1)),
      else: warn(state, "#{ends} have ended, one soon after the other. #{cause(reason)}")

    # Its socket is closed when nobody has the link any more: one that has outlived its guard ends by that.
    {:noreply, answer(%{state | stage: stage, ends: ends, link: nil}), :hibernate}
  end

  def handle_info(:start, state), do: {:noreply, start(state)}

  def handle_info({:EXIT, owner, _reason}, %{owner: owner} = state),
    do: {:stop, :shutdown, state}

  def handle_info(_message, state), do: {:noreply, state}

  # Nobody has asked for one that has no modules.
  defp warn(%{modules: []}, _cause), do: :ok

  defp warn(state, cause) do
    :logger.warning(
      "the workers of the pool #{inspect(state.command.name)} are not forked from a process that has imported " <>
        "#{Enum.join(state.modules, ", ")}: each imports that itself. #{cause}"
    )
  end

  defp now, do: System.monotonic_time(:millisecond)

  defp cause({:not_started, reason}), do: NotStarted.cause(reason)
  defp cause(reason), do: reason |> Python.Request.error() |> Exception.message()

  defp found(%{stage: :ready, link: link}), do: link
  defp found(_state), do: nil

  defp answer(state) do
    for from <- state.waiting, do: GenServer.reply(from, found(state))
    %{state | waiting: []}
  end
end
