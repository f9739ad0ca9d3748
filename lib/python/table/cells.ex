defmodule Python.Table.Cells do
  @moduledoc false

  # The cells of a column on their way into a data frame. `texts`: whether texts can go in one piece of memory, too.
  @enforce_keys [:list, :texts]
  defstruct [:list, :texts]
end
