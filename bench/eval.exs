Code.require_file("support/suite.exs", __DIR__)

defmodule Bench.Eval do
  @moduledoc false

  # Expressions and statements. Their compiled code is cached, so what is timed is running it.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.{Floors, Measure}

  def run do
    Measure.check({:ok, 2}, fn -> Python.eval("1+1") end)
    Measure.check({:ok, 3}, fn -> Python.eval("a+b", %{a: 1, b: 2}) end)
    Measure.check(:ok, fn -> Python.exec("bench_a = 1") end)

    times =
      Measure.rounds(
        size(21, 2),
        for {name, run} <- [
              dirty: &Floors.dirty/0,
              plain: fn -> Python.eval("1+1") end,
              vars: fn -> Python.eval("a+b", %{a: 1, b: 2}) end,
              exec: fn -> Python.exec("bench_a = 1") end
            ] do
          {name, fn -> Measure.batches(run, size(20, 3), 200) end}
        end
      )

    for {name, work, target} <- [
          {:plain, "eval 1+1", {:ratio, 2.2}},
          {:vars, "eval a+b with two variables", nil},
          {:exec, "exec of an assignment", nil}
        ] do
      line(
        work: work,
        unit: "µs",
        figures: times[name],
        floors: times.dirty,
        floor_name: "empty dirty-I/O NIF",
        target: target
      )
    end
  end
end

Bench.Suite.run(Bench.Eval)
