defmodule Bench.Samples do
  @moduledoc false

  # Values that are sent there and back.

  def ints, do: Enum.to_list(1..100_000)

  def string_keys, do: Map.new(1..10_000, &{"key #{&1}", &1})

  @doc "Of all types, nested, about 1 MB as JSON."
  def document(none \\ nil) do
    for id <- 1..7_500 do
      %{
        "id" => id,
        "name" => "name of #{id}",
        "score" => id * 1.5,
        "active" => rem(id, 2) == 0,
        "tags" => ["red", "green", "blue"],
        "at" => %{"x" => id, "y" => [id, id + 1, none]}
      }
    end
  end

  @doc "A megabyte that is not UTF-8, so that it is bytes in Python."
  def megabyte, do: <<0xFF>> <> :binary.copy(<<0, 1, 2, 3>>, 250_000)
end
