defmodule Bench.Floors do
  @moduledoc false

  # The cheapest way to do a part of the work at all, for the figures to be compared with.

  @doc "An empty function of native code on a normal scheduler."
  def nif, do: Bench.NativeFloors.nif()

  @doc "The same on a dirty I/O scheduler: there and back."
  def dirty, do: Bench.NativeFloors.dirty()

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

  @doc "A process that answers what native code asks with `ask/2`."
  def answerer, do: spawn_link(fn -> answer_loop() end)

  defp answer_loop do
    receive do
      :ok ->
        Bench.NativeFloors.answer()
        answer_loop()

      :stop ->
        :ok
    end
  end

  @doc "Native code sends a message and waits for the answer, so often: a callback without Python."
  def ask(answerer, count), do: true = Bench.NativeFloors.ask(answerer, count)

  @doc "How long messages of a process take that sends one every `pause` ms, in ns."
  def slow_messages(count, pause) do
    parent = self()

    sender =
      spawn_link(fn ->
        for _ <- 1..count do
          Process.sleep(pause)
          send(parent, {self(), System.os_time(:nanosecond)})
        end
      end)

    for _ <- 1..count do
      receive(do: ({^sender, sent} -> System.os_time(:nanosecond) - sent))
    end
  end

  @doc "The 99th percentile of how late timers are, in ns, in a window of so many ms."
  def timer_lateness(window) do
    deadline = System.monotonic_time(:millisecond) + window

    tasks =
      for number <- 1..20 do
        Task.async(fn -> lateness(1 + rem(number, 10), deadline, []) end)
      end

    tasks |> Task.await_many() |> Enum.concat() |> Bench.Measure.percentile(99)
  end

  defp lateness(pause, deadline, late) do
    took = Bench.Measure.time(fn -> Process.sleep(pause) end)
    late = [took - pause * 1_000_000 | late]
    # Afterwards: there is at least one, however late.
    over? = System.monotonic_time(:millisecond) >= deadline
    if over?, do: late, else: lateness(pause, deadline, late)
  end
end
