Code.require_file("support/suite.exs", __DIR__)

defmodule Bench.Handles do
  @moduledoc false

  # Objects that stay in Python: using one, and making and dropping one.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.{Floors, Measure}

  def run do
    list = Python.to_object!([1, 2, 3])
    operations = operations(list)
    for {_name, _work, expected, run} <- operations, do: Measure.check(expected, run)

    subjects = [
      {:dirty, &Floors.dirty/0} | for({name, _, _, run} <- operations, do: {name, run})
    ]

    times =
      Measure.rounds(
        size(15, 2),
        for {name, run} <- subjects do
          {name, fn -> Measure.batches(run, size(20, 3), 100) end}
        end
      )

    for {name, work, _, _} <- operations do
      line(
        work: work,
        unit: "µs",
        figures: times[name],
        floors: times.dirty,
        floor_name: "empty dirty-I/O NIF"
      )
    end
  end

  defp operations(list) do
    [
      {:method, "call of a method of a handle", {:ok, 1},
       fn -> Python.call(list, :count, [2]) end},
      {:getitem, "item of a handle", {:ok, 3}, fn -> Python.getitem(list, 2) end},
      {:len, "length of a handle", {:ok, 3}, fn -> Python.len(list) end},
      {:make, "a handle made and dropped", :ok, fn -> make() end}
    ]
  end

  defp make do
    %Python.Object{} = Python.to_object!([])
    :ok
  end
end

Bench.Suite.run(Bench.Handles)
