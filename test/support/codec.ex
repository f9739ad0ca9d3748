defmodule Python.Codec do
  @moduledoc false

  # What the VM writes for a Python process and reads from one: the functions of native/erlang_python_codec, which no
  # release has, built and loaded by `load/1`.

  alias Python.Native.Cargo

  def load(library \\ build()), do: :ok = library |> String.to_charlist() |> :erlang.load_nif(0)

  @doc "The library, for a VM that has no Mix. `scripts/sanitize.sh` has built it already, and says where it is."
  def build do
    with nil <- System.get_env("CODEC_LIBRARY") do
      {:ok, library} = Cargo.build_one("erlang_python_codec")
      to_string(library)
    end
  end

  def largest_integer, do: not_loaded()
  def layouts(_read?), do: not_loaded()
  def encode(_terms), do: not_loaded()
  def read(_bytes, _worker, _kept), do: not_loaded()
  def read_elsewhere(_bytes, _worker, _kept), do: not_loaded()
  def object(_worker, _kind, _number, _extra), do: not_loaded()
  def describe(_object), do: not_loaded()
  def break_and_read(_bytes, _seed, _count), do: not_loaded()
  def time_to_write(_term, _how, _rounds), do: not_loaded()
  def time_to_read(_bytes, _how, _rounds), do: not_loaded()
  def time_to_read_external(_bytes, _rounds), do: not_loaded()

  defp not_loaded, do: :erlang.nif_error(:nif_not_loaded)
end
