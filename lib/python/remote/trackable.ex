defmodule Python.Remote.Trackable do
  @moduledoc false

  # Handles in the results of `FLAME.call/3` with the option `track_resources: true`. FLAME holds a result on the runner until
  # this has seen it, and keeps the runner as long as the processes live that this names.

  alias Python.Object
  alias Python.Remote.{Handles, Wire}

  @doc "The handle as one of the runner's node, which is kept there as long as it is held here."
  @spec track(Object.t(), [pid], node) :: {Object.t(), [pid]}
  def track(%Object{ref: ref} = object, pids, node)
      when is_reference(ref) and node(ref) == node and node != node() do
    {reference, tracker} = :erpc.call(node, Handles, :track, [object, node()])
    {Wire.decode(reference, true), [tracker | pids]}
  end

  # It is one of this node, or of a third one, which keeps it.
  def track(%Object{} = object, pids, _node), do: {object, pids}
end
