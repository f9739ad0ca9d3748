defmodule Stress.Churn do
  # Contexts, pools and workers that are started and ended while they are used.

  import Stress.Check

  @python :stress_work

  def run(:context, n) do
    {:ok, context} = ok(Python.Context.start_link())
    {:ok, ident} = ok(call(:remember, [n], context: context))
    is(Python.exec("n = #{n}", context: context), :ok)
    is(Python.eval("n", context: Enum.random([context, context.pid])), {:ok, n})
    is(call(:recall, [], context: context), {:ok, {n, ident}})

    case random(4) do
      1 ->
        in_time(5, fn -> call(:guarded, [n], context: context, timeout: 5) end)

      2 ->
        is(Enum.to_list(Python.stream_eval("range(n, n + 3)", context: context)), [
          n,
          n + 1,
          n + 2
        ])

      3 ->
        Python.call_async(@python, :wait, [n], context: context)

      4 ->
        :ok
    end

    # The one that waits (3) goes with it, and tells its owner.
    :ok = Python.Context.stop(context)
    forget_answers()
    stopped(call(:echo, [n], context: context))
  end

  def run(:context_killed, n) do
    {owner, monitor} =
      spawn_monitor(fn ->
        {:ok, context} = ok(Python.Context.start_link(init: "n = #{n}"))
        is(Python.eval("n", context: context), {:ok, n})

        case random(3) do
          1 -> Process.exit(context.pid, :kill)
          2 -> call(Enum.random([:wait, :spin, :guarded]), [n], context: context)
          3 -> :ok
        end
      end)

    pause(20)
    Process.exit(owner, :kill)

    receive do
      {:DOWN, ^monitor, _, _, reason} when reason in [:killed, :normal, :noproc] -> :killed
      {:DOWN, ^monitor, _, _, reason} -> wrong("an owner that is killed", reason)
    end
  end

  def run(:pool_stopped, n) do
    name = :"Stress.Pool#{n}"
    before = Process.flag(:trap_exit, true)
    {:ok, pool} = Python.Pool.start_link(name: name, size: random(6), init: "pass")
    asyncs = for i <- 1..10, do: {i, Python.call_async(@python, :nap, [i, 0.002], pool: name)}
    pause(6)
    reason = Enum.random([:normal, :shutdown, :kill])
    if reason == :kill, do: Process.exit(pool, :kill), else: GenServer.stop(pool, reason)

    receive do
      {:EXIT, ^pool, _} -> Process.flag(:trap_exit, before)
    end

    for {i, async} <- asyncs do
      case Python.await(async) do
        {:ok, ^i} -> :ok
        {:error, %Python.StoppedError{}} -> :ok
        other -> wrong("#{i} or a StoppedError", other)
      end
    end

    case call(:echo, [n], pool: name) do
      {:error, %Python.StoppedError{}} -> :stopped
      {:error, %Python.NotStartedError{}} -> :stopped
      other -> wrong("a pool that is stopped", other)
    end
  end

  def run(:worker_killed, n) do
    name = :"Stress.Pool#{n}"
    {:ok, pool} = Python.Pool.start_link(name: name, size: 3)
    asyncs = for i <- 1..8, do: {i, Python.call_async(@python, :nap, [i, 0.003], pool: name)}
    pause(4)
    {:links, links} = Process.info(pool, :links)
    for pid <- links, is_pid(pid), pid != self(), random(2) == 1, do: Process.exit(pid, :kill)

    for {i, async} <- asyncs do
      case Python.await(async) do
        {:ok, ^i} -> :ok
        {:error, %Python.StoppedError{reason: :worker_down}} -> :ok
        other -> wrong("#{i} or a StoppedError", other)
      end
    end

    is(call(:echo, [n], pool: name), {:ok, n})
    is(Python.Pool.stats(name).workers, 3)
    :ok = GenServer.stop(pool)
    :killed
  end

  defp stopped({:error, %Python.StoppedError{}}), do: :stopped
  defp stopped(other), do: wrong("a StoppedError", other)
end
