defmodule Python.Engine.Process.Template do
  @moduledoc false

  # Keeps the process that workers of a pool are forked from: the option `:preload`. It has imported the modules
  # (native/erlang_python_worker/src/template.rs). When it ends, another one is started. Where there can be none, workers
  # are started without it, and import the modules themselves. It sees no request.

  use GenServer

  alias Python.Engine.Process.{NotStarted, Worker}

  # Not in the log: the environment may have secrets.
  @derive {Inspect, except: [:command]}

  # `waiting`: workers that are started when it is known whether there is a template.
  defstruct [
    :pool,
    :command,
    :items,
    :modules,
    :link,
    :born,
    stage: :starting,
    waiting: [],
    pause: 0
  ]

  # How long to wait until another one is started, in ms, after the first that has ended, and at most. One that has lived
  # so long counts as the first.
  @pause 100
  @longest_pause 10_000
  @long 60_000

  @doc "Starts it, linked to the pool's process."
  @spec start_link(term, Worker.command(), [String.t()], [String.t()], String.t()) :: {:ok, pid}
  def start_link(pool, command, modules, paths, package) do
    items =
      ["package:" <> package | Enum.map(paths, &("path:" <> &1))] ++
        Enum.map(modules, &("module:" <> &1))

    {:ok, _pid} = GenServer.start_link(__MODULE__, {pool, command, modules, items})
  end

  @doc "What a worker is forked from, or nil if it is to be started by itself."
  @spec link(pid) :: reference | nil
  def link(template), do: GenServer.call(template, :link, :infinity)

  @impl true
  def init({pool, command, modules, items}) do
    state = %__MODULE__{pool: pool, command: command, modules: modules, items: items}
    {:ok, start(state)}
  end

  defp start(state) do
    link = :erlang_python_process.process_template(state.pool)

    case Worker.spawn(link, state.command, ["--template"], [Worker.guard() | state.items]) do
      :ok -> %{state | link: link, stage: :starting, born: now()}
      # Workers meet the same, and say so.
      {:error, _reason} -> answer(%{state | stage: :none})
    end
  end

  @impl true
  def handle_call(:link, from, %{stage: :starting} = state),
    do: {:noreply, %{state | waiting: [from | state.waiting]}}

  def handle_call(:link, _from, state), do: {:reply, found(state), state}

  @impl true
  def handle_info({:python_process, :ready, _os_pid}, state) do
    {:noreply, answer(%{state | stage: :ready})}
  end

  def handle_info({:python_process, :output, descriptor, text}, state) do
    Worker.write(descriptor, text)
    {:noreply, state}
  end

  # It says why it is none: there will be no other.
  def handle_info({:python_process, :failed, reason, _pause}, state) do
    :logger.warning(
      "the workers of the pool #{inspect(state.command.name)} are not forked from a process that has imported " <>
        "#{Enum.join(state.modules, ", ")}: each imports that itself. #{cause(reason)}"
    )

    {:noreply, answer(%{state | stage: :none})}
  end

  def handle_info({:python_process, :ended, _reason}, state) do
    pause = if now() - state.born > @long, do: 0, else: state.pause * 2
    pause = pause |> max(@pause) |> min(@longest_pause)
    Process.send_after(self(), :start, pause)

    # Its socket is closed when nobody has the link any more: one that has outlived its guard ends by that.
    {:noreply, answer(%{state | stage: :ended, pause: pause, link: nil}), :hibernate}
  end

  def handle_info(:start, state), do: {:noreply, start(state)}
  def handle_info(_message, state), do: {:noreply, state}

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
