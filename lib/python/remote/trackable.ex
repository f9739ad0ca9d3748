defmodule Python.Remote.Trackable do
  @moduledoc false

  # Handles and streams in the results of `FLAME.call/3` with the option `track_resources: true`. FLAME holds a result on the runner
  # until this has seen it, and keeps the runner as long as the processes live that this names.

  alias Python.{Object, Stream}
  alias Python.Remote.{Handles, Wire}

  @doc "The handle or stream as one of the runner's node, which is kept there as long as it is held here."
  @spec track(Object.t() | Stream.t(), [pid], node) :: {Object.t() | Stream.t(), [pid]}
  def track(%Object{ref: ref} = object, pids, node)
      when is_reference(ref) and node(ref) == node and node != node() do
    {reference, tracker} = :erpc.call(node, Handles, :track, [object, node()])
    {Wire.decode(reference, true), [tracker | pids]}
  end

  def track(%Stream{made: made, source: source} = stream, pids, node)
      when node(made) == node and node != node() and is_tuple(source) do
    {reference, tracker} = :erpc.call(node, Handles, :track, [source, node()])
    {%{stream | source: reference, guard: Handles.hold(reference)}, [tracker | pids]}
  end

  # It is one of this node, or of a third one, which keeps it.
  def track(other, pids, _node), do: {other, pids}
end
