defmodule Python.StreamHelpers do
  @moduledoc false

  # What the tests of streams share.

  @doc "The items that come before the exception, and the exception; `:ok` if there is none."
  def until_raise(stream) do
    reason =
      try do
        Enum.each(stream, &send(self(), {:item, &1}))
      rescue
        error -> error
      end

    {items(), reason}
  end

  defp items do
    receive do
      {:item, item} -> [item | items()]
    after
      0 -> []
    end
  end
end
