defmodule Python.EachWorker do
  @moduledoc false

  import Python.TestCase, only: [eventually: 2, unique: 1]

  alias Python.FakeWorker

  @doc "What an expression comes to in each worker of a pool of processes, once they are ready. `os` is imported."
  @spec eval(atom, String.t()) :: [term]
  def eval(pool, code) do
    size = pool |> await() |> length()
    # They wait for each other.
    dir = Path.join(System.tmp_dir!(), unique("barrier"))
    File.mkdir!(dir)

    wait = """
    def each():
        import os, time
        open(os.path.join(#{inspect(dir)}, str(os.getpid())), "w").close()
        until = time.time() + 20
        while len(os.listdir(#{inspect(dir)})) < #{size} and time.time() < until:
            time.sleep(0.005)
        return #{code}
    """

    :ok = Python.exec(wait, pool: pool)
    calls = for _ <- 1..size, do: Python.eval_async("each()", %{}, pool: pool)
    results = for call <- calls, do: Python.await(call)
    File.rm_rf!(dir)
    for {:ok, result} <- results, do: result
  end

  @doc "Waits until all workers of a pool of processes are ready. Returns the numbers of their processes."
  @spec await(atom) :: [pos_integer]
  def await(pool), do: eventually("all are ready", fn -> FakeWorker.os_pids(pool) end)

  @doc "Ends a worker, and waits until another one has come for it: the one that has gone may be asked still."
  @spec crash_one(atom) :: term
  def crash_one(pool) do
    before = await(pool)
    {:error, %Python.CrashedError{}} = Python.call(:os, :_exit, [3], pool: pool)

    eventually("another one is ready", fn ->
      pids = FakeWorker.os_pids(pool)
      pids && Enum.any?(before, &(&1 not in pids))
    end)
  end
end
