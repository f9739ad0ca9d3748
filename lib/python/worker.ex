defmodule Python.Worker do
  @moduledoc false

  # A process that, when woken, goes into one dirty NIF and runs what waits in the pool's queue. One
  # crossing serves many calls. It sends no answers and knows no requests: the native code does.

  @spec start_link(reference, pos_integer, reference) :: pid
  def start_link(pool, id, slot) do
    :proc_lib.spawn_link(__MODULE__, :init, [pool, id, slot])
  end

  @doc false
  def init(pool, id, slot) do
    pool |> :erlang_python.worker_new(id, slot) |> drain()
  end

  defp drain(worker) do
    case :erlang_python.worker_drain(worker) do
      :idle -> wait(worker)
      :stop -> :ok
    end
  end

  defp wait(worker) do
    receive do
      :drain -> drain(worker)
      _ -> wait(worker)
    end
  end
end
