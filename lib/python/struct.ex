defmodule Python.Struct do
  @moduledoc false

  # Puts in place of structs what Python.Encoder says. The native code converts terms itself and
  # asks for this only when it has met a struct that it does not know: then, and for requests whose
  # answer nobody waits for yet, the operation is walked through here.

  @native [
    Date,
    DateTime,
    Decimal,
    MapSet,
    NaiveDateTime,
    Python.Array,
    Python.Buffer,
    Python.Bytes,
    Python.Function,
    Python.Iterator,
    Python.Object,
    Python.Table.Stream,
    Range,
    Time
  ]

  # An implementation that gives a struct of its own kind would go round for ever, by itself or with
  # others in between.
  @turns 100

  # Below this the native code refuses whatever it is, with the path to it. An operation has a few
  # levels of its own.
  @depth 1_010

  @doc "The structs that the native code converts itself."
  @spec native() :: [module]
  def native, do: @native

  @doc "The term with all structs encoded for which there is an implementation."
  @spec encode(term) :: term
  def encode(term), do: walk(term, 0)

  defp walk(term, @depth), do: term
  defp walk(list, depth) when is_list(list), do: walk_list(list, depth + 1)

  defp walk(tuple, depth) when is_tuple(tuple) do
    tuple |> Tuple.to_list() |> walk_list(depth + 1) |> List.to_tuple()
  end

  defp walk(%_{} = struct, depth), do: walk_struct(struct, depth, @turns)

  defp walk(map, depth) when is_map(map) do
    encoded = Map.new(map, fn {key, value} -> {walk(key, depth + 1), walk(value, depth + 1)} end)
    all_kept(map_size(encoded), map_size(map), "keys of a map")
    encoded
  end

  defp walk(other, _depth), do: other

  defp walk_struct(%MapSet{map: elements} = set, depth, _turns) when is_map(elements) do
    encoded = Map.new(elements, fn {element, value} -> {walk(element, depth + 1), value} end)
    all_kept(map_size(encoded), map_size(elements), "elements of a MapSet")
    %{set | map: encoded}
  end

  # It was on another node, and is back.
  defp walk_struct(%Python.Object{home: {_home, node, id}} = object, _depth, _turns)
       when node == node() do
    case Python.Remote.Handles.fetch(id) do
      {:ok, %Python.Object{} = here, _holder} -> here
      _ -> object
    end
  end

  defp walk_struct(%module{} = struct, _depth, _turns) when module in @native, do: struct

  defp walk_struct(%_{} = struct, _depth, 0) do
    raise ArgumentError,
          "expected Python.Encoder.encode/1 to come to an end, got: a struct #{@turns} times in a row, the last " <>
            "one #{inspect(struct, limit: 5)}"
  end

  defp walk_struct(%_{} = struct, depth, turns) do
    case Python.Encoder.impl_for(struct) do
      nil -> struct
      implementation -> struct |> implementation.encode() |> walk_struct(depth, turns - 1)
    end
  end

  defp walk_struct(term, depth, _turns), do: walk(term, depth)

  defp all_kept(count, count, _what), do: :ok

  defp all_kept(_fewer, _count, what) do
    raise ArgumentError,
          "expected Python.Encoder to return different terms for different #{what}, got: the same term for two, and " <>
            "one would be lost"
  end

  # Improper lists are the native code's to refuse, with the path to them.
  defp walk_list([head | tail], depth), do: [walk(head, depth) | walk_list(tail, depth)]
  defp walk_list([], _depth), do: []
  defp walk_list(tail, depth), do: walk(tail, depth)
end
