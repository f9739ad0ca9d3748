defmodule Python.Body do
  @moduledoc false

  # A process for the body of a `with` that has a time of its own: what does not end by itself can only be ended
  # with its process. It is to its caller what a task is, and ends when its caller does, even if it traps exits.

  alias Python.Callback

  # How long the end of a process that was killed is waited for, in ms. Nothing delays it.
  @moment 50

  @enforce_keys [:pid, :monitor, :tag]
  defstruct [:pid, :monitor, :tag]

  @type t :: %__MODULE__{pid: pid, monitor: reference, tag: reference}
  @type result :: {:ok, term} | {:raised, atom, term, Exception.stacktrace()}

  @doc "Starts a process that runs `fun`, which catches what is raised in it."
  @spec start((() -> result)) :: t
  def start(fun) do
    caller = self()
    tag = make_ref()
    inherited = inherited()

    {pid, monitor} =
      spawn_monitor(fn ->
        end_with(caller)
        inherit(inherited)
        result = fun.()
        send(caller, {tag, result})
        leave(result)
      end)

    %__MODULE__{pid: pid, monitor: monitor, tag: tag}
  end

  @doc "What came of it. `:timeout`: nothing so far."
  @spec await(t, timeout) :: result | :timeout
  def await(%__MODULE__{tag: tag, monitor: monitor}, timeout) do
    receive do
      {^tag, result} ->
        Process.demonitor(monitor, [:flush])
        result

      # It was killed, by the exit of a process that it is linked to for instance.
      {:DOWN, ^monitor, :process, _pid, reason} ->
        {:raised, :exit, reason, []}
    after
      timeout -> :timeout
    end
  end

  @doc "Ends it, if it has not ended. Nothing of it is in the mailbox after that."
  @spec kill(t) :: :ok
  def kill(%__MODULE__{pid: pid, tag: tag, monitor: monitor}) do
    Process.exit(pid, :kill)

    receive do
      {:DOWN, ^monitor, :process, _pid, _reason} -> :ok
    after
      @moment -> Process.demonitor(monitor, [:flush])
    end

    receive do
      {^tag, _result} -> :ok
    after
      0 -> :ok
    end
  end

  ## In the process

  # A link would do for a body that does not trap exits, and leave a message to a caller that does.
  defp end_with(caller) do
    body = self()

    spawn(fn ->
      down = Process.monitor(caller)
      done = Process.monitor(body)

      receive do
        {:DOWN, ^down, _, _, _} -> Process.exit(body, :kill)
        {:DOWN, ^done, _, _, _} -> :ok
      end
    end)
  end

  defp inherited do
    %{
      dictionary: [
        {:"$callers", [self() | Process.get(:"$callers", [])]},
        {:"$ancestors", [name() | Process.get(:"$ancestors", [])]}
      ],
      metadata: :logger.get_process_metadata(),
      running: Callback.running()
    }
  end

  defp name do
    case Process.info(self(), :registered_name) do
      {:registered_name, name} when is_atom(name) -> name
      _none -> self()
    end
  end

  defp inherit(%{dictionary: dictionary, metadata: metadata, running: running}) do
    for {key, value} <- dictionary, do: Process.put(key, value)
    if is_map(metadata), do: :logger.set_process_metadata(metadata)
    Callback.run_as(running)
  end

  # Processes that it is linked to end with a body that fails, as they do with a task.
  defp leave({:ok, _value}), do: :ok
  defp leave({:raised, :error, reason, stacktrace}), do: exit({reason, stacktrace})
  defp leave({:raised, :throw, value, stacktrace}), do: exit({{:nocatch, value}, stacktrace})
  defp leave({:raised, :exit, reason, _stacktrace}), do: exit(reason)
end
