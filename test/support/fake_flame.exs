# What the tests need of FLAME, written for them: the protocol, and how resources in a result are found.

defprotocol FLAME.Trackable do
  @fallback_to_any true
  def track(term, pids, node)
end

defimpl FLAME.Trackable, for: Any do
  def track(term, pids, _node), do: {term, pids}
end

defmodule FLAME do
  def track_resources(%_{} = struct, pids, node), do: FLAME.Trackable.track(struct, pids, node)

  def track_resources(%{} = map, pids, node) do
    {pairs, pids} = map |> Map.to_list() |> track_resources(pids, node)
    {Map.new(pairs), pids}
  end

  def track_resources(tuple, pids, node) when is_tuple(tuple) do
    {list, pids} = tuple |> Tuple.to_list() |> track_resources(pids, node)
    {List.to_tuple(list), pids}
  end

  def track_resources(list, pids, node) when is_list(list),
    do: Enum.map_reduce(list, pids, &track_resources(&1, &2, node))

  def track_resources(other, pids, _node), do: {other, pids}
end
