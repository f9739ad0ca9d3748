defmodule Python.FakeWorker do
  @moduledoc false

  # Pools of the engine :process whose workers are test/support/python/fake_worker.py, which has no native code: for
  # tests of the VM's side, broken frames among them.

  @doc "What a pool or a context of such workers is started with. `mode`: see `FAKE_WORKER` there."
  @spec options(String.t()) :: keyword
  def options(mode \\ "") do
    [
      engine: :process,
      python: Python.Checkout.path("test/support/python/fake_worker.py"),
      env: %{"FAKE_WORKER" => mode}
    ]
  end

  @doc "Whether there is a process of this number that has not ended."
  @spec alive?(pos_integer) :: boolean
  def alive?(os_pid) do
    case File.read("/proc/#{os_pid}/stat") do
      # It may be waited for still.
      {:ok, stat} -> not (stat =~ ~r/\) [ZX] /)
      {:error, _reason} -> false
    end
  end

  @doc "The numbers of a pool's processes, when all are ready."
  @spec os_pids(atom) :: [pos_integer] | nil
  def os_pids(pool) do
    os_pids = for worker <- Python.Pool.workers(pool), do: worker.os_pid
    if Enum.all?(os_pids), do: os_pids
  end
end
