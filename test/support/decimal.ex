defmodule Decimal do
  @moduledoc false

  # The struct of the package `decimal`, which a checkout does not have. The application looks for
  # the module when it starts.

  defstruct sign: 1, coef: 0, exp: 0
end
