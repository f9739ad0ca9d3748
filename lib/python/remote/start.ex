defmodule Python.Remote.Start do
  @moduledoc false

  # Starts a proxy on another node. A connection that is to be made first may take its time, which is not the caller's.

  alias Python.{NotStartedError, Remote, TimeoutError}
  alias Python.Remote.{Handles, Proxy}

  # How long the start of one may take, in ms.
  @start 5_000

  # How long a proxy waits for the caller that it was started for, in ms.
  @begin 30_000

  @doc """
  Starts the proxy of the calling process on another node, within the time of a call that it is started for. The proxy, and a process
  of this node that ends with it.
  """
  @spec start(node, timeout | nil) :: {:ok, {pid, pid}} | {:error, Exception.t()}
  def start(node, timeout) do
    # What is kept for others, and held of them, needs it.
    if Handles.running?(),
      do: start_there(node, timeout),
      else: {:error, NotStartedError.new(:not_started)}
  end

  defp start_there(node, timeout) do
    hello = :erlang.alias([:reply])
    arguments = [self(), hello, Remote.version()]
    {starter, monitor} = spawn_monitor(fn -> exit(spawn_there(node, arguments)) end)

    receive do
      {^hello, proxy} ->
        Process.demonitor(monitor, [:flush])
        Proxy.tell_soon(proxy, :begin)
        {:ok, {proxy, starter}}

      {:DOWN, ^monitor, _, _, reason} ->
        :erlang.unalias(hello)
        {:error, Remote.unreachable(node, cause(reason))}
    after
      min(timeout || @start, @start) ->
        :erlang.unalias(hello)
        Process.demonitor(monitor, [:flush])
        Process.exit(starter, :kill)
        flush(hello)
        late(node, timeout)
    end
  end

  # Ends as the proxy does, or with the reason why there is none.
  defp spawn_there(node, arguments) do
    request =
      :erlang.spawn_request(node, Proxy, :init, arguments, [:monitor, {:reply, :error_only}])

    receive do
      {:spawn_reply, ^request, :error, reason} -> reason
      {:DOWN, ^request, _, _, reason} -> reason
    end
  end

  defp cause({:shutdown, reason}), do: reason
  defp cause(reason), do: reason

  defp flush(hello) do
    receive do
      {^hello, _proxy} -> :ok
    after
      0 -> :ok
    end
  end

  defp late(node, timeout) when is_integer(timeout) and timeout <= @start,
    do: {:error, TimeoutError.new(timeout, {:away, node})}

  defp late(node, _timeout), do: {:error, Remote.unreachable(node, :timeout)}

  @doc "In the proxy: waits for the caller to say that it is still there. `caller` is its monitor."
  @spec await_begin(reference) :: :ok
  def await_begin(caller) do
    receive do
      {Proxy, :begin} -> :ok
      {:DOWN, ^caller, _, _, _} -> exit(:normal)
    after
      # It has waited for too long.
      @begin -> exit(:normal)
    end
  end
end
