defmodule Python.Remote.Hold do
  @moduledoc false

  # Python's `with` for an object on another node. The manager is entered and left there, by a process that stands for the caller.
  # The body runs here, in the caller, and what it asks of that node goes to the process that is in the body there: so it
  # runs on the thread and in the context of variables of the manager, as on one's own node.

  alias Python.{Callback, Deadline, Hold, Options, Remote, StoppedError, TimeoutError}
  alias Python.Remote.{Handles, Proxy, Watch, Wire}

  # How long a message that is on its way is waited for, in ms.
  @moment 5_000

  # How long after the end of its time the caller waits to be told of it, in ms.
  @late 500

  ## The caller

  @doc "As `Python.Hold.run/3`."
  @spec run(node, Python.Object.t(), (term -> term), Options.t()) :: Hold.result()
  def run(node, object, fun, options) do
    until = until(options.timeout)

    with {:ok, reference, proxy} <- Remote.ask(node, :hold, {:hold, object}, options) do
      receive do
        {^reference, {:held, manager, body, sendable, keeper}} ->
          watch = Watch.start(manager)
          final = :erlang.monitor(:process, watch, alias: :reply_demonitor)
          Proxy.tell_soon(manager, {:final, final})
          entered = Wire.take(sendable, keeper, reference)
          result = in_body(node, manager, body, entered, fun)
          Proxy.tell_soon(body, {:ended, told(result, node)})
          await(final, node, result, until, options)

        {^reference, {:refused, error}} ->
          {:error, error}

        {^reference, {:raised, error}} ->
          raise error

        {:DOWN, ^reference, _, _, reason} ->
          Remote.down(reason, node)
      after
        Deadline.left(until) -> give_up(proxy, reference, options)
      end
    end
  end

  # It looks at the clock there. Here no longer than that it could have said so.
  defp until(timeout) when timeout in [nil, :infinity], do: :infinity
  defp until(timeout), do: Deadline.in_ms(timeout + @late)

  # If it is held after all, that ends with the caller's word that it is not in the body.
  defp give_up(proxy, reference, options) do
    case Remote.forget(reference) do
      {:answered, {:held, _manager, body, _, _}} -> Proxy.tell_soon(body, {:ended, :ok})
      _ -> Proxy.tell_soon(proxy, {:cancel, reference, nil})
    end

    {:error, TimeoutError.new(options.timeout, :none)}
  end

  # What it asks of the node goes to the process there that is in the body.
  defp in_body(node, manager, body, entered, fun) do
    before = Remote.put_proxy(node, {body, Watch.start(body)})
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
      {:ok, sendable, _kept} -> {:raised, kind, sendable, stacktrace}
      {:error, _} -> {:raised, kind, {inspect(reason), false}, stacktrace}
    end
  end

  defp await(final, node, result, until, options) do
    receive do
      {^final, outcome} -> outcome(outcome, result)
      {:DOWN, ^final, _, _, reason} -> Remote.down(reason, node)
    after
      # The body may have gone on for longer.
      max(Deadline.left(until), @late) ->
        Remote.forget(final)
        {:error, TimeoutError.new(options.timeout, :body)}
    end
  end

  defp outcome(:ok, {:ok, value}), do: {:ok, value}
  defp outcome(:ok, {:raised, _, _, _}), do: {:ok, nil}
  defp outcome(:raised, {:raised, _, _, _} = raised), do: raised
  defp outcome({:error, error}, _result), do: {:error, error}
  defp outcome(_other, _result), do: {:error, StoppedError.new(:stopped)}

  ## The node of the object

  @doc "Enters and leaves the manager for a process of another node."
  @spec start(pid, pid, Python.Object.t(), map) :: pid
  def start(caller, keeper, object, %{reference: reference} = asked) do
    spawn_link(fn ->
      Process.group_leader(self(), asked.leader)
      manager = self()

      body = fn entered ->
        # It may have a process of its own.
        Handles.keep_for(keeper)
        {sendable, ids} = Wire.encode_answer({:ok, entered}, node(caller))
        keeper_of = Proxy.given(keeper, reference, ids)
        send(reference, {reference, {:held, manager, self(), sendable, keeper_of}})
        begun(manager)
        {result, left} = Proxy.serve(caller, keeper)
        Process.put(:left, left)
        raised(result)
      end

      result = hold(object, body, asked.options)
      final = final()
      # None if the body has had a process of its own.
      left = Process.get(:left)
      if left == nil, do: pass_on(caller)

      case {result, final} do
        # Before the body began, or while it went on.
        {{:error, error}, nil} -> send(reference, {reference, {:refused, error}})
        {{:wrong, error}, nil} -> send(reference, {reference, {:raised, error}})
        {result, final} when final != nil -> send(final, {final, outcome(result)})
        _ -> :ok
      end

      # What the body did not wait for.
      if left, do: Proxy.serve_out(left)
    end)
  end

  defp hold(object, body, options) do
    Hold.run(object, body, options)
  rescue
    # A wrong argument, as what the body raises is in the result.
    error -> {:wrong, error}
  end

  # What Python has sent this process, when it entered the manager or left it, is meant for the caller.
  defp pass_on(caller) do
    receive do
      {Proxy, _} ->
        pass_on(caller)

      message ->
        send(caller, message)
        pass_on(caller)
    after
      0 -> :ok
    end
  end

  defp raised(:ok), do: nil

  defp raised({:raised, kind, {reason, references}, stacktrace}),
    do: :erlang.raise(kind, Wire.decode(reason, references), stacktrace)

  defp outcome({:ok, _value}), do: :ok
  defp outcome({:raised, _kind, _reason, _stacktrace}), do: :raised
  defp outcome({:error, error}), do: {:error, error}

  # The body may have a process of its own.
  defp begun(manager) when manager == self(), do: Process.put(:begun, true)
  defp begun(manager), do: Proxy.tell(manager, :begun)

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
        {Proxy, :begun} -> true
      after
        0 -> false
      end
  end

  defp await_final do
    receive do
      {Proxy, {:final, final}} -> final
    after
      @moment -> nil
    end
  end
end
