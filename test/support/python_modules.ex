defmodule Python.SupportModules do
  @moduledoc false

  # The Python modules in test/support/python.

  @doc "Lets Python find them."
  def find do
    folder = Python.Checkout.path("test/support/python")

    here = inspect(folder)
    path = "__import__('sys').path"
    Python.exec!("#{here} in #{path} or #{path}.insert(0, #{here})")
  end
end
