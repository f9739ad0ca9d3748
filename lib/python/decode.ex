defmodule Python.Decode do
  @moduledoc false

  # The option `:decode`: what objects become that are handles without it. This is its one schema.
  #
  # Settings are a number, some bits for each key: 0 if the key was not given, so that the pool's setting
  # holds, else the place of the value in its list. priv/python/erlang/_decode.py reads it. All bits of a key
  # mean `:object`.

  import Bitwise

  # {key, where its bits begin, all of its bits, values}
  @keys [
    {:uuid, 0, 3, [:string, :bytes]},
    {:path, 2, 3, [:string]},
    {:timedelta, 4, 7, [:microseconds, :milliseconds, :seconds]},
    {:enum, 7, 3, [:value, :name]},
    {:dataclass, 9, 3, [:map]},
    {:pydantic, 11, 3, [:map]},
    {:row, 13, 7, [:map, :tuple, :list]}
  ]

  @type settings :: 0..0xFFFF

  @doc "The settings that a keyword list asks for."
  @spec settings(term) :: settings
  def settings(options) do
    unless Keyword.keyword?(options), do: refuse("#{short(options)}")

    Enum.reduce(options, 0, fn {key, value}, settings ->
      case List.keyfind(@keys, key, 0) do
        nil ->
          refuse("#{inspect([{key, value}], limit: 10)}")

        {_, shift, mask, values} ->
          (settings &&& bnot(mask <<< shift)) ||| number(key, value, values, mask) <<< shift
      end
    end)
  end

  defp number(_key, :object, _values, mask), do: mask

  defp number(key, value, values, _mask) do
    case Enum.find_index(values, &(&1 === value)) do
      nil ->
        raise ArgumentError,
              "expected #{inspect(key)} in the option :decode to be #{one_of(values ++ [:object])}, got: #{short(value)}"

      index ->
        index + 1
    end
  end

  @spec refuse(String.t()) :: no_return
  defp refuse(given) do
    keys = Enum.map_join(@keys, ", ", fn {key, _, _, values} -> "#{key}: #{one_of(values)}" end)

    raise ArgumentError,
          "expected the option :decode to be a keyword list of #{keys} (or :object for each), got: #{given}"
  end

  defp one_of(values), do: Enum.map_join(values, " | ", &inspect/1)
  defp short(term), do: inspect(term, limit: 10, printable_limit: 100)
end
