defmodule Python.Stream do
  @moduledoc false

  # Iterators as lazy enumerables: pulled in chunks, one request each, so that a stream that nobody
  # reads from holds no worker.

  alias Python.{Operation, Options, Request}

  # A chunk ends at so many items, or so many ms after it was asked for: a slow generator gives each
  # item as it is made, a fast one thousands per crossing.
  @max_items 4_096
  @max_wait 5

  @doc "The items of what `operation` (an `iterate` or `iterate_eval`) gives."
  @spec new(tuple, Options.t()) :: Enumerable.t()
  def new(operation, options) do
    Stream.resource(
      fn -> {:more, open!(operation, options)} end,
      &next(&1, options),
      fn state -> close(elem(state, tuple_size(state) - 1), options) end
    )
  end

  @doc "All items at once, for callers who want a list or an error."
  @spec to_list(tuple, Options.t()) :: {:ok, list} | {:error, Exception.t()}
  def to_list(operation, options) do
    with {:ok, iterator} <- open(operation, options) do
      collect(iterator, options, [])
    end
  end

  defp open(operation, options), do: Request.run(operation, options)

  defp open!(operation, options) do
    case open(operation, options) do
      {:ok, iterator} -> iterator
      {:error, error} -> Python.Error.raise!(error)
    end
  end

  defp next({:done, _} = state, _options), do: {:halt, state}
  defp next({:failed, error, _}, _options), do: Python.Error.raise!(error)

  defp next({:more, iterator}, options) do
    case chunk(iterator, options) do
      {:more, items} -> {items, {:more, iterator}}
      {:done, items} -> {items, {:done, iterator}}
      # The items before the exception come first.
      {:failed, [], error} -> Python.Error.raise!(error)
      {:failed, items, error} -> {items, {:failed, error, iterator}}
    end
  end

  defp collect(iterator, options, chunks) do
    case chunk(iterator, options) do
      {:more, items} -> collect(iterator, options, [items | chunks])
      {:done, items} -> {:ok, [items | chunks] |> Enum.reverse() |> Enum.concat()}
      {:failed, _items, error} -> {:error, error}
    end
  end

  defp chunk(iterator, options) do
    case Request.run(Operation.next(iterator, @max_items, @max_wait), options) do
      {:ok, {:failed, items, reason}} -> {:failed, items, Request.error(reason)}
      {:ok, {state, items}} -> {state, items}
      {:error, error} -> {:failed, [], error}
    end
  end

  # What comes of the closing concerns nobody any more.
  defp close(iterator, options), do: Request.run(Operation.close(iterator), options)
end
