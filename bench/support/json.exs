defmodule Bench.Json do
  @moduledoc false

  # Writes JSON: a checkout needs no Hex package, and the oldest Elixir has no JSON module.

  def encode(term), do: IO.iodata_to_binary([value(term), "\n"])

  defp value(nil), do: "null"
  defp value(flag) when is_boolean(flag), do: Atom.to_string(flag)
  defp value(atom) when is_atom(atom), do: string(Atom.to_string(atom))
  defp value(number) when is_integer(number), do: Integer.to_string(number)
  defp value(number) when is_float(number), do: Float.to_string(Float.round(number, 3))
  defp value(text) when is_binary(text), do: string(text)
  defp value([{key, _} | _] = pairs) when is_atom(key), do: object(pairs)
  defp value(list) when is_list(list), do: ["[", list |> Enum.map(&value/1) |> commas(), "]"]
  defp value(map) when is_map(map), do: map |> Enum.sort() |> object()

  defp object(pairs) do
    members = for {key, member} <- pairs, do: [string(to_string(key)), ":", value(member)]
    ["{", commas(members), "}"]
  end

  defp commas(parts), do: Enum.intersperse(parts, ",")

  defp string(text), do: [?", Regex.replace(~r/["\\\x00-\x1f]/, text, &escape/1), ?"]

  defp escape("\""), do: "\\\""
  defp escape("\\"), do: "\\\\"

  defp escape(<<control>>),
    do: "\\u" <> String.pad_leading(Integer.to_string(control, 16), 4, "0")
end
