defmodule Stress.State do
  # What one call leaves behind, and what the next must not find.

  import Stress.Check

  @python :stress_state

  def run(:stream_finalizers, n) do
    count = random(100)
    kind = Enum.random(["plain", "slow", "asking"])
    stream = Python.stream(@python, :items, [n, count, kind], any() ++ limits())
    expected = for i <- 0..(count - 1), do: "#{n} #{i}"

    case random(4) do
      1 ->
        timeout = random(5)
        stream = Python.stream(@python, :items, [n, 1_000, kind], any() ++ [timeout: timeout])

        in_time(timeout, fn ->
          try do
            {:ok, Enum.to_list(stream)}
          rescue
            error -> {:error, error}
          end
        end)

      2 ->
        taken = random(count)
        is(Enum.take(stream, taken), Enum.take(expected, taken), :halted)

      3 ->
        killed(fn -> Stream.run(Python.stream(@python, :items, [n, 10_000, kind], any())) end)

      4 ->
        is(Enum.to_list(stream), expected)
    end
  end

  # In a context, both are on the same thread.
  def run(:traced, n) do
    {:ok, context} = ok(Python.Context.start_link())
    place = Enum.random([any(), [context: context]])
    options = [timeout: 3] ++ place

    case Python.call(:time, :sleep, [0.02], options) do
      {:error, %Python.TimeoutError{}} -> :timeout
      {:ok, nil} -> :ok
      other -> wrong("a timeout", other)
    end

    for name <- [:traced, :profiled] do
      is(Python.call(@python, name, [n], forever() ++ place), {:ok, n})
    end

    Python.Context.stop(context)
    :ok
  end

  def run(:reload, n) do
    if random(4) == 1 do
      is(Python.call(@python, :reload, [n], any() ++ forever()), {:ok, n}, :reloaded)
    else
      is(Python.call(:stress_reloaded, :echo, [n], any() ++ forever()), {:ok, n})
    end
  end

  # As an upgrade does. What still runs in the code before it would be killed by a purge.
  def run(:native_reload, n) do
    loaded = :code.soft_purge(:erlang_python) and :code.load_file(:erlang_python)

    outcome =
      case loaded do
        {:module, :erlang_python} -> :reloaded
        # Another process loads it, or old code is still at work.
        {:error, :not_purged} -> :ok
        false -> :ok
        other -> wrong("the module loaded again", other)
      end

    is(call_echo(n), {:ok, n}, outcome)
  end

  def run(:variables, n) do
    place = any() ++ forever()
    is(Python.call(@python, :leave, [n], place), {:ok, n})
    is(Python.call(@python, :seen, [], place), {:ok, {nil, 28}})

    # A call that Python makes, by way of Elixir, starts clean too.
    nested = fn _ -> Python.call!(@python, :seen, [], place) end

    is(
      Python.eval("(state.leave(n), f(n))", %{state: module(), n: n, f: nested}, place),
      {:ok, {n, {nil, 28}}}
    )
  end

  def run(:with, n) do
    place = any()
    manager = Python.call!(@python, :managed, [n], [return: :object] ++ place ++ forever())
    seen = fn -> Python.call!(@python, :seen, [], place ++ forever()) end

    outcome =
      case random(4) do
        1 ->
          times = random(5)
          all = Python.with(manager, fn ^n -> for(_ <- 1..times, do: seen.()) end, forever())
          is(all, List.duplicate({n, 28}, times))

        2 ->
          try do
            Python.with(manager, fn ^n -> raise "#{elem(seen.(), 0)}" end, forever())
            wrong("the error #{n}", :nothing)
          rescue
            error in RuntimeError -> is(error.message, "#{n}", :error)
          end

        3 ->
          killed(fn -> Python.with(manager, fn _ -> Process.sleep(:infinity) end, forever()) end)

        4 ->
          timeout = random(20)

          in_time(timeout, fn ->
            try do
              Python.with(manager, fn _ -> Python.call(:stress_work, :wait, [n]) end,
                timeout: timeout
              )
            rescue
              error in Python.TimeoutError -> {:error, error}
            end
          end)
      end

    is(seen.(), {nil, 28}, outcome)
  end

  def run(:context_objects, n) do
    {:ok, context} = ok(Python.Context.start_link())
    code = Python.getattr!(module(), :IN_A_CONTEXT)
    is(Python.exec(code, [context: context] ++ forever()), :ok)
    is(Python.call(:__main__, :helper, [], [context: context] ++ forever()), {:ok, "Temporary"})
    if random(2) == 1, do: Python.call_async(:stress_work, :wait, [n], context: context)
    :ok = Python.Context.stop(context)
    forget_answers()
    :stopped
  end

  defp call_echo(n), do: Python.call(:stress_work, :echo, [n], any() ++ forever())

  defp module, do: Python.import!(@python)

  defp limits do
    forever() ++ [max_chunk: 20 + random(100), max_wait: random(3), prefetch: random(3) - 1]
  end
end
