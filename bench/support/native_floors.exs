defmodule Bench.NativeFloors do
  @moduledoc false

  # The functions of native/erlang_python_floor, which no release has: built and loaded by `load/0`.

  alias Python.Native.{Cargo, Library}

  @crate "erlang_python_floor"

  def load do
    {:ok, folder} = Cargo.build_one(@crate)
    library = folder |> Path.join(Library.built_name(@crate, Library.host())) |> loadable()
    :ok = library |> Path.rootname() |> String.to_charlist() |> :erlang.load_nif(0)
  end

  # The VM adds `.so` on macOS too.
  defp loadable(library) do
    so = Path.rootname(library) <> ".so"
    if Path.extname(library) == ".dylib", do: File.cp!(library, so)
    so
  end

  def nif, do: not_loaded()
  def dirty, do: not_loaded()
  def ask(_pid, _count), do: not_loaded()
  def answer, do: not_loaded()

  defp not_loaded, do: :erlang.nif_error(:nif_not_loaded)
end
