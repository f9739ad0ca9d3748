defmodule Python.Streams.AsynchronousTest do
  # Asynchronous generators, and whatever has `__aiter__`, read as any other iterable.
  use Python.StreamCase, async: true

  alias Python.{DecodeError, Error, TimeoutError}

  # Each has a selector.
  defp open_event_loops do
    Enum.count(File.ls!("/proc/self/fd"), fn fd ->
      File.read_link("/proc/self/fd/#{fd}") == {:ok, "anon_inode:[eventpoll]"}
    end)
  end

  describe "an asynchronous generator" do
    test "gives its items in order", %{name: name} do
      assert Enum.to_list(stream(:anumbers, [name, 1_000])) == Enum.to_list(0..999)
      assert events(name) == ["awaited", "end", "finally"]
      assert messages() == []
    end

    test "gives an item when it is made", %{name: name} do
      assert stream(:agated, [name, 1], pool: start_pool(), timeout: 60_000)
             |> Stream.each(&if(&1 == 0, do: open_gate(name)))
             |> Enum.take(3) == [0, 1, 2]
    end

    test "gives a burst before the pause after it is over", %{name: name} do
      assert stream(:agated, [name, 30], pool: start_pool(), timeout: 60_000)
             |> Stream.each(&if(&1 == 29, do: open_gate(name)))
             |> Enum.take(31) == Enum.to_list(0..30)
    end

    test "does nothing that was not asked for, with prefetch: 0", %{name: name} do
      {[0, 1, 2], continue} = suspend(stream(:anumbers, [name], max_chunk: 1, prefetch: 0), 3)
      assert made(name) == 3
      halt(continue)
      assert made(name) == 3
    end

    test "is closed early, in its event loop, to the last await", %{name: name} do
      assert Enum.take(stream(:anumbers, [name], prefetch: 0), 3) == [0, 1, 2]
      assert events(name) == ["awaited", "GeneratorExit", "finally"]
      assert messages() == []
    end

    test "that was not begun is closed", %{name: name} do
      assert Enum.take(stream(:anumbers, [name]), 0) == []
      assert events(name) == []
    end

    test "is closed when its consumer raises, is killed, or forgets it", %{name: name} do
      assert_raise RuntimeError, fn ->
        Enum.each(stream(:anumbers, [name <> "a"]), fn _ -> raise "enough" end)
      end

      test = self()

      consumer =
        start(fn ->
          Enum.each(stream(:anumbers, [name <> "b"]), fn _ ->
            send(test, :item)
            Process.sleep(:infinity)
          end)
        end)

      assert_receive :item, 15_000
      Process.exit(consumer, :kill)
      gone(start(fn -> suspend(stream(:anumbers, [name <> "c"]), 2) end))

      for name <- [name <> "a", name <> "b", name <> "c"] do
        events = eventually_told(name, "finally")
        assert "awaited" in events
        assert List.last(events) == "finally"
      end
    end

    test "at an item is ended when its consumer is killed", %{name: name} do
      pool = start_pool()
      consumer = start(fn -> Enum.to_list(stream(:asleep, [name], pool: pool)) end)
      eventually("it sleeps", fn -> made(name) == 1 end)
      Process.exit(consumer, :kill)
      assert List.last(eventually_told(name, "finally")) == "finally"
      eventually_idle(pool)
    end

    test "is closed when its pool is stopped", %{name: name} do
      pool = start_pool()

      {[0], continue} =
        suspend(stream(:anumbers, [name], pool: pool, max_chunk: 1, prefetch: 0), 1)

      stop_supervised!(pool)
      assert %Python.StoppedError{} = catch_error(resume(continue))
      assert eventually_told(name, "finally") == ["awaited", "GeneratorExit", "finally"]
    end

    test "raises after the items before it, with its own traceback", %{name: name} do
      for options <- [[], [max_chunk: 1], [prefetch: 0]] do
        tag = make_ref()
        items = stream(:afailing, [name, 3], options)
        error = catch_error(Enum.each(items, &send(self(), {tag, &1})))
        assert for({^tag, item} <- messages(), do: item) == [0, 1, 2]
        for _ <- 1..3, do: receive(do: ({^tag, _} -> :ok))
        assert messages() == []

        assert %Error{type: "Failure", message: "no more than 3"} = error
        assert [%{function: "afailing"}, %{function: "afail"}] = error.frames
        text = Exception.message(error)
        assert String.starts_with?(text, "Traceback (most recent call last):\n  File ")
        refute text =~ "_stream.py"
      end

      assert Enum.uniq(events(name)) == ["Failure", "finally"]
    end

    test "of which an item cannot cross is closed", %{name: name} do
      assert %DecodeError{} = error = catch_error(Enum.to_list(stream(:aunconvertible, [name])))
      assert Exception.message(error) =~ "[1]"
      assert eventually_told(name, "finally") == ["GeneratorExit", "finally"]
    end

    test "that raises SystemExit says so, and does no more" do
      error = catch_error(Enum.to_list(stream(:exits)))
      assert %Error{type: "SystemExit", message: "3", cause: nil} = error
    end

    test "is read twice as any other" do
      made =
        define("""
        async def NAME():
            yield 1
            yield 2
        """)

      items = Python.stream(:__main__, made)
      assert Enum.zip(items, items) == [{1, 1}, {2, 2}]
    end

    @tag engine: :main
    test "is one of many that are suspended, whose event loops are closed", %{name: name} do
      pool = start_pool()
      before = open_event_loops()

      suspended =
        for _ <- 1..100 do
          {[0], continue} = suspend(stream(:anumbers, [name], pool: pool, max_chunk: 1), 1)
          continue
        end

      assert open_event_loops() >= 100
      Enum.each(suspended, &halt/1)
      eventually("all are closed", fn -> Enum.count(events(name), &(&1 == "finally")) == 100 end)
      # Other tests have some, too.
      eventually("the loops are closed", fn -> open_event_loops() < before + 50 end)
    end

    test "of a thousand items is read in less than a crossing for each", %{name: name} do
      read = fn options ->
        Enum.min(
          for _ <- 1..3 do
            elem(timed(fn -> Enum.count(stream(:anumbers, [name, 1_000], options)) end), 0)
          end
        )
      end

      # Most of it is Python's event loop, so there is less to gain than elsewhere. Others may have had the
      # processors meanwhile.
      eventually(
        "it is as fast",
        fn -> read.([]) < 2 * read.(max_chunk: 1, prefetch: 0) end,
        60_000
      )
    end
  end

  describe "its timeout" do
    test "is raised on time, and the generator ends", %{name: name} do
      pool = start_pool()
      tag = make_ref()
      items = stream(:asleep, [name], pool: pool, timeout: 300)
      error = catch_error(Enum.each(items, &send(self(), {tag, &1})))
      assert %TimeoutError{} = error
      assert_received {^tag, 0}
      # As a task that is cancelled, or as what was interrupted.
      assert [kind, "finally"] = eventually_told(name, "finally")
      assert kind in ["CancelledError", "Interrupt"]
      assert messages() == []
      eventually_idle(pool)
      assert Python.call!(:math, :sqrt, [4], pool: pool) == 2.0
    end

    test "holds for one that holds up its event loop", %{name: name} do
      pool = start_pool()

      assert %TimeoutError{} =
               catch_error(Enum.to_list(stream(:blocking, [name], pool: pool, timeout: 200)))

      assert eventually_told(name, "finally") == ["Interrupt", "finally"]
      eventually_idle(pool)
    end

    test "is not asyncio's, which is an exception in it", %{name: name} do
      assert %Error{type: "TimeoutError"} = catch_error(Enum.to_list(stream(:timed_out, [name])))
      assert [kind, "finally"] = events(name)
      assert kind == "TimeoutError"
    end
  end

  describe "an object with __aiter__" do
    test "is its own iterator" do
      assert Enum.to_list(stream(:Countdown, [5])) == [4, 3, 2, 1, 0]
      assert Enum.take(stream(:Countdown, [5]), 2) == [4, 3]
    end

    test "gives another" do
      assert Enum.to_list(stream(:Table, [1, "two", [3]])) == [1, "two", [3]]
      {:ok, table} = Python.call(:streams, :Table, [1, 2], return: :object)
      rows = Python.stream_eval("table", %{table: table})
      assert Enum.zip(rows, rows) == [{1, 1}, {2, 2}]
    end

    test "that also has __iter__ is read without an event loop" do
      assert Enum.to_list(stream(:Both)) == ["sync"]
    end
  end

  describe "asyncio inside of it" do
    @tag blocks: "its tasks are in the pool's loop, and live on"
    test "tasks that fill a queue go on while items are waited for, and end with it", %{
      name: name
    } do
      assert Enum.to_list(stream(:queued, [name, 50])) == Enum.to_list(0..49)
      assert events(name) == ["CancelledError", "finally"]
    end

    test "gather, as_completed" do
      assert Enum.sort(stream(:gathered, [5])) == [0, 1, 4, 9, 16]
    end

    test "all of it runs in one task, and a context variable lasts" do
      assert Enum.to_list(stream(:same_task, [5])) == List.duplicate(true, 5)

      assert Enum.to_list(stream(:same_task, [5], max_chunk: 1, prefetch: 0)) ==
               List.duplicate(true, 5)

      assert Enum.to_list(stream(:context_variable, [4], max_chunk: 1)) == [1, 2, 3, 4]
    end

    @tag python: "3.11"
    test "a task group and a deadline span a yield" do
      assert Enum.to_list(stream(:task_group, [5])) == [0, 1, 2, 3, 4]
      assert %Error{type: "TimeoutError"} = catch_error(Enum.to_list(stream(:deadline, [0.2])))
    end

    @tag blocks: "its tasks are in the pool's loop, and live on"
    test "tasks that are left are cancelled and waited for, and what they raise is logged", %{
      name: name
    } do
      assert Enum.to_list(stream(:odd_task, [name])) == [0, 1, 2]
      events = events(name)
      assert "failing" in events
      assert "CancelledError" in events
      assert "finally" in events
    end

    test "a loop that is stopped goes on" do
      assert Enum.to_list(stream(:stops_its_loop, [5])) == [0, 1, 2, 3, 4]
    end
  end

  test "two of them are zipped, with one worker", %{name: name} do
    pool = start_pool()
    numbers = &stream(:anumbers, [name <> &1, 20], pool: pool, max_chunk: 3)
    assert Enum.zip(numbers.("a"), numbers.("b")) == Enum.zip(0..19, 0..19)
  end

  @tag engine: :main
  test "in a context it runs on the context's thread", %{name: name} do
    context = start_context(init: "import threading")
    {:ok, ident} = Python.eval("threading.get_ident()", context: context)

    assert Enum.take(stream(:anumbers, [name], context: context, max_chunk: 2), 5) == [
             0,
             1,
             2,
             3,
             4
           ]

    eventually_told(name, "finally")
    assert ident(name) == ident
  end

  @tag blocks: "a generator waits for Elixir"
  test "a callback of one reads another, with one worker", %{name: name} do
    pool = start_pool()

    Python.register(name, fn n ->
      Enum.to_list(stream(:anumbers, [name, n], pool: pool))
    end)

    assert Enum.to_list(stream(:calls_back, [name, 3], pool: pool)) == [[], [0], [0, 1]]
    Python.unregister(name)
  end

  describe "one that was written for another event loop" do
    # What trio does: it asks for the loop that runs it, and there is none.
    defp library(name, source) do
      Python.exec!(
        """
        import sys, types
        if "#{name}" not in sys.modules:
            sys.modules["#{name}"] = types.ModuleType("#{name}")
            exec(source, sys.modules["#{name}"].__dict__)
        """
        |> String.replace("source", inspect(source))
      )
    end

    defp error_of_stream(source) do
      name = define(source)
      error = catch_error(Enum.to_list(Python.stream(:__main__, name)))
      assert %Python.Error{type: "RuntimeError", cause: %Python.Error{} = cause} = error
      assert error.message =~ "expected an asynchronous iterator that asyncio can run"
      {error, cause}
    end

    for {name, source, told} <- [
          {"trio",
           """
           async def sleep(t):
               raise RuntimeError('must be called from async context')
           """, "must be called from async context"},
          {"curio",
           """
           import types
           @types.coroutine
           def sleep(t):
               yield ('_trap_sleep', t)
           """, "bad yield"}
        ] do
      test "#{name}'s, is told so" do
        library(unquote(name), unquote(source))

        {error, cause} =
          error_of_stream("""
          async def NAME():
              yield 1
              await __import__('#{unquote(name)}').sleep(1)
          """)

        assert error.message =~ "#{unquote(name)}.run"
        assert cause.message =~ unquote(told)
      end
    end

    test "of its own, is told so" do
      {error, _} =
        error_of_stream("""
        class Own:
            def __await__(self):
                yield self
        async def NAME():
            await Own()
            yield 1
        """)

      assert error.message =~ "the event loop that it was written for"
    end

    test "and one that just fails says what it said before" do
      name = define("async def NAME():\n    yield 1\n    raise RuntimeError('mine')")

      assert %Python.Error{message: "mine", cause: nil} =
               catch_error(Enum.to_list(Python.stream(:__main__, name)))
    end
  end
end
