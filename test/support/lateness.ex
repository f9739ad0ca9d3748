defmodule Python.Lateness do
  @moduledoc false

  # How late callers are, by the measure of a machine that has other programs to run.

  import ExUnit.Assertions
  import Python.TestCase, only: [messages: 0, timed: 1]

  alias Python.{Pool, TimeoutError}

  @doc "What a caller may be late just now: some, and what timers are."
  def slack, do: allowed(for _ <- 1..10, do: lateness_of_timer())

  defp allowed(latenesses), do: 500 + 10 * Enum.max(latenesses)

  defp lateness_of_timer, do: elem(timed(fn -> Process.sleep(5) end), 0) - 5

  @doc "The ms by which a call is late that ends with its timeout, and the error."
  def late(timeout, fun) do
    {ms, result} = timed(fun)
    assert {:error, %TimeoutError{timeout: ^timeout} = error} = result
    assert ms >= timeout
    {ms - timeout, error}
  end

  @doc "Sees that a call ends with its timeout, and not much later. Returns the error."
  def assert_times_out(timeout, fun), do: soon(fn -> late(timeout, fun) end)

  @doc "Sees that a pool of one worker, in whose way whatever was left behind would be, is free."
  def assert_works_at_once(pool) do
    soon(fn ->
      call = fn -> Python.call(:math, :sqrt, [16], pool: pool, timeout: 20_000) end
      {_ms, {:ok, 4.0}} = timed(call)
    end)

    assert messages() == []
    assert Pool.stats(pool).workers == 1
  end

  # What waits for Python is later than timers are meanwhile; what waits for the processor is not.
  defp soon(fun) do
    timers = Task.async(fn -> watch_timers([lateness_of_timer()]) end)
    {late, result} = fun.()
    send(timers.pid, :stop)
    allowed = allowed(Task.await(timers, :infinity))
    assert late < allowed, "#{round(late)} ms late, where #{round(allowed)} are allowed"
    result
  end

  defp watch_timers(latenesses) do
    receive do
      :stop -> [lateness_of_timer() | latenesses]
    after
      0 -> watch_timers([lateness_of_timer() | latenesses])
    end
  end
end
