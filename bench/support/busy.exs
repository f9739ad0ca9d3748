defmodule Bench.Busy do
  @moduledoc false

  # Load for what else the VM is to do meanwhile.

  @calls 8

  # How often it is looked whether all calls are at work, with 5 ms in between.
  @patience 6_000

  @doc "Runs a function while so many calls keep as many threads busy with Python bytecode."
  def while_calls(run) do
    {:ok, pool} = Python.Pool.start_link(name: __MODULE__, size: @calls)
    {:ok, nil} = Python.call(:bench_work, :start)
    busy = for _ <- 1..@calls, do: Python.call_async(:bench_work, :spin, [], pool: __MODULE__)
    await(@patience)
    result = run.()
    {:ok, nil} = Python.call(:bench_work, :stop)
    for call <- busy, do: {:ok, true} = Python.await(call)
    Supervisor.stop(pool)
    result
  end

  defp await(0), do: raise("the pool did not get busy")

  defp await(tries) do
    unless Python.Pool.stats(__MODULE__).busy == @calls do
      Process.sleep(5)
      await(tries - 1)
    end
  end
end
