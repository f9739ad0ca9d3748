defmodule Python.Streams.EndsTest do
  # Every way in which a stream can end: the generator's `finally` runs, as soon as it can, and nothing
  # is left behind.
  use Python.StreamCase, async: true

  alias Python.{StoppedError, TimeoutError}

  describe "the generator comes to its end" do
    test "when all was read", %{name: name} do
      assert Enum.to_list(stream(:numbers, [name, 5])) == [0, 1, 2, 3, 4]
      assert events(name) == ["end", "finally"]
      assert messages() == []
    end

    test "when all was read, and not one item more was asked for", %{name: name} do
      assert Enum.take(stream(:numbers, [name, 5]), 5) == [0, 1, 2, 3, 4]
      eventually_told(name, "finally")
    end
  end

  describe "a generator is closed" do
    test "by Enum.take, before that returns", %{name: name} do
      assert Enum.take(stream(:numbers, [name], prefetch: 0), 3) == [0, 1, 2]
      assert events(name) == ["GeneratorExit", "finally"]
      assert messages() == []
    end

    test "by Enum.take of nothing, if it was begun", %{name: name} do
      assert Enum.take(stream(:numbers, [name]), 0) == []
      if events(name) != [], do: assert_closed(name)
    end

    test "by Enum.take, whatever is kept ready", %{name: name} do
      for prefetch <- [0, 1, 5], max_chunk <- [1, 7, 4096] do
        name = "#{name} #{prefetch} #{max_chunk}"
        options = [prefetch: prefetch, max_chunk: max_chunk]
        assert Enum.take(stream(:numbers, [name], options), 10) == Enum.to_list(0..9)
        if prefetch == 0, do: assert_closed(name), else: assert_ended(name)
      end
    end

    test "by what stops early: Enum.find, Stream.take_while, Enum.reduce_while", %{name: name} do
      assert Enum.find(stream(:numbers, [name <> "a"]), &(&1 > 10)) == 11
      assert_closed(name <> "a")

      assert stream(:numbers, [name <> "b"]) |> Stream.take_while(&(&1 < 3)) |> Enum.to_list() ==
               [0, 1, 2]

      assert_closed(name <> "b")

      assert Enum.reduce_while(stream(:numbers, [name <> "c"]), 0, fn
               number, sum when number < 10 -> {:cont, sum + number}
               _, sum -> {:halt, sum}
             end) == 45

      assert_closed(name <> "c")
    end

    test "by an exception in the consumer", %{name: name} do
      assert_raise RuntimeError, "enough", fn ->
        Enum.each(stream(:numbers, [name]), &if(&1 == 3, do: raise("enough")))
      end

      assert_closed(name)
    end

    test "by a throw in the consumer", %{name: name} do
      assert catch_throw(Enum.each(stream(:numbers, [name]), &if(&1 == 3, do: throw(:enough)))) ==
               :enough

      assert_closed(name)
    end

    test "by an exit in the consumer", %{name: name} do
      assert catch_exit(Enum.each(stream(:numbers, [name]), &if(&1 == 3, do: exit(:enough)))) ==
               :enough

      assert_closed(name)
    end

    test "by Stream.zip with something shorter, on either side", %{name: name} do
      assert Enum.zip(stream(:numbers, [name <> "a"]), 1..2) == [{0, 1}, {1, 2}]
      assert_closed(name <> "a")
      assert Enum.zip([:a, :b], stream(:numbers, [name <> "b"])) == [a: 0, b: 1]
      assert_closed(name <> "b")

      assert Stream.zip(stream(:numbers, [name <> "c"]), stream(:numbers, [name <> "d", 2]))
             |> Enum.to_list() == [{0, 0}, {1, 1}]

      assert_closed(name <> "c")
      assert events(name <> "d") == ["end", "finally"]
    end

    test "when the consumer is killed between two items", %{name: name} do
      test = self()

      consumer =
        start(fn ->
          Enum.each(stream(:numbers, [name]), fn _ ->
            send(test, :item)
            Process.sleep(:infinity)
          end)
        end)

      assert_receive :item, 15_000
      Process.exit(consumer, :kill)
      assert_closed(name)
    end

    test "when the consumer ends without finishing", %{name: name} do
      consumer = start(fn -> suspend(stream(:numbers, [name]), 2) end)
      gone(consumer)
      assert_closed(name)
    end

    test "when a suspended stream is garbage", %{name: name} do
      # In a function of its own, so that no variable of this one refers to it.
      assert first_and_forget(name) == [0, 1, 2]
      eventually("it is closed", fn -> :erlang.garbage_collect() && events(name) != [] end)
      assert_closed(name)
    end

    defp first_and_forget(name) do
      {items, _continue} = suspend(stream(:numbers, [name]), 3)
      items
    end

    test "when a suspended stream is told to halt", %{name: name} do
      {[0, 1], continue} = suspend(stream(:numbers, [name], prefetch: 0), 2)
      assert halt(continue) == :ok
      assert events(name) == ["GeneratorExit", "finally"]
      assert messages() == []
    end

    test "when it is suspended with a chunk half read, and its consumer is killed", %{name: name} do
      test = self()

      consumer =
        start(fn ->
          {items, continue} = suspend(stream(:numbers, [name], max_chunk: 10), 5)
          send(test, items)
          Process.sleep(:infinity)
          halt(continue)
        end)

      assert_receive [0, 1, 2, 3, 4], 15_000
      Process.exit(consumer, :kill)
      assert_closed(name)
    end

    test "when its chunk waits in the queue and the consumer is killed", %{name: name} do
      pool = start_pool()
      test = self()

      consumer =
        start(fn ->
          Enum.each(stream(:numbers, [name], pool: pool, max_chunk: 1, prefetch: 0), fn _ ->
            send(test, {:item, self()})
            receive do: (:on -> :ok)
          end)
        end)

      assert_receive {:item, ^consumer}, 15_000
      release = hold(pool)
      send(consumer, :on)
      eventually("the demand waits", fn -> Python.Pool.stats(pool).queued == 1 end)
      Process.exit(consumer, :kill)
      # Closing waits in its place, also for longer than a watchdog is patient.
      Process.sleep(200)
      assert events(name) == []
      release.()
      assert_closed(name)
      eventually_idle(pool)
    end

    test "when the next chunk is fetched ahead but waits in the queue", %{name: name} do
      pool = start_pool()
      test = self()

      consumer =
        start(fn ->
          items = stream(:numbers, [name], pool: pool, max_chunk: 1, prefetch: 1)

          Enum.reduce_while(items, nil, fn
            3, _ ->
              send(test, :three)
              receive do: (:on -> {:halt, nil})

            _, _ ->
              {:cont, nil}
          end)
        end)

      assert_receive :three, 15_000
      eventually_idle(pool)
      release = hold(pool)
      send(consumer, :on)
      # It does not wait for a worker for ever.
      gone(consumer)
      release.()
      assert_closed(name)
    end

    test "by `yield from` and `with` inside of it", %{name: name} do
      assert Enum.take(stream(:delegating, [name <> "a"]), 2) == [0, 1]
      assert_closed(name <> "a")
      assert Enum.take(stream(:managed, [name <> "b"]), 2) == [0, 1]
      assert eventually_told(name <> "b", "left") == ["left"]
    end

    test "behind map() and other iterators that have no close", %{name: name} do
      code =
        "map(str, __import__('itertools').islice(__import__('streams').numbers(name), 10**9))"

      assert Enum.take(Python.stream_eval(code, %{name: name}), 2) == ["0", "1"]
      assert_closed(name)
    end

    test "on a pool of one worker, which serves the next call", %{name: name} do
      pool = start_pool()

      for n <- 1..50 do
        assert [0, 1] = Enum.take(stream(:numbers, ["#{name} #{n}"], pool: pool), 2)
        assert Python.call!(:math, :sqrt, [4], pool: pool) == 2.0
      end

      for n <- 1..50, do: assert_closed("#{name} #{n}")
    end
  end

  describe "a generator that is at an item" do
    test "is interrupted when its consumer is killed", %{name: name} do
      pool = start_pool()

      for function <- [:gated, :spinning] do
        name = "#{name} #{function}"
        consumer = start(fn -> Enum.each(stream(function, [name, 3], pool: pool), & &1) end)
        eventually_told(name, "at the gate")
        Process.exit(consumer, :kill)
        assert eventually_told(name, "finally") == ["at the gate", "Interrupt", "finally"]
        eventually_idle(pool)
        assert Python.call!(:math, :sqrt, [4], pool: pool) == 2.0
      end
    end

    test "is interrupted when its consumer has enough, and works ahead", %{name: name} do
      pool = start_pool()
      items = stream(:gated, [name, 3], pool: pool, max_chunk: 3)

      Enum.reduce_while(items, nil, fn
        2, _ ->
          eventually_told(name, "at the gate")
          {:halt, nil}

        _, _ ->
          {:cont, nil}
      end)

      assert eventually_told(name, "finally") == ["at the gate", "Interrupt", "finally"]
      assert messages() == []
      eventually_idle(pool)
    end

    test "is interrupted by a timeout, after the items before it", %{name: name} do
      pool = start_pool()

      for function <- [:gated, :spinning] do
        name = "#{name} #{function}"

        assert {[0, 1, 2], %TimeoutError{} = error} =
                 read(stream(function, [name, 3], pool: pool, timeout: 1_000))

        assert error.reason == :running
        assert error.timeout == 1_000
        assert error.location == nil or is_binary(error.location.file)
        assert eventually_told(name, "finally") == ["at the gate", "Interrupt", "finally"]
        assert messages() == []
        eventually_idle(pool)
        assert Python.call!(:math, :sqrt, [4], pool: pool) == 2.0
      end
    end

    test "is interrupted again if it goes on, and closed at last", %{name: name} do
      pool = start_pool()

      assert_raise TimeoutError, fn ->
        Enum.to_list(stream(:resists, [name], pool: pool, timeout: 100))
      end

      events = eventually_told(name, "finally")
      assert ["Interrupt", "Interrupt" | _] = events
      assert made(name) <= 2
      assert messages() == []
      eventually_idle(pool)
    end
  end

  describe "a timeout" do
    test "is for each chunk, not for the whole", %{name: name} do
      items = stream(:numbers, [name, 30, 0.05], timeout: 1_000)
      assert {ms, 30} = timed(fn -> Enum.count(items) end)
      assert ms > 1_000
    end

    test "is raised when it is over, not when what blocks has ended" do
      code = "(x if x < 2 else __import__('time').sleep(30) for x in range(3))"
      pool = start_pool()
      items = Python.stream_eval(code, pool: pool, timeout: 1_000)
      {ms, {read, error}} = timed(fn -> read(items) end)
      assert read == [0, 1]
      assert %TimeoutError{timeout: 1_000} = error
      # test/python/timeouts/deadlines_test.exs has how soon it is.
      assert ms < 20_000
      assert Python.call(:math, :sqrt, [4], pool: pool) == {:ok, 2.0}
    end

    test "that ends at any moment loses no items without saying so, and leaves no messages" do
      pool = start_pool()

      name =
        define("""
        import time
        def NAME(count):
            for n in range(count):
                if n % 50 == 7: time.sleep(0.001)
                yield n
        """)

      1..8
      |> Enum.map(fn _ ->
        Task.async(fn ->
          for n <- 1..times(100, 2_000) do
            {count, timeout} = {rem(n * 37, 300) + 1, rem(n, 6)}
            stream = Python.stream(:__main__, name, [count], pool: pool, timeout: timeout)

            case read(stream) do
              {items, nil} -> assert items == Enum.to_list(0..(count - 1))
              {items, %TimeoutError{}} -> assert items == Enum.take(0..(count - 1), length(items))
            end

            assert messages() == []
          end
        end)
      end)
      |> Task.await_many(times(50_000, 1_000_000))
    end

    test "holds in the queue, and the generator is closed", %{name: name} do
      pool = start_pool()

      {[0], continue} =
        suspend(stream(:numbers, [name], pool: pool, max_chunk: 1, prefetch: 0, timeout: 500), 1)

      release = hold(pool)

      error = assert_raise TimeoutError, fn -> resume(continue) end
      assert error.reason == :queued
      assert messages() == []
      release.()
      assert_closed(name)
    end

    test "also is for the call that makes the iterator", %{name: name} do
      assert_raise TimeoutError, fn ->
        Enum.to_list(stream(:wait, [name], timeout: 100, pool: start_pool()))
      end

      assert messages() == []
    end
  end

  describe "a pool that is stopped" do
    test "ends a stream that waits for an item", %{name: name} do
      pool = start_pool()
      test = self()

      start(fn ->
        try do
          Enum.each(stream(:gated, [name, 2], pool: pool), & &1)
        rescue
          error -> send(test, {error, messages()})
        end
      end)

      eventually_told(name, "at the gate")
      stop_supervised!(pool_id(pool))
      assert_receive {%StoppedError{reason: :stopped}, []}, 15_000
      assert eventually_told(name, "finally") == ["at the gate", "Interrupt", "finally"]
    end

    test "ends a suspended stream at its next item", %{name: name} do
      pool = start_pool()

      {[0, 1], continue} =
        suspend(stream(:numbers, [name], pool: pool, max_chunk: 1, prefetch: 0), 2)

      stop_supervised!(pool_id(pool))
      assert_raise StoppedError, fn -> resume(continue) end
      # By its last reference, as there is no worker any more.
      assert_closed(name)
    end

    test "lets go of a suspended stream that is not read on", %{name: name} do
      pool = start_pool()
      {[0, 1], continue} = suspend(stream(:numbers, [name], pool: pool), 2)
      # The next chunk has been made: a generator at work would be interrupted.
      eventually_idle(pool)
      stop_supervised!(pool_id(pool))
      assert halt(continue) == :ok
      assert_closed(name)
    end

    test "ends a suspended stream that reads ahead", %{name: name} do
      pool = start_pool()
      {[0, 1], continue} = suspend(stream(:gated, [name, 2], pool: pool), 2)
      eventually_told(name, "at the gate")
      stop_supervised!(pool_id(pool))
      assert halt(continue) == :ok
      assert_ended(name)
    end

    test "ends a stream whose chunk waits in the queue", %{name: name} do
      pool = start_pool()

      {[0], continue} =
        suspend(stream(:numbers, [name], pool: pool, max_chunk: 1, prefetch: 0), 1)

      hold(pool)

      consumer = Task.async(fn -> catch_error(resume(continue)) end)
      eventually("it waits", fn -> Python.Pool.stats(pool).queued == 1 end)
      stop_supervised!(pool_id(pool))
      assert %StoppedError{} = Task.await(consumer, 15_000)
      assert_closed(name)
    end

    # As `Python.Pool.child_spec/1` has it.
    defp pool_id(pool), do: pool
  end

  describe "a context that is stopped" do
    test "ends a stream that waits for an item", %{name: name} do
      context = start_context()
      test = self()

      start(fn ->
        try do
          Enum.each(stream(:gated, [name, 2], context: context), & &1)
        rescue
          error -> send(test, {error, messages()})
        end
      end)

      eventually_told(name, "at the gate")
      Python.Context.stop(context)
      assert_receive {%StoppedError{reason: :stopped}, []}, 15_000
      assert eventually_told(name, "finally") == ["at the gate", "Interrupt", "finally"]
    end

    test "ends a suspended stream at its next item", %{name: name} do
      context = start_context()

      {[0, 1], continue} =
        suspend(stream(:numbers, [name], context: context, max_chunk: 2, prefetch: 0), 2)

      Python.Context.stop(context)
      assert_raise StoppedError, fn -> resume(continue) end
      assert_closed(name)
    end
  end

  describe "a worker that is killed" do
    @tag engine: :main
    test "while it fills a chunk ends the stream, with an error", %{name: name} do
      pool = start_pool_of_processes()
      test = self()

      start(fn ->
        try do
          Enum.each(stream(:gated, [name, 2], pool: pool), &send(test, {:item, &1}))
        rescue
          error -> send(test, {error, messages()})
        end
      end)

      eventually_told(name, "at the gate")
      kill_worker(pool)
      assert_receive {%StoppedError{reason: :worker_down}, []}, 15_000
      assert_received {:item, 0}
      assert_received {:item, 1}
      assert eventually_told(name, "finally") == ["at the gate", "Interrupt", "finally"]
      eventually_idle(pool)
      assert Python.Pool.stats(pool).workers == 1
      assert Python.call!(:math, :sqrt, [4], pool: pool) == 2.0
    end

    @tag engine: :main
    test "between two chunks is not noticed", %{name: name} do
      pool = start_pool_of_processes()
      {first, continue} = suspend(stream(:numbers, [name, 100], pool: pool, max_chunk: 10), 5)
      eventually_idle(pool)
      gone(kill_worker(pool))
      assert first ++ resume(continue) == Enum.to_list(0..99)
    end

    @tag timeout: 300_000
    @tag engine: :main
    test "at any moment ends at most the stream that it serves, and nobody waits for ever" do
      pool = start_pool(size: 3)
      code = "(__import__('time').sleep(0.001 * (n % 2)) or n for n in range(30))"
      test = self()

      readers =
        for n <- 1..4 do
          Task.async(fn ->
            # Until it is told to stop.
            fn ->
              try do
                read = Python.stream_eval(code, pool: pool, max_chunk: 3, prefetch: n - 1)
                if n == 4, do: Enum.take(read, 5), else: Enum.to_list(read)
              rescue
                error in StoppedError -> error.reason
              end
            end
            |> Stream.repeatedly()
            |> Stream.each(&send(test, {n, &1}))
            |> Enum.find(fn _ -> receive(do: (:stop -> true), after: (0 -> false)) end)

            messages()
          end)
        end

      for _ <- 1..times(150, 3_000) do
        pids = Map.keys(:sys.get_state(pool).processes)
        if pids != [], do: Process.exit(Enum.random(pids), :kill)
        Process.sleep(2)
      end

      for reader <- readers, do: send(reader.pid, :stop)
      assert Task.await_many(readers, 60_000) == [[], [], [], []]

      for {n, result} <- messages() do
        assert result in [
                 :worker_down,
                 if(n == 4, do: Enum.to_list(0..4), else: Enum.to_list(0..29))
               ]
      end

      eventually_idle(pool)
      assert Python.Pool.stats(pool).workers == 3
      # All of them work.
      release = hold(pool, 3)
      release.()
      eventually_idle(pool)
    end

    test "because it is stuck is replaced, and other streams go on", %{name: name} do
      pool = start_pool()
      {[0, 1], continue} = suspend(stream(:numbers, [name, 50], pool: pool, max_chunk: 2), 2)

      assert {:error, %TimeoutError{}} =
               Python.call(:time, :sleep, [0.5], pool: pool, timeout: 20)

      assert resume(continue) == Enum.to_list(2..49)
    end
  end

  describe "a `finally`" do
    test "that takes its time does not hold up the consumer, and is not cut short", %{name: name} do
      pool = start_pool()
      assert Enum.take(stream(:slow_to_close, [name], pool: pool), 2) == [0, 1]
      assert events(name) == ["closing"]
      open_gate(name)
      assert eventually_told(name, "closed") == ["closing", "closed"]
      assert messages() == []
      eventually_idle(pool)
      assert Python.call(:math, :sqrt, [4], pool: pool) == {:ok, 2.0}
    end

    test "is not cut short by the end of the consumer", %{name: name} do
      pool = start_pool()
      consumer = start(fn -> Enum.take(stream(:slow_to_close, [name], pool: pool), 2) end)
      gone(consumer)
      eventually_told(name, "closing")
      # Longer than a generator is waited for that is at an item.
      Process.sleep(500)
      open_gate(name)
      assert eventually_told(name, "closed") == ["closing", "closed"]
    end

    test "that raises is Python's to report, and nobody's error", %{name: name} do
      pool = start_pool()

      # Python says it on sys.stderr.
      ExUnit.CaptureIO.capture_io(:standard_error, fn ->
        assert Enum.take(stream(:fails_to_close, [name], pool: pool), 2) == [0, 1]
        eventually_told(name, "closing")
        eventually_idle(pool)

        code = "__import__('streams').exits_when_closed()"
        assert Enum.take(Python.stream_eval(code, pool: pool), 2) == [0, 1]
        eventually_idle(pool)
      end)

      assert messages() == []
    end

    test "that yields again does not hang", %{name: name} do
      ExUnit.CaptureIO.capture_io(:standard_error, fn ->
        assert Enum.take(stream(:ignores_close, [name]), 2) == [1, 1]
        assert "ignored" in eventually_told(name, "ignored")
      end)

      assert messages() == []
    end

    @tag :long
    @tag timeout: 120_000
    test "without end is interrupted after ten seconds, and the worker is free", %{name: name} do
      pool = start_pool()
      assert Enum.take(stream(:never_closed, [name], pool: pool), 2) == [0, 1]
      eventually("it is interrupted", fn -> "Interrupt" in events(name) end, 60_000)
      eventually_idle(pool)
      assert Python.call!(:math, :sqrt, [4], pool: pool) == 2.0
    end
  end

  describe "an iterator that is no generator" do
    test "is let go at the end, without the BEAM's garbage collector", %{name: name} do
      assert Enum.take(stream(:Counted, [name]), 2) == [0, 1]
      assert Enum.to_list(stream(:Counted, [name, 3])) == [0, 1, 2]
      eventually("both are gone", fn -> alive(name) == 0 end)
    end

    test "is not closed, as no loop would", %{name: name} do
      assert Enum.take(stream(:Closable, [name]), 2) == [0, 1]
      eventually("it is gone", fn -> alive(name) == 0 end)
      assert events(name) == []
    end

    test "is somebody's to go on with" do
      {:ok, counter} = Python.eval("__import__('itertools').count(5)")
      # A chunk is not to end early on a machine that has other things to do.
      options = [max_chunk: 3, prefetch: 0, max_wait: 60_000]
      assert Enum.take(Python.stream(:builtins, :iter, [counter], options), 3) == [5, 6, 7]
      assert Python.call!(counter, :__next__) == 8
    end
  end

  test "nothing is left of many streams that end in many ways", %{name: name} do
    pool = start_pool(size: 2)

    ends = [
      fn -> Enum.take(stream(:Counted, [name], pool: pool, max_chunk: 5), 7) end,
      fn -> Enum.to_list(stream(:Counted, [name, 20], pool: pool)) end,
      fn ->
        catch_error(Enum.each(stream(:Counted, [name], pool: pool), fn _ -> raise "x" end))
      end,
      fn -> suspend(stream(:Counted, [name], pool: pool), 3) end,
      fn -> exit(elem(suspend(stream(:Counted, [name], pool: pool, max_chunk: 1), 3), 0)) end,
      fn -> Process.exit(self(), :kill) && Enum.count(stream(:Counted, [name], pool: pool)) end
    ]

    1..times(300, 5_000)
    |> Task.async_stream(
      fn n ->
        ends |> Enum.at(rem(n, length(ends))) |> start() |> gone()
      end,
      max_concurrency: 20,
      timeout: 60_000
    )
    |> Stream.run()

    eventually("all are gone", fn -> alive(name) == 0 end)
    eventually_idle(pool)
  end
end
