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
    Python.Buffer,
    Python.Bytes,
    Python.Object,
    Range,
    Time
  ]

  # An implementation that gives a struct of its own kind would go round for ever.
  @depth 100

  @doc "The term with all structs encoded for which there is an implementation."
  @spec encode(term) :: term
  def encode(term), do: walk(term, @depth)

  defp walk(list, depth) when is_list(list), do: walk_list(list, depth)

  defp walk(tuple, depth) when is_tuple(tuple) do
    tuple |> Tuple.to_list() |> walk_list(depth) |> List.to_tuple()
  end

  defp walk(%MapSet{} = set, depth), do: MapSet.new(set, &walk(&1, depth))
  defp walk(%module{} = struct, _depth) when module in @native, do: struct

  defp walk(%_{} = struct, 0) do
    raise ArgumentError,
          "Python.Encoder does not come to an end: encoding gave a struct #{@depth} times, " <>
            "the last one #{inspect(struct, limit: 5)}"
  end

  defp walk(%_{} = struct, depth) do
    case Python.Encoder.impl_for(struct) do
      nil -> struct
      implementation -> struct |> implementation.encode() |> walk(depth - 1)
    end
  end

  defp walk(map, depth) when is_map(map) do
    Map.new(map, fn {key, value} -> {walk(key, depth), walk(value, depth)} end)
  end

  defp walk(other, _depth), do: other

  # Improper lists are the native code's to refuse, with the path to them.
  defp walk_list([head | tail], depth), do: [walk(head, depth) | walk_list(tail, depth)]
  defp walk_list([], _depth), do: []
  defp walk_list(tail, depth), do: walk(tail, depth)
end
