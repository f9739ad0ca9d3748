defmodule Python.Shutdown do
  @moduledoc false

  # The end of the application for Python: it stands between the pools, which end before it, and what they
  # need, which ends after it. Python's own part is in priv/python/erlang/_shutdown.py. It takes no longer
  # than the setting shutdown_timeout allows, whatever Python does.

  use GenServer

  alias Python.{Context, Operation, Options, Request, Runtime}

  def start_link(timeout), do: GenServer.start_link(__MODULE__, timeout, name: __MODULE__)

  @doc "The application ends: what stops it now is not a failure."
  @spec prepare() :: :ok
  def prepare do
    GenServer.call(__MODULE__, :prepare)
  catch
    # It was not started, or has just failed.
    :exit, _ -> :ok
  end

  @doc "Runs what Python code has asked to be run at the end, for so many ms at most."
  @spec run(non_neg_integer) :: :ok
  def run(timeout) do
    with {:ok, _} <- Runtime.status(),
         :ok <- :erlang_python.runtime_ending(),
         true <- timeout > 0,
         {:ok, context} <- Context.start_link() do
      seconds = max(timeout - 50, 0) / 1_000
      options = %Options{context: context, timeout: timeout}
      operation = Operation.call("erlang._shutdown", :run, [seconds], %{})

      # What does not come to its end in time is left behind, and is told where it is of use: in the log.
      _ = Request.run_quietly(operation, options)
      Process.unlink(context.pid)
      Process.exit(context.pid, :kill)
    end

    :ok
  end

  @impl true
  def init(timeout) do
    Process.flag(:trap_exit, true)
    run_at_exit(timeout)
    {:ok, %{timeout: timeout, ends: false}}
  end

  # A script ends without stopping applications.
  defp run_at_exit(timeout) do
    unless :persistent_term.get(__MODULE__, false) do
      :persistent_term.put(__MODULE__, true)
      System.at_exit(fn _status -> run(timeout) end)
    end
  catch
    # There is no Elixir script that could end where Elixir itself was not started.
    :exit, _ -> :ok
  end

  @impl true
  def handle_call(:prepare, _from, state), do: {:reply, :ok, %{state | ends: true}}

  @impl true
  def handle_info(_message, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, %{ends: true, timeout: timeout}), do: run(timeout)
  def terminate(_reason, _state), do: :ok
end
