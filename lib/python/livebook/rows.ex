defmodule Python.Livebook.Rows do
  @moduledoc false

  # The rows of a data frame, fetched as they are asked for. `Kino.DataTable` slices them.

  alias Python.Livebook

  @enforce_keys [:object, :count]
  defstruct [:object, :count]

  @type t :: %__MODULE__{object: Python.Object.t(), count: non_neg_integer}

  @chunk 500

  @doc false
  def fetch(%__MODULE__{object: object}, start, count) do
    Livebook.table!(:rows, [object, start, count])
  end

  defimpl Enumerable do
    alias Python.Livebook.Rows

    def count(rows), do: {:ok, rows.count}
    def member?(_rows, _row), do: {:error, __MODULE__}

    def slice(rows) do
      {:ok, rows.count,
       fn start, length, step ->
         rows |> Rows.fetch(start, length * step) |> Enum.take_every(step) |> Enum.take(length)
       end}
    end

    def reduce(rows, acc, fun) do
      chunk = Rows.chunk_size()

      0
      |> Stream.iterate(&(&1 + chunk))
      |> Stream.take_while(&(&1 < rows.count))
      |> Stream.flat_map(&Rows.fetch(rows, &1, chunk))
      |> Enumerable.reduce(acc, fun)
    end
  end

  @doc false
  def chunk_size, do: @chunk
end
