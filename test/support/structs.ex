defmodule Python.TestStructs do
  @moduledoc false

  # Structs for the tests of Python.Encoder: protocols are consolidated when the project is
  # compiled, so they cannot be defined in a test.

  defmodule Unknown do
    defstruct [:a]
  end

  defmodule All do
    @derive Python.Encoder
    defstruct [:name, count: 0]
  end

  defmodule User do
    @derive {Python.Encoder, only: [:name, :email]}
    defstruct [:name, :email, :password]
  end

  defmodule Except do
    @derive {Python.Encoder, except: [:password]}
    defstruct [:name, :email, :password]
  end

  defmodule Point do
    defstruct [:x, :y]

    defimpl Python.Encoder do
      def encode(point), do: {point.x, point.y}
    end
  end

  defmodule Node do
    @derive Python.Encoder
    defstruct [:next]
  end

  defmodule Wrapped do
    # Encoded as whatever is in it, structs included.
    defstruct [:value]

    defimpl Python.Encoder do
      def encode(wrapped), do: wrapped.value
    end
  end

  defmodule Endless do
    defstruct [:value]

    defimpl Python.Encoder do
      def encode(endless), do: endless
    end
  end

  defmodule Raising do
    defstruct [:value]

    defimpl Python.Encoder do
      def encode(raising), do: raise("cannot encode #{inspect(raising.value)}")
    end
  end
end
