defmodule Python.Hostile do
  @moduledoc false

  # Converts values that are out to harm whoever does (test/support/python/hostile.py), and gives
  # them back. To be used in a VM of its own.

  alias Python.{DecodeError, EncodeError, Error, Object}

  @doc """
  Converts what `hostile.FUNCTION(*arguments)` gives, in Elixir and through py.

  Prints the label before, and behind it what has come of it in both, and how many ms that took.
  """
  def try(label, function, arguments) do
    IO.write([label, "\t"])
    work = fn -> [elixir(function, arguments), erlang(function, arguments)] end
    {micros, outcomes} = :timer.tc(work)
    {:ok, 2} = Python.eval("1 + 1", timeout: 10_000)
    IO.puts([Enum.join(outcomes, " "), "\t", Integer.to_string(div(micros, 1000))])
  end

  defp elixir(function, arguments) do
    case Python.call(:hostile, function, arguments) do
      {:ok, value} ->
        give_back(value)
        value |> objects() |> Enum.take(10) |> Enum.each(&show/1)
        "value"

      {:error, %DecodeError{} = error} ->
        true = String.valid?(error.message) and byte_size(error.message) < 20_000
        "refused"

      {:error, %Error{} = error} ->
        true = String.valid?(Exception.message(error))
        error.type
    end
  end

  defp erlang(function, arguments) do
    case :py.call(:hostile, function, arguments) do
      {:ok, value} ->
        give_back(value)
        "value"

      {:error, {:decode_error, text}} when is_list(text) ->
        "refused"

      {:error, {class, text}} when is_list(text) ->
        to_string(class)
    end
  end

  # Keys can be one in Python, and objects refuse to be hashed.
  defp give_back(value) do
    case Python.call(:hostile, :identity, [value]) do
      {:ok, _} -> :ok
      {:error, %error{}} when error in [EncodeError, DecodeError, Error] -> :ok
    end
  end

  # To be shown, it is asked: its answer may be anything.
  defp show(object) do
    "#Python.Object<" <> _ = shown = inspect(object)
    true = String.valid?(shown)
  end

  defp objects(%Object{} = object), do: [object]
  defp objects(list) when is_list(list), do: Stream.flat_map(list, &objects/1)
  defp objects(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> objects()
  defp objects(%MapSet{} = set), do: Stream.flat_map(set, &objects/1)
  defp objects(%_{}), do: []
  defp objects(map) when is_map(map), do: Stream.flat_map(map, fn {k, v} -> objects([k, v]) end)
  defp objects(_), do: []

  @doc "Prints that all went well, if it did."
  def finish do
    true = Python.call!(:hostile, :healthy, [], timeout: 60_000)
    IO.puts("finished")
  end
end
