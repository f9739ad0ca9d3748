defmodule Python.Release.Bundle do
  @moduledoc false

  # A Python with packages in the folder `python` of a release, which `Python.Release.Build` makes. Each start looks for one, so
  # there is no more here than that needs.

  alias Python.Environment.{Mark, Spec}

  @folder "python"

  @doc "The name of its folder in a release. Those of the setting `environments` stand beside that of the setting `python`."
  @spec folder_name(Spec.t() | atom) :: String.t()
  def folder_name(%Spec{name: name}), do: folder_name(name)
  def folder_name(nil), do: @folder
  def folder_name(name), do: "#{@folder}-#{name}"

  @doc "The bundle of the setting `python` in the release that this VM runs."
  @spec find() :: {:ok, folder :: Path.t(), mark :: map} | :none
  def find do
    with root when is_binary(root) <- root(), do: read(Path.join(root, @folder))
  end

  # The folder of this application is lib/erlang_python-VERSION there. An environment that says where a release is may be
  # that of another one, which has started this VM.
  defp root do
    case :code.lib_dir(:erlang_python) do
      lib when is_list(lib) -> Path.expand("../..", List.to_string(lib))
      _ -> :none
    end
  end

  defp read(folder) do
    mark = Mark.read(folder)
    if mark == %{}, do: :none, else: {:ok, folder, mark}
  end

  @doc "The interpreter of the bundle in this release that has what a spec asks for."
  @spec matching(Spec.t()) :: {:ok, Path.t()} | :none
  def matching(spec) do
    identity = Spec.identity(spec)

    with root when is_binary(root) <- root() do
      Enum.find_value(Path.wildcard(Path.join(root, "#{@folder}{,-*}")), :none, fn folder ->
        case read(folder) do
          {:ok, folder, %{identity: ^identity}} -> {:ok, interpreter(folder)}
          _ -> nil
        end
      end)
    end
  end

  @doc "Whether an interpreter is that of a bundle, of this release or of another one."
  @spec interpreter?(Path.t()) :: boolean
  def interpreter?(path),
    do: path |> Path.dirname() |> Path.dirname() |> Mark.read() |> is_map_key(:identity)

  @doc "The interpreter of a bundle."
  @spec interpreter(Path.t()) :: Path.t()
  def interpreter(folder), do: Path.join(folder, "bin/python3")
end
