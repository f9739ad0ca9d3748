defmodule Python.Engine.Main.Worker do
  @moduledoc false

  # A process that, when woken, goes into one dirty NIF and runs what waits in the pool's queue. One
  # crossing serves many calls. It sends no answers and knows no requests: the native code does. It calls
  # itself by its module's name, so that it goes on in new code when the module is loaded again.

  @spec start_link(reference, pos_integer, reference) :: pid
  def start_link(pool, id, slot) do
    :proc_lib.spawn_link(__MODULE__, :init, [pool, id, slot])
  end

  @doc false
  def init(pool, id, slot) do
    pool |> :erlang_python.worker_new(id, slot) |> __MODULE__.drain()
  end

  @doc false
  def drain(worker) do
    case :erlang_python.worker_drain(worker) do
      :idle -> __MODULE__.wait(worker)
      :stop -> :ok
    end
  end

  @doc false
  def wait(worker) do
    receive do
      :drain -> __MODULE__.drain(worker)
      _ -> __MODULE__.wait(worker)
    end
  end
end
