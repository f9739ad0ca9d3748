defmodule Bench.Samples do
  @moduledoc false

  # Values that cross.

  def all, do: [ints: ints(), map: string_keys(), document: document()]

  def ints, do: Enum.to_list(1..100_000)

  def string_keys, do: Map.new(1..10_000, &{"key #{&1}", &1})

  # Of all types, nested, about 1 MB as JSON.
  def document do
    for id <- 1..7_500 do
      %{
        "id" => id,
        "name" => "name of #{id}",
        "score" => id * 1.5,
        "active" => rem(id, 2) == 0,
        "tags" => ["red", "green", "blue"],
        "at" => %{"x" => id, "y" => [id, id + 1, nil]}
      }
    end
  end
end
