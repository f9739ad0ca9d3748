defmodule Python.Secret do
  @moduledoc false

  # A value with passwords in it, such as environment variables, that a process keeps or is started with. Reports of supervisors
  # and crashes show what processes have: Elixir's by `Inspect`, Erlang's with each part of a term. So the value is in a function,
  # of which both show the name only. It is one of Elixir's own: of a function of this module, which may be loaded again, the
  # holders would be killed.

  alias Python.Environment.Secrets

  @enforce_keys [:value]
  defstruct [:value]

  @opaque t :: %__MODULE__{value: fun}

  @doc "Hides a value, if it is not hidden already."
  @spec hide(term) :: t
  def hide(%__MODULE__{} = secret), do: secret
  def hide(value), do: %__MODULE__{value: Access.key(nil, value)}

  @doc "The value. One that was never hidden is it already."
  @spec reveal(t | term) :: term
  def reveal(%__MODULE__{value: value}), do: value.(:get, %{}, & &1)
  def reveal(value), do: value

  defimpl Inspect do
    def inspect(secret, options),
      do: secret |> Python.Secret.reveal() |> Secrets.shown() |> Inspect.Algebra.to_doc(options)
  end
end
