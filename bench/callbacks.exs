Code.require_file("support/suite.exs", __DIR__)

defmodule Bench.Callbacks do
  @moduledoc false

  # Python calls a function of Elixir's and waits for its result, over and over; and it sends messages, one after the
  # other.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.{Floors, Measure}

  def run do
    trips = size(5_000, 500)
    increment = fn number -> number + 1 end
    Python.register(:bench_increment, increment)
    Measure.check({:ok, 8}, fn -> Python.eval("__import__('erlang').bench_increment(7)") end)
    Measure.check({:ok, [2, 3]}, fn -> Python.eval("list(map(f, [1, 2]))", %{f: increment}) end)
    {:ok, registered} = Python.eval("__import__('erlang').bench_increment")
    answerer = Floors.answerer()

    rates =
      Measure.rounds(size(15, 2),
        registered: fn -> rate(trips, fn -> call_back(registered, trips) end) end,
        passed: fn -> rate(trips, fn -> call_back(increment, trips) end) end,
        bare: fn -> rate(trips, fn -> Floors.ask(answerer, trips) end) end
      )

    Python.unregister(:bench_increment)
    send(answerer, :stop)

    lines =
      for {name, work, target} <- [
            {:registered, "callback round trips, a registered function", {:at_least, 60_000}},
            {:passed, "callback round trips, a function that was passed", nil}
          ] do
        line(
          work: work,
          unit: "/s",
          figures: rates[name],
          floors: rates.bare,
          floor_name: "message there, condition variable back",
          target: target
        )
      end

    lines ++ messages()
  end

  # The receiver throws them away.
  defp messages do
    count = size(50_000, 500)
    receiver = spawn_link(fn -> throw_away() end)
    Measure.check({:ok, count}, fn -> Python.call(:bench_work, :send_each, [receiver, count]) end)

    times =
      Measure.rounds(size(15, 2),
        send: fn -> inside(:time_send, [receiver, count]) / count end,
        loop: fn -> inside(:time_appends, [count]) / count end
      )

    send(receiver, :stop)

    [
      line(
        work: "erlang.send in a loop, an item",
        unit: "µs",
        figures: times.send,
        floors: times.loop,
        floor_name: "list.append in the same loop",
        target: {:at_most, 0.35}
      )
    ]
  end

  defp inside(function, args), do: Python.call!(:bench_work, function, args)

  defp throw_away do
    receive do
      :stop -> :ok
      _ -> throw_away()
    end
  end

  defp call_back(function, trips) do
    {:ok, ^trips} = Python.call(:bench_work, :call_back, [function, trips])
  end

  defp rate(trips, run), do: trips * 1.0e9 / Measure.time(run)
end

Bench.Suite.run(Bench.Callbacks)
