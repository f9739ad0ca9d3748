defmodule Stress.Check do
  # What the operations share: the pools, calls, and how an answer is held against what was expected.

  alias Stress.Book

  @main Stress.Main
  @wide Stress.Wide
  @small Stress.Small
  @python :stress_work

  def pools, do: [{@main, size: 4}, {@wide, size: 24}, {@small, size: 1, max_queue: 4}]

  def any, do: [pool: Enum.random([@main, @main, @wide])]

  def call(name, args, options) do
    Python.call(@python, name, args, Keyword.merge(forever(), options))
  end

  # What is not meant to time out would be reported as hanging, with what it was doing. Calls without a
  # deadline take another way.
  def forever, do: [timeout: Enum.random([:infinity, 86_400_000])]

  def async(name, args), do: Python.call_async(@python, name, args, any() ++ forever())

  def random(most), do: :rand.uniform(most)

  def pause(most), do: Process.sleep(random(most + 1) - 1)

  @doc "Notes how late a timeout comes. What runs has to time out, or to have been quick."
  def in_time(timeout, function) do
    started = System.monotonic_time(:millisecond)
    result = function.()
    Book.late(System.monotonic_time(:millisecond) - started - timeout)

    case result do
      {:error, %Python.TimeoutError{}} -> :timeout
      {:ok, _} -> :ok
      other -> wrong("a timeout", other)
    end
  end

  @doc "Kills a process some time after it began."
  def killed(function) do
    {pid, monitor} = spawn_monitor(function)
    pause(10)
    Process.exit(pid, :kill)

    receive do
      {:DOWN, ^monitor, _, _, :killed} -> :killed
      {:DOWN, ^monitor, _, _, :normal} -> :ok
      {:DOWN, ^monitor, _, _, :noproc} -> :ok
      {:DOWN, ^monitor, _, _, reason} -> wrong("a process that is killed", reason)
    end
  end

  @doc "Drops the answers of calls that nobody waits for any more."
  def forget_answers do
    receive do
      {_reference, {:error, _}} -> forget_answers()
    after
      0 -> :ok
    end
  end

  def is(given, expected, outcome \\ :ok)
  def is(same, same, outcome), do: outcome
  def is(given, expected, _outcome), do: wrong(expected, given)

  def ok({:ok, _} = result), do: result
  def ok(other), do: wrong("{:ok, _}", other)

  def wrong(expected, given) do
    throw({:wrong, "expected #{shown(expected)}, got #{shown(given)}"})
  end

  defp shown(text) when is_binary(text), do: text
  defp shown(term), do: inspect(term, limit: 12, printable_limit: 200)
end
