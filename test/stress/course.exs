defmodule Stress.Course do
  # The course of a run whose callers do one thing after another until it is over, and what must be true when it is.

  alias Python.Pool
  alias Stress.{Book, Gauge}

  @doc "Runs `run.(seconds, seed)` as the command line says, and ends the VM: with status 1 if that gives false."
  def main(run) do
    {seconds, seed} =
      case System.argv() do
        [seconds] -> {seconds, "#{:rand.uniform(1_000_000)}"}
        [seconds, seed] -> {seconds, seed}
      end

    ok = run.(String.to_integer(seconds), String.to_integer(seed))
    System.halt(if ok, do: 0, else: 1)
  end

  # It does something of these kinds, each as often as its weight says, until it is over.
  defp caller(kinds, seed, number, stop_at, operation) do
    :rand.seed(:exsss, {seed, number, 0})
    kinds = for {kind, weight} <- kinds, _ <- 1..weight, do: kind

    Stream.repeatedly(fn -> operation.(Enum.random(kinds)) end)
    |> Enum.find(fn _ -> now() > stop_at or Book.wrongs() != [] end)

    Book.done()
  end

  @doc "Starts so many callers, and waits for them, for so many ms after it is over: a reading for each second."
  def callers(count, kinds, seed, stop_at, hangs, operation) do
    callers =
      for number <- 1..count, into: MapSet.new() do
        {pid, _} = spawn_monitor(fn -> caller(kinds, seed, number, stop_at, operation) end)
        pid
      end

    await(callers, stop_at + hangs)
  end

  @doc "One operation in a pool, with a number of its own."
  def operation(kind, pool, work) do
    number = Book.number()
    Book.doing(kind, number)

    try do
      Book.count(kind, work.(number))
    catch
      :throw, {:wrong, text} -> Book.wrong("#{kind} #{number} in #{inspect(pool)}: #{text}")
    end

    case Process.info(self(), :messages) do
      {:messages, []} -> :ok
      {:messages, strays} -> Book.wrong("#{kind} #{number}: strays #{inspect(strays, limit: 12)}")
    end
  end

  @doc "The result of a call with a timeout of some ms; how late it comes is noted."
  def with_timeout(call) do
    timeout = :rand.uniform(30)
    begun = now()
    result = call.(timeout)
    Book.late(now() - begun - timeout)
    result
  end

  # Takes a reading each second.
  defp await(callers, deadline, readings \\ []) do
    receive do
      {:DOWN, _, :process, pid, reason} ->
        if pid in callers and reason != :normal, do: Book.wrong("a caller: #{inspect(reason)}")
        left = MapSet.delete(callers, pid)

        if MapSet.size(left) > 0,
          do: await(left, deadline, readings),
          else: Enum.reverse(readings)
    after
      1_000 ->
        readings = [Gauge.read() | readings]
        if now() < deadline, do: await(callers, deadline, readings), else: hung(readings)
    end
  end

  defp hung(readings) do
    for {pid, kind, number, _} <- Book.stuck(1_000) do
      Book.wrong("#{kind} #{number} hangs: #{inspect(Process.info(pid, :current_stacktrace))}")
    end

    Enum.reverse(readings)
  end

  @doc "Waits until a pool does nothing, so many ms at most."
  def at_rest(pool, longest) do
    wait("the pool #{inspect(pool)} is at rest", longest, fn ->
      stats = Pool.stats(pool)
      {stats.busy == 0 and stats.queued == 0 and stats.stuck == 0, stats}
    end)
  end

  @doc "Waits until none of these is more than before."
  def as_before(keys, before, longest, reading) do
    for key <- keys do
      wait("#{key} are as before", longest, fn ->
        :erlang.garbage_collect()
        {at, now} = {before[key], reading.()[key]}
        {at == nil or now <= at, {at, now}}
      end)
    end
  end

  @doc "Waits until `check` gives `{true, _}`, so many ms at most."
  def wait(what, longest, check), do: wait_until(what, check, now() + longest)

  defp wait_until(what, check, deadline) do
    case check.() do
      {true, _} ->
        :ok

      {false, state} ->
        if now() > deadline do
          Book.wrong("#{what}: #{inspect(state, limit: 10)}")
        else
          Process.sleep(50)
          wait_until(what, check, deadline)
        end
    end
  end

  @doc "How many threads of this VM have such a name. Nil where the system does not tell, here and below."
  def threads(name) do
    with {:ok, tasks} <- File.ls("/proc/self/task") do
      Enum.count(tasks, fn task ->
        case File.read("/proc/self/task/#{task}/comm") do
          {:ok, text} -> text =~ name
          _ -> false
        end
      end)
    else
      _ -> nil
    end
  end

  @doc "How many descriptors are of such a kind. Those of others come and go."
  def descriptors(kind), do: if(open = open(kind), do: open |> Map.values() |> Enum.sum())

  @doc "The same for each of several kinds: a map from what the expression matches."
  def open(kinds) do
    with {:ok, names} <- File.ls("/proc/self/fd") do
      paths =
        for name <- names, {:ok, path} <- [File.read_link("/proc/self/fd/#{name}")], do: path

      Enum.frequencies(for path <- paths, [kind] <- [Regex.run(kinds, path)], do: kind)
    else
      _ -> nil
    end
  end

  @doc "Prints what was done. False if something went wrong. `grown`: what `Gauge.growth/2` says."
  def report(readings, grown) do
    for text <- grown, do: Book.wrong(text)

    for {kind, outcomes} <- Book.totals() do
      counts = Enum.map_join(outcomes, ", ", fn {outcome, count} -> "#{outcome} #{count}" end)
      IO.puts(String.pad_trailing("#{inspect(kind)}", 20) <> counts)
    end

    IO.puts("BEAM memory in MB: #{Gauge.course(readings, :beam)}")
    IO.puts("RSS in MB:         #{Gauge.course(readings, :rss)}")
    wrongs = Book.wrongs()
    for text <- Enum.take(wrongs, 20), do: IO.puts("WRONG: #{text}")
    if wrongs == [], do: IO.puts("nothing went wrong")
    wrongs == []
  end

  def now, do: System.monotonic_time(:millisecond)
end
