defmodule Python.Async do
  @moduledoc """
  An asynchronous call, from `Python.call_async/4`, `Python.eval_async/3` or `Python.exec_async/2`.

  It belongs to the process that started it. Only that process can await it, once. When the process ends, the call is
  cancelled.

      iex> async = Python.call_async(:math, :sqrt, [16])
      iex> async.owner == self()
      true
      iex> Python.await(async)
      {:ok, 4.0}
  """

  @enforce_keys [:ref, :ticket, :owner]
  defstruct [:ref, :ticket, :owner, :engine]

  @opaque ticket :: reference

  @typedoc "All fields except `:owner` are private."
  @type t :: %__MODULE__{
          ref: reference,
          ticket: ticket,
          owner: pid,
          # With the proxy of the owner on another node, and whether it was awaited or cancelled.
          engine: module | {module, pid, :atomics.atomics_ref()}
        }

  defimpl Inspect do
    def inspect(async, _options), do: "#Python.Async<owner: #{inspect(async.owner)}>"
  end
end
