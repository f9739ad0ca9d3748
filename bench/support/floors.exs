defmodule Bench.Floors do
  @moduledoc false

  # The cheapest way to do a part of the work at all, for the figures to be compared with.

  @doc "An empty function of native code on a normal scheduler."
  def nif, do: :erlang_python.floor_nif()

  @doc "The same on a dirty I/O scheduler: there and back."
  def dirty, do: :erlang_python.floor_dirty()

  @doc "A process that `ping/1` gets its answers from."
  def echo do
    spawn_link(fn -> echo_loop() end)
  end

  defp echo_loop do
    receive do
      {from, reference} ->
        send(from, reference)
        echo_loop()

      :stop ->
        :ok
    end
  end

  @doc "A message to another process and back."
  def ping(echo) do
    reference = make_ref()
    send(echo, {self(), reference})
    receive(do: (^reference -> :ok))
  end

  @doc "A value through Erlang's own format, both ways."
  def external_term_format(value),
    do: value |> :erlang.term_to_binary() |> :erlang.binary_to_term()

  @doc "One copy of a binary."
  def copy(binary), do: :binary.copy(binary)
end
