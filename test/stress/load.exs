defmodule Stress.Load do
  # Keeps so many clients at work until the time is over, then looks at what is left.

  alias Stress.{Book, Check, Gauge, Kinds}

  @clients 200
  # Operations of one client's life.
  @life 40
  # A phase, in ms.
  @phase 5_000
  # An operation that takes longer hangs, in ms.
  @hangs 60_000
  # How long things may take to come to rest, in ms.
  @rest 30_000

  @doc "Runs it. True if nothing went wrong."
  def run(seconds, seed, only) do
    IO.puts("#{seconds} s, seed #{seed}, Python #{Python.info().python_version}")
    Book.open()
    Python.call!(:sys, "path.append", [__DIR__])
    Python.register(:stress_echo, &Function.identity/1)
    for module <- [:stress_work, :stress_state, :stress_reloaded], do: Python.import!(module)
    Python.eval!("__import__('gc').freeze()")
    before = Gauge.read()
    supervisor = start_pools()
    stop_at = now() + seconds * 1_000

    readings =
      work(
        %{clients: %{}, seed: seed, only: only, client: 0, stop_at: stop_at, hung: false},
        [],
        now()
      )

    at_rest()
    left = leftovers()
    Supervisor.stop(supervisor)
    back_to(before)
    report(before, readings, left)
  end

  defp start_pools do
    children = for {name, options} <- Check.pools(), do: {Python.Pool, [name: name] ++ options}

    {:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one)
    supervisor
  end

  ## Clients

  defp work(state, readings, look) do
    now = now()

    cond do
      now >= look ->
        hung = hung()
        state = if hung == [] or state.hung, do: state, else: give_up(state)
        work(state, [Gauge.read() | readings], now + 1_000)

      now < state.stop_at and map_size(state.clients) < @clients and Book.wrongs() == [] ->
        work(start_client(state), readings, look)

      map_size(state.clients) == 0 ->
        Enum.reverse(readings)

      now > state.stop_at + @hangs ->
        Book.wrong("#{map_size(state.clients)} clients did not end")
        Enum.reverse(readings)

      true ->
        receive do
          {:DOWN, _, _, pid, reason} when is_map_key(state.clients, pid) ->
            if reason != :normal, do: Book.wrong("a client ended: #{inspect(reason)}")
            work(%{state | clients: Map.delete(state.clients, pid)}, readings, look)
        after
          max(look - now, 0) -> work(state, readings, look)
        end
    end
  end

  defp start_client(%{client: number} = state) do
    {pid, _} = spawn_monitor(fn -> client(state, number) end)
    %{state | client: number + 1, clients: Map.put(state.clients, pid, number)}
  end

  defp client(%{seed: seed, only: only, stop_at: stop_at}, number) do
    :rand.seed(:exsss, {seed, number, 0})
    Book.count(:clients, :started)

    phases =
      for phase <- [:quick, :mixed, :hostile], into: %{}, do: {phase, Kinds.of(phase, only)}

    Enum.each(1..@life, fn _ ->
      if now() < stop_at, do: phases[phase()] |> Enum.random() |> operation()
    end)

    Book.done()
  end

  defp phase, do: Enum.at([:quick, :mixed, :hostile, :mixed], rem(div(now(), @phase), 4))

  defp operation(kind) do
    number = Book.number()
    Book.doing(kind, number)

    try do
      Book.count(kind, Kinds.run(kind, number))
    catch
      :throw, {:wrong, text} -> Book.wrong("#{kind} #{number}: #{text}")
    end

    case Process.info(self(), :messages) do
      {:messages, []} ->
        :ok

      {:messages, strays} ->
        Book.wrong(
          "#{kind} #{number}: strays #{inspect(strays, limit: 12, printable_limit: 200)}"
        )
    end
  end

  # The report follows; where Python hangs is lost by then.
  defp give_up(state) do
    for {name, _} <- Check.pools(), do: IO.puts("#{name}: #{inspect(Python.Pool.stats(name))}")

    case Python.call(:stress_work, :stacks, [], timeout: 5_000) do
      {:ok, stacks} -> IO.puts(stacks)
      {:error, error} -> IO.puts(Exception.message(error))
    end

    %{state | hung: true, stop_at: min(state.stop_at, now())}
  end

  ## The end

  defp hung do
    for {pid, kind, number, _} <- Book.stuck(@hangs) do
      stack = pid |> Process.info(:current_stacktrace) |> inspect(limit: 30)
      Book.wrong(number, "#{kind} #{number} hangs: #{stack}")
    end
  end

  defp at_rest do
    for {name, options} <- Check.pools() do
      wait("the pool #{inspect(name)} is at rest", fn ->
        stats = Python.Pool.stats(name)
        {stats.busy == 0 and stats.queued == 0 and stats.workers == options[:size], stats}
      end)
    end

    # Whoever is still interrupted must not meet others: these would be hit.
    for {name, _} <- Check.pools(), i <- 1..200 do
      case Python.call(:stress_work, :work, [i, 1_000], pool: name) do
        {:ok, ^i} -> :ok
        other -> Book.wrong("a call after the run: #{inspect(other)}")
      end
    end
  end

  defp leftovers do
    :erlang.garbage_collect()

    wait("objects and generators are gone", fn ->
      left = Python.call!(:stress_work, :leftovers)
      left = Map.merge(left, Python.call!(:stress_state, :leftovers))

      {left["objects"] == 0 and left["generators"] == 0 and left["left"] >= left["entered"] and
         left["finalized"] == left["made"], left}
    end)
  end

  defp back_to(before) do
    # The VM itself starts threads when it first needs them.
    wait("threads and processes are back to where they were", fn ->
      reading = Gauge.read()

      {(before.threads == nil or reading.threads <= before.threads) and
         reading.processes <= before.processes, Map.take(reading, [:threads, :processes])}
    end)
  end

  # Waits for what `look` says of itself, {as it should be, what it looked at}; returns the latter.
  defp wait(what, look, until \\ now() + @rest) do
    case look.() do
      {true, seen} ->
        seen

      {false, seen} ->
        if now() > until do
          Book.wrong("it did not come about that #{what}: #{inspect(seen)}")
          seen
        else
          Process.sleep(100)
          wait(what, look, until)
        end
    end
  end

  ## The report

  defp report(before, readings, left) do
    # A short run ends before everything has been used.
    allowance = if length(readings) < 120, do: 64, else: 16
    for text <- Gauge.growth(readings, allowance * 1_048_576), do: Book.wrong(text)
    {lateness, totals} = Enum.split_with(Book.totals(), &match?({:late, _}, &1))

    for {kind, outcomes} <- totals, kind != :number do
      shown =
        Enum.map_join(Enum.sort(outcomes), "  ", fn {outcome, count} -> "#{outcome} #{count}" end)

      IO.puts("  #{String.pad_trailing("#{kind}", 20)} #{shown}")
    end

    IO.puts("timeouts by their lateness in ms: #{lateness(lateness)}")
    IO.puts("BEAM memory in MB: #{Gauge.course(readings, :beam)}")
    IO.puts("RSS in MB:         #{Gauge.course(readings, :rss)}")
    now = Gauge.read()

    IO.puts(
      "threads: #{before.threads} before, #{max_of(readings, :threads)} at most, #{now.threads} after"
    )

    IO.puts(
      "processes: #{before.processes} before, #{max_of(readings, :processes)} at most, #{now.processes} after"
    )

    IO.puts("left in Python: #{inspect(left)}")

    missing = Kinds.names() -- Enum.map(totals, &elem(&1, 0))
    if missing != [], do: IO.puts("not done at all: #{inspect(missing)}")

    case Book.wrongs() do
      [] ->
        IO.puts("OK: #{Book.number() - 1} operations")
        true

      wrongs ->
        IO.puts("WRONG, #{length(wrongs)} times:")
        for text <- Enum.take(wrongs, 20), do: IO.puts("  " <> text)
        false
    end
  end

  defp lateness([]), do: "none"

  defp lateness([{:late, counts}]) do
    counts |> Enum.sort() |> Enum.map_join("  ", fn {ms, count} -> "≤#{ms}: #{count}" end)
  end

  defp max_of(readings, key), do: readings |> Enum.map(&(&1[key] || 0)) |> Enum.max(fn -> 0 end)

  defp now, do: System.monotonic_time(:millisecond)
end
