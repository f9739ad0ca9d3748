Code.require_file("support/suite.exs", __DIR__)
Code.require_file("support/far.exs", __DIR__)

defmodule Bench.Nodes do
  @moduledoc false

  # Calls of another node on the same machine, against Erlang's own way to call it, and against this node.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.{Far, Measure}

  @items 200_000

  def run do
    if Far.possible?() do
      far = Far.start(Keyword.take(Application.get_all_env(:erlang_python), [:python_path]))
      lines = calls(far.node) ++ streams(far.node)
      Far.stop(far)
      lines
    else
      IO.puts(
        "  left out: run it with ELIXIR_ERL_OPTIONS=\"-start_epmd false -erl_epmd_port 43210\""
      )

      []
    end
  end

  defp calls(node) do
    there = [pool: {Python.Pool, node}]
    call = fn -> Python.call(:math, :sqrt, [16], there) end
    erpc = fn -> :erpc.call(node, Python, :call, [:math, :sqrt, [16]]) end
    Measure.check({:ok, 4.0}, call)
    Measure.check({:ok, 4.0}, erpc)

    times =
      Measure.rounds(size(21, 2),
        call: fn -> Measure.batches(call, size(20, 2), 50) end,
        erpc: fn -> Measure.batches(erpc, size(20, 2), 50) end
      )

    [
      line(
        work: "call math.sqrt on another node",
        unit: "µs",
        figures: times.call,
        floors: times.erpc,
        floor_name: ":erpc.call of the same",
        target: {:ratio, 1.5}
      )
    ]
  end

  defp streams(node) do
    numbers = fn options -> Enum.count(Python.stream(:builtins, :range, [@items], options)) end
    there = fn -> numbers.(pool: {Python.Pool, node}) end
    here = fn -> numbers.([]) end
    Measure.check(@items, there)

    times =
      Measure.rounds(size(11, 1),
        there: fn -> Measure.once(there) end,
        here: fn -> Measure.once(here) end
      )

    [
      line(
        work: "stream of 200,000 ints from another node",
        unit: "ms",
        figures: times.there,
        floors: times.here,
        floor_name: "the same from this node",
        target: {:ratio, 4}
      )
    ]
  end
end

Bench.Suite.run(Bench.Nodes)
