defmodule Python.Environment.Base do
  @moduledoc false

  # The interpreter that an environment is made with.

  alias Python.Environment.Spec
  alias Python.{InstallError, Interpreter}

  @doc "The one that is found without settings, if its version is the one that is asked for."
  @spec find(Spec.t(), Path.t(), (String.t() -> any)) ::
          {:ok, Interpreter.t()} | {:error, InstallError.t()}
  def find(%Spec{version: version}, _store, _show) do
    case Interpreter.find(nil, embed: false) do
      {:ok, interpreter} ->
        if fits?(interpreter, version),
          do: {:ok, interpreter},
          else: {:error, other(interpreter, version)}

      {:error, error} ->
        {:error,
         InstallError.new(:no_python, error.message |> String.trim_trailing("."),
           remedy: error.remedy
         )}
    end
  end

  defp fits?(_interpreter, nil), do: true

  defp fits?(interpreter, version) do
    interpreter.version_string == version or
      String.starts_with?(interpreter.version_string, version <> ".")
  end

  defp other(interpreter, version) do
    InstallError.new(
      :no_python,
      "there is no Python #{version}: #{interpreter.executable} is #{interpreter.version_string}",
      remedy:
        "Install Python #{version} and put it on PATH, or change the key :version of the setting python."
    )
  end
end
