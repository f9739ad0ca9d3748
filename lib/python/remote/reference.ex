defmodule Python.Remote.Reference do
  @moduledoc false

  # What crosses to another node in the place of a handle, a function or what a stream is of: the node that it is from, and what that knows it
  # by (`Python.Remote.Handles`).

  @enforce_keys [:kind, :node, :id]
  defstruct [:kind, :node, :id, :home, :arity, :about]

  @type t :: %__MODULE__{
          kind: :object | :function | :source,
          node: node,
          id: reference,
          home: atom | pid | nil,
          arity: arity | nil,
          about: {String.t(), String.t()} | nil
        }
end
