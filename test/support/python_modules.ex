defmodule Python.SupportModules do
  @moduledoc false

  # The Python modules in test/support/python.

  @folder Path.expand("python", __DIR__)

  @doc "Lets Python find them."
  def find do
    unless Python.eval!("folder in __import__('sys').path", %{folder: @folder}) do
      Python.call!(:sys, "path.insert", [0, @folder])
    end

    :ok
  end
end
