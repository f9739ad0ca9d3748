defmodule Python.OptionalTest do
  # The code path is everybody's.
  use ExUnit.Case, async: false

  alias Python.Optional

  # Code of a module that is loaded nowhere.
  defp compiled do
    name = :"optional_#{System.unique_integer([:positive])}"
    {:ok, ^name, code} = :compile.forms([{:attribute, 1, :module, name}])
    {name, code}
  end

  defp on_path(folder, check) do
    folder = String.to_charlist(folder)
    true = :code.add_pathz(folder)

    try do
      check.()
    after
      :code.del_path(folder)
    end
  end

  setup do
    folder = Path.join(System.tmp_dir!(), "optional_ü_#{System.unique_integer([:positive])}")
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    %{folder: folder}
  end

  test "a module that is loaded, or on the code path, or not there", %{folder: folder} do
    {name, code} = compiled()
    File.write!(Path.join(folder, "#{name}.beam"), code)

    assert Optional.loaded?(Enum)
    refute Optional.loaded?(name)
    refute Optional.loaded?(Python.Nowhere)
    on_path(folder, fn -> assert Optional.loaded?(name) end)
  end

  test "a module in an archive on the code path", %{folder: folder} do
    {name, code} = compiled()
    archive = Path.join(folder, "shop-1.ez")
    file = {~c"shop-1/ebin/#{name}.beam", code}
    {:ok, _} = :zip.create(String.to_charlist(archive), [file])

    on_path(Path.join(archive, "shop-1/ebin"), fn -> assert Optional.loaded?(name) end)
  end
end
