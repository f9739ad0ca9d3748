defmodule Bench.NativeFloors do
  @moduledoc false

  # The functions of native/erlang_python_floor, which no release has: built and loaded by `load/0`.

  alias Python.Native.Cargo

  def load do
    {:ok, library} = Cargo.build_one("erlang_python_floor")
    :ok = :erlang.load_nif(library, 0)
  end

  def nif, do: not_loaded()
  def dirty, do: not_loaded()
  def ask(_pid, _count), do: not_loaded()
  def answer, do: not_loaded()

  defp not_loaded, do: :erlang.nif_error(:nif_not_loaded)
end
