defmodule Stress.Operations do
  # What a caller may do, each checked at once. They return what came of it, for the books; an answer
  # that is not to be expected is thrown as {:wrong, text}.

  import Stress.Check

  @python :stress_work
  @small Stress.Small

  ## Calls

  def run(:echo, n), do: is(call(:echo, [n], any()), {:ok, n})

  def run(:eval, n) do
    is(Python.eval("n + one", %{n: n, one: 1}, any() ++ forever()), {:ok, n + 1})
  end

  def run(:work, n), do: is(call(:work, [n, random(20_000)], any()), {:ok, n})
  def run(:nap, n), do: is(call(:nap, [n, random(20) / 1_000], any()), {:ok, n})

  def run(:fail, n) do
    case call(:fail, [n], any()) do
      {:error, %Python.Error{type: "ValueError", frames: frames} = error} ->
        is({error.message, List.last(frames).function}, {"#{n}", "fail"}, :error)

      other ->
        wrong("the ValueError #{n}", other)
    end
  end

  def run(:data, n) do
    data = %{
      "n" => n,
      "text" => String.duplicate("ä", random(2_000)),
      "bytes" => :crypto.strong_rand_bytes(random(100_000)) <> <<255>>,
      "rows" => for(i <- 1..random(200), do: [i, i / 2, {i, nil}])
    }

    is(call(:echo, [data], any()), {:ok, data})
  end

  def run(:map, n) do
    numbers = Enum.to_list(n..(n + random(300)))
    result = Python.map(@python, :echo, Enum.map(numbers, &[&1]), any() ++ forever())
    is(result, {:ok, numbers})
  end

  def run(:map_fails, n) do
    at = random(100) - 1
    calls = for i <- n..(n + 99), do: [i, n + at]

    case Python.map(@python, :fail_at, calls, any() ++ forever()) do
      {:error, %Python.Error{type: "LookupError", notes: [note]}} ->
        is(note, "in the call with index #{at}", :error)

      other ->
        wrong("the LookupError of call #{at}", other)
    end
  end

  def run(:handle, n) do
    class = Enum.random([:Thing, :Plain])
    {:ok, thing} = ok(call(class, [n], any() ++ [return: :object]))
    is(Python.call(thing, :number, [], any() ++ forever()), {:ok, n})
  end

  def run(:locks, n), do: is(call(:locks, [n, random(20)], any()), {:ok, n})

  ## Callbacks

  def run(:callback, n) do
    # Into the pool that it comes from: two pools can wait for each other.
    pool = any()

    back = fn number ->
      ^number = Python.call!(@python, :echo, [number], pool ++ forever())
      number + 1
    end

    is(call(:back, [n, back], pool), {:ok, n + 1})
  end

  def run(:callback_given_up, n) do
    pool = any()

    # A function that runs goes on when nobody waits for it any more, and so does what it calls then.
    back = fn number ->
      {:error, _} = call(:wait, [number], pool ++ [timeout: 200])
      number
    end

    timeout = random(10)

    if random(2) == 1 do
      in_time(timeout, fn -> call(:back, [n, back], pool ++ [timeout: timeout]) end)
    else
      killed(fn -> call(:back, [n, back], pool) end)
    end
  end

  ## Streams

  def run(:stream, n) do
    count = random(3_000)
    is(Enum.to_list(items(:items, [n, count])), for(i <- 0..(count - 1), do: {n, i}))
  end

  def run(:stream_halted, n) do
    count = random(100)
    is(n |> endless() |> Enum.take(count), for(i <- 0..(count - 1), do: {n, i}), :halted)
  end

  def run(:stream_fails, n) do
    count = random(500) - 1
    number = "#{n}"

    try do
      Enum.reduce(items(:items_that_fail, [n, count]), 0, fn {^n, i}, i -> i + 1 end)
    rescue
      error in Python.Error -> is(error.message, number, :error)
    else
      taken -> wrong("the ValueError #{n}", taken)
    end
  end

  def run(:stream_killed, n) do
    killed(fn -> n |> endless() |> Enum.each(fn {^n, _} -> :ok end) end)
  end

  def run(:stream_timeout, n) do
    timeout = random(10)
    stream = Python.stream(@python, :items, [n, 100, 0.5], any() ++ [timeout: timeout])

    in_time(timeout, fn ->
      try do
        {:ok, Enum.to_list(stream)}
      rescue
        error -> {:error, error}
      end
    end)
  end

  ## Async

  def run(:async, n) do
    asyncs = for i <- 1..random(10), do: {n * 100 + i, async(:echo, [n * 100 + i])}
    is(for({_, async} <- asyncs, do: Python.await(async)), for({i, _} <- asyncs, do: {:ok, i}))

    place = any() ++ forever()
    name = "made_#{n}"
    is(Python.await(Python.exec_async("#{name} = #{n}", place)), :ok)
    is(Python.await(Python.eval_async("globals().pop(name)", %{name: name}, place)), {:ok, n})
  end

  def run(:async_cancelled, n) do
    async = async(Enum.random([:echo, :wait, :guarded]), [n])
    pause(3)
    :ok = Python.cancel(async)
    if random(2) == 1, do: :ok = Python.cancel(async)
    :cancelled
  end

  def run(:async_owner_killed, n) do
    killed(fn ->
      async = async(Enum.random([:wait, :guarded, :spin]), [n])
      if random(2) == 1, do: Python.await(async, :infinity), else: Process.sleep(:infinity)
    end)
  end

  def run(:async_timeout, n) do
    timeout = random(20)
    limited = Python.call_async(@python, :wait, [n], any() ++ [timeout: timeout])
    in_time(timeout, fn -> Python.await(limited, :infinity) end)
    unlimited = async(:wait, [n])
    in_time(timeout, fn -> Python.await(unlimited, timeout) end)
  end

  def run(:async_not_owner, n) do
    async = async(:echo, [n])
    me = self()

    spawn(fn ->
      send(me, {n, catch_error(fn -> Python.await(async, 100) end)})
    end)

    receive do
      {^n, %ArgumentError{}} -> :ok
      {^n, other} -> wrong("an ArgumentError", other)
    end

    is(Python.await(async), {:ok, n})
    is(catch_error(fn -> Python.await(async) end).__struct__, ArgumentError)
  end

  ## Deadlines

  def run(:timeout_spin, n), do: times_out(:spin, [n])
  def run(:timeout_guarded, n), do: times_out(:guarded, [n])
  def run(:timeout_stubborn, n), do: times_out(:stubborn, [n])
  def run(:timeout_locks, n), do: times_out(:locks, [n, 1_000])
  def run(:timeout_in_c, n), do: times_out(:hold, [n, 3_000_000])
  def run(:timeout_blocked, n), do: times_out(:nap, [n, 0.3])

  def run(:timeout_race, n) do
    timeout = random(6) - 1

    case call(:nap, [n, timeout / 1_000], any() ++ [timeout: timeout]) do
      {:ok, ^n} -> :ok
      {:error, %Python.TimeoutError{}} -> :timeout
      other -> wrong("#{n} or a timeout", other)
    end
  end

  ## Callers that die, too much work

  def run(:killed, n) do
    killed(fn -> call(Enum.random([:wait, :guarded, :spin, :stubborn, :echo]), [n], any()) end)
  end

  def run(:overload, n) do
    asyncs =
      for i <- 1..12 do
        try do
          {i, Python.call_async(@python, :nap, [n + i, 0.001], pool: @small)}
        rescue
          Python.OverloadedError -> :overloaded
        end
      end

    accepted = for {i, async} <- asyncs, do: {i, Python.await(async)}
    is(accepted, for({i, _} <- accepted, do: {i, {:ok, n + i}}))
    if :overloaded in asyncs, do: :overloaded, else: :ok
  end

  defp items(name, args) do
    # Not one by one: each chunk waits its turn behind those of all others.
    limits = [max_chunk: 50 + random(500), max_wait: random(5), prefetch: random(3) - 1]
    Python.stream(@python, name, args, any() ++ forever() ++ limits)
  end

  defp endless(n), do: items(:items, [n, 1_000_000_000])

  defp times_out(name, args) do
    timeout = random(20)
    in_time(timeout, fn -> call(name, args, any() ++ [timeout: timeout]) end)
  end

  defp catch_error(function) do
    function.()
  rescue
    error -> error
  end
end
