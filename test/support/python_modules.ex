defmodule Python.SupportModules do
  @moduledoc false

  # The Python modules in test/support/python.

  @doc "Lets Python find them."
  def find do
    folder = Python.Checkout.path("test/support/python")

    unless Python.eval!("folder in __import__('sys').path", %{folder: folder}) do
      Python.call!(:sys, "path.insert", [0, folder])
    end

    :ok
  end
end
