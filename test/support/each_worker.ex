defmodule Python.EachWorker do
  @moduledoc false

  alias Python.FakeWorker

  @doc "What an expression comes to in each worker of a pool of processes, once they are ready. `os` is imported."
  @spec eval(atom, String.t()) :: [term]
  def eval(pool, code) do
    size = pool |> await() |> length()
    # They wait for each other.
    dir =
      Path.join(
        System.tmp_dir!(),
        "barrier_#{System.pid()}_#{System.unique_integer([:positive])}"
      )

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

  defp await(pool) do
    case FakeWorker.os_pids(pool) do
      pids when is_list(pids) ->
        pids

      _ ->
        Process.sleep(10)
        await(pool)
    end
  end
end
