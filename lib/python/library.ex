defmodule Python.Library do
  @moduledoc false

  # Which file a module's native library is loaded from when its code is loaded again: by
  # `:code.load_file/1`, `recompile` in IEx, a release upgrade. The library in memory runs Python and
  # cannot be replaced; the new code gets it too, if the file is what it was
  # (native/erlang_python_loader/src/entry.rs).

  # A library is loaded by load/0, not by @on_load: a module whose on_load fails stops the boot of a release in
  # embedded mode, and the VM must boot without Python too. When code takes the place of other that has loaded it,
  # @on_load loads it again.

  require Record
  Record.defrecordp(:file_info, Record.extract(:file_info, from_lib: "kernel/include/file.hrl"))

  # With `:file`, the name of the library in priv/native; without, the module has a `path/0`.
  @doc false
  defmacro __using__(options) do
    path =
      if file = options[:file] do
        quote do
          defp path, do: {:ok, Python.Library.path(unquote(file))}
        end
      end

    quote do
      @on_load :load_again

      unquote(path)

      @doc "Loads the library; `:ok` too when that has been done before."
      @spec load() :: :ok | {:error, {atom, String.t()}}
      def load do
        with {:ok, path} <- path(),
             # Of either, without a protocol, for which the VM would load modules.
             path = :unicode.characters_to_list(path),
             :ok <- load_from(path),
             do: Python.Library.loaded(__MODULE__, path)
      end

      @doc false
      def load_again do
        # Other modules may not be there yet.
        if :persistent_term.get({__MODULE__, :library}, nil) do
          with {:ok, path} <- path() do
            case Python.Library.again(__MODULE__, to_charlist(path)) do
              {:load, path} -> load_from(path)
              {:refuse, text} -> {:error, text}
            end
          end
        else
          :ok
        end
      end

      defp load_from(path) do
        case :erlang.load_nif(path, 0) do
          :ok -> :ok
          {:error, {:reload, _text}} -> :ok
          {:error, {tag, text}} -> {:error, {tag, List.to_string(text)}}
        end
      end
    end
  end

  @doc "The file of a library, without its extension."
  @spec path(String.t()) :: charlist
  def path(file),
    do: :filename.join([:code.priv_dir(:erlang_python), ~c"native", String.to_charlist(file)])

  @doc "Whether the library of a module has been loaded in this VM."
  @spec loaded?(module) :: boolean
  def loaded?(module), do: :persistent_term.get({module, :library}, nil) != nil

  @typep identity :: term

  @doc "Remembers what a module's library was loaded from. Without its extension, as `:erlang.load_nif/2` has it."
  @spec loaded(module, charlist) :: :ok
  def loaded(module, path) do
    with nil <- :persistent_term.get({module, :library}, nil) do
      :persistent_term.put({module, :library}, {path, identity(path)})
    end

    :ok
  end

  @doc """
  What the new code of a module is to load: the file that it was loaded from, if that or the one at
  `path` is the same. `{:refuse, text}` if it is not, and there is old code that works on.
  """
  @spec again(module, charlist) :: {:load, charlist} | {:refuse, String.t()}
  def again(module, path) do
    {first, identity} = :persistent_term.get({module, :library})

    cond do
      same?(first, identity, path) ->
        {:load, first}

      # It was deleted before it is loaded: IEx does so. To refuse would leave no code at all.
      not :erlang.module_loaded(module) ->
        :logger.warning(text(module, path) <> " The old one stays in use until then.")
        {:load, first}

      true ->
        {:refuse, text(module, path)}
    end
  end

  defp text(module, path) do
    "The native library of #{inspect(module)}, #{path}, is not the one that runs Python in this VM, and " <>
      "cannot take its place. Restart the VM to use it."
  end

  defp same?(path, identity, path), do: identity(path) == identity

  defp same?(first, identity, path) do
    # A release has its libraries in a folder of each version.
    identity(first) == identity and content(first) == content(path)
  end

  @spec identity(charlist) :: identity
  defp identity(path) do
    # Not `File.stat/1`, for whose struct the VM loads another module.
    case :file.read_file_info(file(path), time: :posix) do
      {:ok, info} ->
        {file_info(info, :major_device), file_info(info, :inode), file_info(info, :size),
         file_info(info, :mtime)}

      {:error, reason} ->
        reason
    end
  end

  defp content(path) do
    case File.read(file(path)) do
      {:ok, content} -> :erlang.md5(content)
      {:error, reason} -> {path, reason}
    end
  end

  # The extension that `:erlang.load_nif/2` adds: `.so` on macOS too.
  defp file(path) do
    extension = if match?({:win32, _}, :os.type()), do: ".dll", else: ".so"
    List.to_string(path) <> extension
  end
end
