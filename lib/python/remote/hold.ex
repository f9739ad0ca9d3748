defmodule Python.Remote.Hold do
  @moduledoc false

  # Python's `with` for an object on another node. The manager is entered and left there, by a process that stands for the caller.
  # The body runs here, in the caller, and what it asks of that node goes to the process that is in the body there: so it
  # runs on the thread and in the context of variables of the manager, as on one's own node.

  alias Python.{Callback, Hold, Options, Remote, StoppedError}
  alias Python.Remote.{Proxy, Wire}

  # How long a message that is on its way is waited for, in ms.
  @moment 5_000

  ## The caller

  @doc "As `Python.Hold.run/3`."
  @spec run(node, Python.Object.t(), (term -> term), Options.t()) :: Hold.result()
  def run(node, object, fun, options) do
    with {:ok, reference, proxy} <- Remote.ask(node, :hold, {:hold, object}, options) do
      receive do
        {^reference, {:held, manager, body, sendable, references}} ->
          final = :erlang.monitor(:process, manager, alias: :reply_demonitor)
          send(manager, {:final, final})
          entered = Wire.decode(sendable, references, proxy)
          result = in_body(node, manager, body, entered, fun)
          send(body, {:ended, told(result, node)})
          await(final, node, result)

        {^reference, {:refused, error}} ->
          {:error, error}

        {:DOWN, ^reference, _, _, reason} ->
          Remote.down(reason, node)
      end
    end
  end

  # What it asks of the node goes to the process there that is in the body.
  defp in_body(node, manager, body, entered, fun) do
    before = Remote.put_proxy(node, body)
    hold = %{engine: Remote, native: node, timeout: :infinity, deadline: :infinity}
    outer = Callback.enter_hold({Remote, manager}, hold)

    try do
      {:ok, fun.(Python.Error.value!(entered))}
    catch
      kind, reason -> {:raised, kind, reason, __STACKTRACE__}
    after
      Callback.leave_hold(outer)
      Remote.put_proxy(node, before)
    end
  end

  defp told({:ok, _value}, _node), do: :ok

  # What is raised there is to say the same: a handle in it as well.
  defp told({:raised, kind, reason, stacktrace}, node) do
    case Wire.encode(reason, node) do
      {:ok, sendable} -> {:raised, kind, sendable, stacktrace}
      {:error, _} -> {:raised, kind, {inspect(reason), false}, stacktrace}
    end
  end

  defp await(final, node, result) do
    receive do
      {^final, outcome} -> outcome(outcome, result)
      {:DOWN, ^final, _, _, reason} -> Remote.down(reason, node)
    end
  end

  defp outcome(:ok, {:ok, value}), do: {:ok, value}
  defp outcome(:ok, {:raised, _, _, _}), do: {:ok, nil}
  defp outcome(:raised, {:raised, _, _, _} = raised), do: raised
  defp outcome({:error, error}, _result), do: {:error, error}
  defp outcome(_other, _result), do: {:error, StoppedError.new(:stopped)}

  ## The node of the object

  @doc "Enters and leaves the manager for a process of another node."
  @spec start(pid, reference, Python.Object.t(), Options.t(), pid) :: pid
  def start(caller, reference, object, options, leader) do
    proxy = self()

    spawn_link(fn ->
      Process.group_leader(self(), leader)
      manager = self()

      body = fn entered ->
        {sendable, ids} = Wire.encode_answer({:ok, entered}, node(caller))
        send(proxy, {:given, ids})
        send(reference, {reference, {:held, manager, self(), sendable, ids != []}})
        begun(manager)
        raised(Proxy.serve(caller))
      end

      case {Hold.run(object, body, options), final()} do
        # Before the body began, or while it went on.
        {{:error, error}, nil} -> send(reference, {reference, {:refused, error}})
        {result, final} when final != nil -> send(final, {final, outcome(result)})
        _ -> :ok
      end
    end)
  end

  defp raised(:ok), do: nil

  defp raised({:raised, kind, {reason, references}, stacktrace}),
    do: :erlang.raise(kind, Wire.decode(reason, references, nil), stacktrace)

  defp outcome({:ok, _value}), do: :ok
  defp outcome({:raised, _kind, _reason, _stacktrace}), do: :raised
  defp outcome({:error, error}), do: {:error, error}

  # The body may have a process of its own.
  defp begun(manager) when manager == self(), do: Process.put(:begun, true)
  defp begun(manager), do: send(manager, :begun)

  # Where the caller waits for the end, if the body has begun.
  defp final do
    cond do
      not begun?() -> nil
      final = Process.get(:final) -> final
      true -> await_final()
    end
  end

  defp begun? do
    Process.get(:begun) ||
      receive do
        :begun -> true
      after
        0 -> false
      end
  end

  defp await_final do
    receive do
      {:final, final} -> final
    after
      @moment -> nil
    end
  end
end
