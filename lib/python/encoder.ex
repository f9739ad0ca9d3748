defprotocol Python.Encoder do
  @moduledoc """
  Converts structs to Python.

  `MapSet`, `Range`, `Date`, `Time`, `NaiveDateTime`, `DateTime`, `Decimal` and the structs of this
  library are converted already. For others, implement `encode/1`. It returns any term that can be converted, including
  other structs:

      defmodule Point do
        defstruct [:x, :y]

        defimpl Python.Encoder do
          def encode(point), do: {point.x, point.y}
        end
      end

  Or derive it, for a `dict` of the struct's fields:

      defmodule User do
        @derive {Python.Encoder, only: [:name, :email]}
        defstruct [:name, :email, :password]
      end

  `@derive Python.Encoder` takes all fields; `only:` and `except:` select some.

  A struct without an implementation is a `Python.EncodeError` that names it. The protocol costs nothing for data
  without structs.
  """

  @doc """
  Returns the term to convert in place of the struct.

  ## Examples

  A `Python.Error` is the exception that it came from:

      iex> {:error, error} = Python.eval("1 / 0")
      iex> Python.type(Python.Encoder.encode(error))
      "ZeroDivisionError"
  """
  @spec encode(t) :: term
  def encode(struct)
end

defimpl Python.Encoder, for: Any do
  defmacro __deriving__(module, struct, options) do
    fields = fields(Map.keys(struct) -- [:__struct__], options, module)

    quote do
      defimpl Python.Encoder, for: unquote(module) do
        def encode(struct), do: Map.take(struct, unquote(fields))
      end
    end
  end

  def encode(struct) do
    raise Protocol.UndefinedError, protocol: @protocol, value: struct
  end

  defp fields(all, options, module) do
    case Keyword.validate!(options, [:only, :except]) do
      [] -> all
      [only: only] -> known(only, all, module)
      [except: except] -> all -- known(except, all, module)
      _ -> raise ArgumentError, "expected :only or :except for Python.Encoder, got: both"
    end
  end

  defp known(fields, all, module) do
    case fields -- all do
      [] -> fields
      [field | _] -> raise ArgumentError, "#{inspect(module)} has no field #{inspect(field)}"
    end
  end
end
