defmodule Python.Optional do
  @moduledoc false

  # Whether a module of another library is there, which may not be. In interactive mode the VM looks for one that is missing
  # in each folder of the code path, and takes ms for that. Here all folders are looked at in one native call first.

  alias Python.Library

  @spec loaded?(module) :: boolean
  def loaded?(module),
    do: :erlang.module_loaded(module) or (not missing?(module) and Code.ensure_loaded?(module))

  # False where it cannot be told so: before the native library is loaded, and with another loader of code. In embedded mode
  # nobody looks at folders.
  defp missing?(module) do
    Library.loaded?(:erlang_python_loader) and :code.get_mode() == :interactive and
      :init.get_argument(:loader) == :error and
      :erlang_python_loader.files_missing(files(module))
  end

  defp files(module) do
    name = [?/, Atom.to_string(module), List.to_string(:code.objfile_extension())]
    encoding = :file.native_name_encoding()

    for folder <- :code.get_path(),
        file = :unicode.characters_to_binary([folder | name], :unicode, encoding),
        is_binary(file),
        do: file
  end
end
