defmodule Stress.Book do
  # What has been done, how it went, and what went wrong.

  def open do
    :ets.new(__MODULE__, [:named_table, :public, write_concurrency: true])
    :ets.new(__MODULE__.Doing, [:named_table, :public, write_concurrency: true])
    :ets.new(__MODULE__.Wrong, [:named_table, :public, :ordered_set])
  end

  @doc "Numbers for requests."
  def number, do: :ets.update_counter(__MODULE__, :number, 1, {:number, 0})

  def count(kind, outcome) do
    :ets.update_counter(__MODULE__, {kind, outcome}, 1, {{kind, outcome}, 0})
  end

  @doc "How late a caller was told of its deadline, in ms."
  def late(ms), do: count(:late, bucket(ms))

  defp bucket(ms),
    do: Enum.find([5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000], 99_999, &(ms <= &1))

  def doing(kind, number) do
    :ets.insert(__MODULE__.Doing, {self(), kind, number, System.monotonic_time(:millisecond)})
  end

  def done, do: :ets.delete(__MODULE__.Doing, self())

  @doc "What has been going on for longer than so many ms."
  def stuck(ms) do
    before = System.monotonic_time(:millisecond) - ms

    :ets.select(__MODULE__.Doing, [{{:"$1", :"$2", :"$3", :"$4"}, [{:<, :"$4", before}], [:"$_"]}])
  end

  @doc "Notes what went wrong, once for each key."
  def wrong(key \\ System.unique_integer([:monotonic]), text) do
    :ets.insert(__MODULE__.Wrong, {key, text})
  end

  def wrongs, do: for({_, text} <- :ets.tab2list(__MODULE__.Wrong), do: text)

  @doc "`{kind, [{outcome, count}]}`"
  def totals do
    entries =
      for {{kind, outcome}, count} <- :ets.tab2list(__MODULE__), do: {kind, {outcome, count}}

    entries |> Enum.group_by(&elem(&1, 0), &elem(&1, 1)) |> Enum.sort()
  end
end
