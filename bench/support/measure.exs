defmodule Bench.Measure do
  @moduledoc false

  # How things are timed. It knows nothing of Python.
  #
  # Measurements and their floors take turns in short rounds, so that whatever else the machine does
  # hits both, and each round runs in a process of its own, so that none pays for the garbage of
  # another. Times are in ns, rates in 1/s.

  # In words: no garbage collection of a caller is timed.
  @heap 1_000_000

  # The share of the machine that others may take in a round that is called quiet.
  @quiet 0.03

  @doc """
  Runs every subject once a round, in turn. Returns a map from their names to one value per round.

  The first round is thrown away: it warms up. On a machine that does other work as well, up to twice
  as many rounds are run, and those count in which others took the least processor time.
  """
  def rounds(count, subjects) do
    _warm = round_of(subjects)
    {rounds, shares} = subjects |> quietest(count, 2 * count, []) |> Enum.unzip()
    Bench.Others.note(shares)
    Map.new(subjects, fn {name, _run} -> {name, Enum.map(rounds, & &1[name])} end)
  end

  defp round_of(subjects), do: Map.new(subjects, fn {name, run} -> {name, alone(run)} end)

  defp quietest(subjects, count, left, rounds) do
    if left == 0 or Enum.count(rounds, fn {_, share} -> share <= @quiet end) == count do
      rounds |> Enum.sort_by(fn {_, share} -> share end) |> Enum.take(count)
    else
      round = Bench.Others.share(fn -> round_of(subjects) end)
      quietest(subjects, count, left - 1, [round | rounds])
    end
  end

  @doc "Runs a function in a fresh process and returns what it gives."
  def alone(run, heap \\ @heap) do
    {pid, monitor} = :erlang.spawn_opt(fn -> exit({:value, run.()}) end, alone_options(heap))

    receive do
      {:DOWN, ^monitor, :process, ^pid, {:value, value}} -> value
      {:DOWN, ^monitor, :process, ^pid, reason} -> exit(reason)
    end
  end

  defp alone_options(heap), do: [:monitor, {:min_heap_size, heap}]

  @doc "The time of one call, from batches that are long against the clock's own cost."
  def batches(run, samples, batch) do
    median(for _ <- 1..samples, do: time(fn -> repeat(run, batch) end) / batch)
  end

  @doc "Calls timed one by one: the sorted times."
  def singles(run, samples), do: Enum.sort(for _ <- 1..samples, do: time(run))

  @doc "The same, each call after `idle` ms in which nothing runs."
  def after_idle(run, samples, idle) do
    Enum.sort(
      for _ <- 1..samples do
        Process.sleep(idle)
        time(run)
      end
    )
  end

  @doc "One call, in a fresh process with a heap that holds big values: the time."
  def once(run), do: alone(fn -> time(run) end, 4 * @heap)

  @doc "The same for what is given to Python: it has been collected before, so that it is not moved meanwhile."
  def once_settled(run) do
    settled = fn ->
      :erlang.garbage_collect()
      time(run)
    end

    alone(settled, 4 * @heap)
  end

  @doc "Calls per second of so many callers, who make so many calls together."
  def throughput(run, callers, calls) do
    each = max(div(calls, callers), 1)
    callers * each * 1.0e9 / at_once(callers, fn -> repeat(run, each) end)
  end

  @doc "What it takes until so many processes have run a function that begin together, in ns."
  def at_once(count, run) do
    processes =
      for _ <- 1..count do
        spawn_monitor(fn ->
          receive do: (:go -> run.())
        end)
      end

    time(fn ->
      for {pid, _} <- processes, do: send(pid, :go)
      for _ <- processes, do: one_finished()
    end)
  end

  # Whichever it is: to look for one among thousands of messages would take longer than what is measured. Nothing else
  # is monitored here.
  defp one_finished do
    receive do
      {:DOWN, _monitor, :process, _pid, :normal} -> :ok
      {:DOWN, _monitor, :process, _pid, reason} -> exit(reason)
    end
  end

  @doc "What a call takes, in ns."
  def time(run) do
    start = System.monotonic_time()
    run.()
    System.convert_time_unit(System.monotonic_time() - start, :native, :nanosecond)
  end

  def repeat(_run, 0), do: :ok

  def repeat(run, times) do
    run.()
    repeat(run, times - 1)
  end

  @doc "Calls once and raises unless the result is as expected: nothing wrong is timed."
  def check(expected, run) do
    case run.() do
      ^expected -> :ok
      other -> raise "expected #{short(expected)}, got #{short(other)}"
    end
  end

  defp short(term), do: inspect(term, limit: 10, printable_limit: 100)

  def median(values), do: percentile(values, 50)

  @doc "The value that so many percent of the values do not exceed; between two, their mean."
  def percentile(values, percent) do
    sorted = Enum.sort(values)
    place = (length(sorted) - 1) * percent / 100
    below = trunc(place)
    low = Enum.at(sorted, below)
    high = Enum.at(sorted, below + 1, low)
    low + (high - low) * (place - below)
  end
end
