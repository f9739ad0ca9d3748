defmodule Python.Table.Stream do
  @moduledoc false

  # A data frame of Explorer's on its way to Python, which makes one of its own of it.
  @enforce_keys [:data]
  defstruct [:data]
end

defimpl Python.Encoder, for: Explorer.DataFrame do
  def encode(frame) do
    %Python.Table.Stream{data: apply(Explorer.DataFrame, :dump_ipc_stream!, [frame])}
  end
end
