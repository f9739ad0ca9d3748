Code.require_file("support/suite.exs", __DIR__)

defmodule Bench.Errors do
  @moduledoc false

  # An exception that Python raises, until its caller has it: with the text that Python prints, source lines and all.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.Measure

  @call "call math.sqrt"

  def run do
    message = "division by zero"
    Measure.check(message, fn -> fail(:fail).message end)
    Measure.check(message, fn -> fail(:fail_again).cause.message end)

    Measure.check(["fail", "divide"], fn ->
      for frame <- fail(:fail).frames, do: frame.function
    end)

    times =
      Measure.rounds(
        size(15, 2),
        for {name, run} <- [
              call: fn -> {:ok, 4.0} = Python.call(:math, :sqrt, [16]) end,
              fail: fn -> fail(:fail) end,
              cause: fn -> fail(:fail_again) end,
              native: fn -> {:error, _} = Python.call(:math, :sqrt, [-1]) end,
              expression: fn -> {:error, _} = Python.eval("1 / 0") end
            ] do
          {name, fn -> Measure.batches(run, size(20, 3), 100) end}
        end
      )

    for {name, work, target} <- [
          {:fail, "an exception raised in a module and returned", {:at_most, 60}},
          {:cause, "an exception with a cause", nil},
          {:native, "an exception of a C function", nil},
          {:expression, "an exception of an expression", nil}
        ] do
      line(
        work: work,
        unit: "µs",
        figures: times[name],
        floors: times.call,
        floor_name: @call,
        target: target
      )
    end
  end

  defp fail(function) do
    {:error, error} = Python.call(:bench_work, function, [0])
    error
  end
end

Bench.Suite.run(Bench.Errors)
