defmodule Python.SupportModules do
  @moduledoc false

  # The Python modules in test/support/python.

  @doc "Lets Python find them."
  def find do
    folder = Python.Checkout.path("test/support/python")

    here = inspect(folder)
    path = "__import__('sys').path"
    # The notes at once: that import is not to be what a test interrupts.
    Python.exec!("#{here} in #{path} or #{path}.insert(0, #{here}); __import__('notes')")
  end
end
