defmodule Python.Environment.Version do
  @moduledoc false

  # Which versions of Python a spec wants, in the words of uv and of PEP 440: a version, `3.13` or `3.13.1`, or clauses with
  # commas between them, `>=3.10,<3.13`. https://packaging.python.org/en/latest/specifications/version-specifiers/

  @typedoc "Clauses, all of which a version has to fit. `[]`: any version will do."
  @type t :: [{operator :: String.t(), [non_neg_integer]}]

  @clause ~r/\A(~=|===?|!=|<=|>=|<|>)?\s*(\d+(?:\.\d+)*)(\.\*)?\z/

  @doc "The clauses of a text, or an error if it is none of these."
  @spec parse(String.t() | nil) :: {:ok, t} | :error
  def parse(nil), do: {:ok, []}

  def parse(text) do
    clauses = for clause <- String.split(text, ","), do: clause(String.trim(clause))
    if :error in clauses, do: :error, else: {:ok, clauses}
  end

  defp clause(text) do
    case Regex.run(@clause, text) do
      # As uv has it: 3.13 is any 3.13.x.
      [_, "", version] -> {"==*", numbers(version)}
      [_, "~=", version] -> compatible(numbers(version))
      [_, "===", version] -> {"==", numbers(version)}
      [_, operator, version] -> {operator, numbers(version)}
      [_, "==", version, ".*"] -> {"==*", numbers(version)}
      [_, "!=", version, ".*"] -> {"!=*", numbers(version)}
      _ -> :error
    end
  end

  # `~=3` says nothing.
  defp compatible([_, _ | _] = numbers), do: {"~=", numbers}
  defp compatible(_numbers), do: :error

  defp numbers(version), do: version |> String.split(".") |> Enum.map(&String.to_integer/1)

  @doc "Whether a version fits all clauses."
  @spec fits?(t, Python.Interpreter.t() | tuple) :: boolean
  def fits?(clauses, %{version: version}), do: fits?(clauses, version)

  def fits?(clauses, version),
    do: Enum.all?(clauses, &fits_clause?(&1, Tuple.to_list(version)))

  defp fits_clause?({"==*", wanted}, version), do: List.starts_with?(version, wanted)
  defp fits_clause?({"!=*", wanted}, version), do: not List.starts_with?(version, wanted)

  defp fits_clause?({"~=", wanted}, version),
    do: List.starts_with?(version, Enum.drop(wanted, -1)) and padded(version) >= padded(wanted)

  defp fits_clause?({operator, wanted}, version) do
    {version, wanted} = {padded(version), padded(wanted)}

    case operator do
      "==" -> version == wanted
      "!=" -> version != wanted
      "<=" -> version <= wanted
      ">=" -> version >= wanted
      "<" -> version < wanted
      ">" -> version > wanted
    end
  end

  # A version without a number has a zero there.
  defp padded(numbers), do: Enum.take(numbers ++ [0, 0, 0], max(length(numbers), 3))

  @doc "The version in a name such as `3.13.2` or `cpython-3.13.2-linux-x86_64-gnu`, or nil."
  @spec of_name(String.t()) :: tuple | nil
  def of_name(name) do
    case Regex.run(~r/\A(?:cpython-)?(\d+)\.(\d+)\.(\d+)(?:\z|-)/, name) do
      [_ | numbers] -> numbers |> Enum.map(&String.to_integer/1) |> List.to_tuple()
      nil -> nil
    end
  end

  @doc "The minor version that is the only one which fits, as `3.13`, or nil."
  @spec minor(t) :: String.t() | nil
  def minor(clauses) do
    Enum.find_value(clauses, fn
      {operator, [major, minor | _]} when operator in ["==*", "=="] -> "#{major}.#{minor}"
      {"~=", [major, minor, _ | _]} -> "#{major}.#{minor}"
      _ -> nil
    end)
  end
end
