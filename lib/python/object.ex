defmodule Python.Object do
  @moduledoc """
  A handle to a Python object.

  Values that have no counterpart in Elixir arrive as handles, and `return: :object` asks for one:

      iex> Python.call!(:collections, :Counter, ["aab"], return: :object)
      #Python.Object<<class 'collections.Counter'> Counter({'a': 2, 'b': 1})>

  A handle can be passed back to Python as an argument or inside of one, be the target of a call,
  be sent to other processes and be stored. Python's reference is given up when the BEAM's garbage
  collector finds that nobody has the handle any more.
  """

  @enforce_keys [:ref]
  defstruct [:ref]

  @typedoc "The field is private."
  @type t :: %__MODULE__{ref: reference}

  defimpl Inspect do
    alias Python.{Operation, Options, Request}

    # An inspected value must not hold up whoever inspects it.
    @timeout 1_000
    @limit 200

    def inspect(object, _options) do
      case Request.run(Operation.describe(object, @limit), %Options{timeout: @timeout}) do
        {:ok, {class, text}} -> "#Python.Object<#{class} #{text}>"
        {:error, _} -> "#Python.Object<#{Kernel.inspect(object.ref)}>"
      end
    end
  end
end
