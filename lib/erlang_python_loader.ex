defmodule :erlang_python_loader do
  @moduledoc false

  # The functions of native/erlang_python_loader: stubs and no logic. Called by Python.Interpreter.

  use Python.Library

  @type failure :: {:error, {atom, String.t()}}

  @doc "The file that `load/0` loads, without its extension, which `:erlang.load_nif/2` adds."
  @spec path() :: {:ok, Path.t()} | failure
  def path do
    case {:code.priv_dir(:erlang_python), archive()} do
      {{:error, :bad_name}, nil} ->
        {:error, {:bad_name, "the application erlang_python is not on the code path"}}

      {{:error, :bad_name}, archive} ->
        {:error, {:escript, archive}}

      {priv, archive} ->
        # An escript that rebar3 made has folders of applications in it, which are none to the system.
        if archive && List.starts_with?(priv, String.to_charlist(archive)),
          do: {:error, {:escript, archive}},
          else: {:ok, Path.join([List.to_string(priv), "native", "liberlang_python_loader"])}
    end
  end

  # The escript that this module was loaded from, or nil: a file where a folder would be.
  defp archive do
    case :code.which(__MODULE__) do
      [_ | _] = beam -> beam |> List.to_string() |> Path.dirname() |> file_above()
      _ -> nil
    end
  end

  defp file_above(path) do
    cond do
      File.regular?(path) -> path
      Path.dirname(path) == path -> nil
      true -> path |> Path.dirname() |> file_above()
    end
  end

  @doc "Opens libpython with its symbols visible to every library that is loaded after it."
  @spec library_open(Path.t()) :: :ok | failure
  def library_open(_path), do: :erlang.nif_error(:nif_not_loaded)

  @doc "What `Py_GetVersion` of the opened library says."
  @spec library_version() :: {:ok, String.t()} | failure
  def library_version, do: :erlang.nif_error(:nif_not_loaded)

  @doc """
  The libpython of the interpreter at a path, where its files say that a start of it is as any other. `home`: the user's folder.
  """
  @spec library_plain(Path.t(), Path.t()) :: Path.t() | nil
  def library_plain(_executable, _home), do: :erlang.nif_error(:nif_not_loaded)

  @doc "Whether it is certain that there is none of these files."
  @spec files_missing([Path.t()]) :: boolean
  def files_missing(_paths), do: :erlang.nif_error(:nif_not_loaded)

  @doc "Reads the line that priv/python/probe.py prints."
  @spec report_read(binary) :: {:ok, %{String.t() => term}} | failure
  def report_read(_json), do: :erlang.nif_error(:nif_not_loaded)
end
