defmodule Python.Stuck do
  @moduledoc false

  # Calls that were given up and are still inside Python, in a C function that nobody can interrupt
  # (native/erlang_python_nif/src/pool/stuck.rs): where they are, and what is said of them.

  @typedoc "A call that is stuck: where it is (`nil` in no Python code), and for how many ms nobody has waited for it."
  @type call :: %{
          file: String.t() | nil,
          line: pos_integer | nil,
          function: String.t() | nil,
          ms: non_neg_integer
        }

  # From how many on the log is told, and then each time that they have doubled.
  @many 10

  @doc "The calls of an engine's pool or context that are stuck."
  @spec calls(module, Python.Engine.pool()) :: [call]
  def calls(engine, native) do
    for {location, ms} <- engine.stuck(native) do
      {file, line, function} = with :none <- location, do: {nil, nil, nil}
      %{file: file, line: line, function: function, ms: ms}
    end
  end

  @doc "Those of all pools, each with its `:pool`."
  @spec all() :: [map]
  def all do
    for pool <- Python.Pool.names(),
        {engine, native, _timeout} <- [Python.Pool.lookup(pool)],
        call <- calls(engine, native),
        do: Map.put(call, :pool, pool)
  end

  @doc "Warns if many are stuck. `warned`: how many were when it did so last; what it is to be given next."
  @spec warn(
          atom,
          {module, Python.Engine.pool()},
          pos_integer | :infinity,
          non_neg_integer
        ) :: non_neg_integer
  def warn(pool, {engine, native}, most, warned) do
    %{stuck: stuck} = engine.stats(native)

    cond do
      stuck >= threshold(most, warned) ->
        :logger.warning(warning(pool, stuck, most, calls(engine, native)))
        stuck

      stuck < div(warned, 2) ->
        stuck

      true ->
        warned
    end
  end

  defp threshold(most, 0), do: min(@many, most)
  defp threshold(most, warned) when most == :infinity or warned < most, do: min(2 * warned, most)
  defp threshold(_most, warned), do: warned + 1

  defp warning(pool, stuck, most, calls) do
    "#{stuck} calls of the pool #{inspect(pool)} were given up and are still inside Python#{places(calls)}. " <>
      "Each keeps a thread. #{limit(most)}Give the code that waits a timeout of its own, or " <>
      "let erlang.on_interrupt end it."
  end

  defp limit(:infinity), do: ""
  defp limit(most), do: "At #{most} the pool refuses further calls (:max_stuck). "

  @doc "Where most of them are, as a part of a sentence."
  @spec places([call]) :: String.t()
  def places(calls) do
    calls
    |> Enum.frequencies_by(&Map.take(&1, [:file, :line, :function]))
    |> Enum.sort_by(fn {_place, count} -> -count end)
    |> Enum.take(3)
    |> Enum.map_join(", ", fn {place, count} -> "#{count} #{place(place)}" end)
    |> case do
      "" -> ""
      places -> " (#{places})"
    end
  end

  defp place(%{file: nil}), do: "in C code"

  defp place(%{file: file, line: line, function: function}),
    do: "at #{file}:#{line} in #{function}"
end
