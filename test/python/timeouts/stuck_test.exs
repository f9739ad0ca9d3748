defmodule Python.Timeouts.StuckTest do
  # Alone: it measures time, and looks at the log.
  use Python.EngineCase

  import ExUnit.CaptureLog

  setup_all do: Python.SupportModules.find()

  alias Python.{OverloadedError, Pool, TimeoutError}

  # A call that waits where nobody can interrupt it, until the lock is given back.
  defp wait_for(lock, pool, timeout \\ 20) do
    name = "wait_for_#{:erlang.phash2(lock)}"
    Python.exec!("def #{name}(lock):\n    with lock: pass")
    Python.call(:__main__, name, [lock], pool: pool, timeout: timeout)
  end

  # So many of them, one after the other: under load one may not come to run in its time.
  defp get_stuck(lock, pool, count) do
    for n <- 1..count do
      eventually("a call is running", fn ->
        match?({:error, %TimeoutError{reason: :running}}, wait_for(lock, pool))
      end)

      eventually("#{n} calls are stuck", fn -> Pool.stats(pool).stuck >= n end)
    end

    :ok
  end

  # What calls of a pool have left in a variable, once they have ended.
  defp seen(name, pool), do: Python.eval!(name <> "_seen", %{}, pool: pool)

  defp locked do
    lock = Python.call!(:threading, :Lock)
    Python.call!(lock, :acquire)
    lock
  end

  defp eventually_stuck(pool, count) do
    eventually("#{count} calls are stuck", fn -> Pool.stats(pool).stuck == count end)
  end

  describe "calls that were given up and are still inside Python" do
    @describetag engine: :main
    test "are counted, and it is said where they are" do
      pool = start_pool()
      lock = locked()
      assert %{stuck: 0, stuck_at: []} = Pool.stats(pool)
      get_stuck(lock, pool, 3)
      {pid, monitor} = spawn_monitor(fn -> wait_for(lock, pool, :infinity) end)
      eventually_busy(pool, 4)
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, _}
      eventually_stuck(pool, 4)

      for stuck <- Pool.stats(pool).stuck_at do
        assert %{file: "<exec" <> _, line: 2, function: "wait_for_" <> _, ms: ms} = stuck
        assert is_integer(ms) and ms >= 0
      end

      info = Python.info()
      assert info.stuck >= 4
      assert Enum.count(info.stuck_at, &(&1.pool == pool)) == 4
      assert Pool.stats(pool).workers == 1

      Python.call!(lock, :release)
      eventually_stuck(pool, 0)
      assert Pool.stats(pool).stuck_at == []
      eventually_idle(pool)
    end

    test "in no Python code are counted too" do
      pool = start_pool()
      assert {:error, %TimeoutError{}} = Python.call(:time, :sleep, [1], pool: pool, timeout: 10)
      eventually_stuck(pool, 1)
      assert [%{file: nil, line: nil, function: nil}] = Pool.stats(pool).stuck_at
      eventually_stuck(pool, 0)
    end

    test "are not those that end at their interrupt" do
      pool = start_pool()
      name = define("def NAME():\n    while True: pass")

      for _ <- 1..5 do
        assert {:error, %TimeoutError{}} =
                 Python.call(:__main__, name, [], pool: pool, timeout: 10)
      end

      eventually_idle(pool)
      assert Pool.stats(pool).stuck == 0
    end

    test "are told of when there are many" do
      pool = start_pool()
      lock = locked()

      log =
        capture_log(fn ->
          get_stuck(lock, pool, 12)
        end)

      assert log =~ "10 calls of the pool #{inspect(pool)} were given up"
      assert log =~ ~r/10 at <exec.*:2 in wait_for_/
      assert log =~ "At 100 the pool refuses"
      # Once.
      assert length(String.split(log, "were given up")) == 2
      Python.call!(lock, :release)
      eventually_stuck(pool, 0)
    end
  end

  describe ":max_stuck" do
    @describetag engine: :main
    test "is how many a pool lets be stuck" do
      pool = start_pool(max_stuck: 3)
      lock = locked()

      capture_log(fn ->
        get_stuck(lock, pool, 3)
      end)

      for timeout <- [1_000, :infinity] do
        options = [pool: pool, timeout: timeout]

        assert {:error, %OverloadedError{pool: ^pool, reason: :stuck} = error} =
                 Python.call(:math, :sqrt, [16], options)

        assert Exception.message(error) =~ "3 that were given up are still inside Python"
        assert Exception.message(error) =~ "in wait_for_"
        assert Exception.message(error) =~ ":max_stuck"
      end

      assert_raise OverloadedError, fn -> Python.call_async(:math, :sqrt, [16], pool: pool) end

      assert_raise OverloadedError, fn ->
        Enum.to_list(Python.stream_eval("[1]", %{}, pool: pool))
      end

      # Others go on.
      assert Python.call(:math, :sqrt, [16]) == {:ok, 4.0}
      Python.call!(lock, :release)
      eventually_stuck(pool, 0)
      assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
    end

    test "may be :infinity, and is checked" do
      pool = start_pool(max_stuck: :infinity)
      assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}

      for wrong <- [0, -1, 1.5, nil, "3"] do
        assert_raise ArgumentError, ~r/:max_stuck/, fn ->
          Pool.start_link(name: MyApp.Never, max_stuck: wrong)
        end
      end
    end
  end

  describe "erlang.time_left()" do
    test "is what is left of the call's timeout, in seconds" do
      left = Python.eval!("erlang.time_left()", %{}, timeout: 10_000)
      assert left > 5 and left <= 10.0

      name =
        define(
          "import time\ndef NAME():\n    a = erlang.time_left(); time.sleep(0.1); return a, erlang.time_left()"
        )

      assert {before, later} = Python.call!(:__main__, name, [], timeout: 5_000)
      assert before - later > 0.05 and before <= 5.0
      async = Python.call_async(:__main__, name, [], timeout: 7_000)
      assert {:ok, {left, _}} = Python.await(async)
      assert left > 3 and left <= 7.0
    end

    test "is that of the pool's or the setting's timeout where the call has none of its own" do
      pool = start_pool(timeout: 4_000)
      assert Python.eval!("erlang.time_left()", %{}, pool: pool) <= 4.0
      assert Python.eval!("erlang.time_left()") <= 30.0
    end

    test "is None without a timeout" do
      assert Python.eval!("erlang.time_left()", %{}, timeout: :infinity) == nil
      context = start_context(timeout: :infinity)
      assert Python.eval!("erlang.time_left()", %{}, context: context) == nil
    end

    @tag blocks: "a plain function waits for Elixir"
    test "is the call's in its threads, and of a nested call its own" do
      code = """
      import threading
      def NAME(ask):
          seen = []
          thread = threading.Thread(target=lambda: seen.append(erlang.time_left()))
          thread.start(); thread.join()
          return seen[0], ask()
      """

      ask = fn -> Python.eval!("erlang.time_left()", %{}, timeout: 2_000) end
      assert {own, nested} = Python.call!(:__main__, define(code), [ask], timeout: 60_000)
      assert own > 10 and nested <= 2.0
    end

    test "is 0.0 once the call was given up" do
      pool = start_pool()

      name =
        define("""
        import time
        NAME_seen = []
        def NAME():
            try:
                while True: time.sleep(0.001)
            finally: NAME_seen.append(erlang.time_left())
        """)

      Python.call(:__main__, name, [], pool: pool, timeout: 150)
      eventually_idle(pool)
      assert seen(name, pool) == [0.0]
    end
  end

  describe "erlang.on_interrupt" do
    # Something that waits in C, and can be ended by another thread.
    @waiting """
    import erlang, threading
    NAME_seen = []
    def NAME(take_back=False, told=None):
        lock = threading.Lock()
        lock.acquire()
        def cancel():
            NAME_seen.append(threading.get_ident() != me)
            lock.release()
        me = threading.get_ident()
        undo = erlang.on_interrupt(cancel)
        if take_back:
            undo(); undo()
            return 'taken back'
        if told:
            import notes
            notes.note(told, 'waits')
        try: lock.acquire()
        finally: NAME_seen.append('left')
    """

    test "runs in another thread when the call's time is over" do
      pool = start_pool()
      name = define(@waiting)

      assert {:error, %TimeoutError{}} =
               Python.call(:__main__, name, [], pool: pool, timeout: 200)

      eventually_idle(pool)
      assert seen(name, pool) == [true, "left"]
      assert Pool.stats(pool).stuck == 0
    end

    test "runs when the caller dies, and when the call is cancelled" do
      pool = start_pool()

      for stop <- [:kill, :cancel] do
        name = define(@waiting)
        told = Python.Notes.new_name()
        args = [false, told]

        case stop do
          :kill ->
            pid =
              spawn(fn -> Python.call(:__main__, name, args, pool: pool, timeout: :infinity) end)

            Python.Notes.eventually_told(told, "waits")
            Process.exit(pid, :kill)

          :cancel ->
            async = Python.call_async(:__main__, name, args, pool: pool, timeout: :infinity)
            Python.Notes.eventually_told(told, "waits")
            Python.cancel(async)
        end

        eventually("it was run", fn -> seen(name, pool) == [true, "left"] end)
        eventually_idle(pool)
      end
    end

    test "does not run when it was taken back, or the call has ended" do
      pool = start_pool()
      name = define(@waiting)

      assert Python.call!(:__main__, name, [true], pool: pool) == "taken back"

      quick =
        define("NAME_seen = []\ndef NAME(): erlang.on_interrupt(lambda: NAME_seen.append(1))")

      assert Python.call!(:__main__, quick, [], pool: pool) == nil

      assert {:error, %TimeoutError{}} =
               Python.call(:time, :sleep, [0.3], pool: pool, timeout: 10)

      eventually_idle(pool)
      assert seen(name, pool) == []
      assert seen(quick, pool) == []
    end

    test "runs all that was registered, the last one first, whatever one of them raises" do
      pool = start_pool()

      name =
        define("""
        import time
        NAME_seen = []
        def NAME():
            erlang.on_interrupt(lambda: NAME_seen.append('first'))
            erlang.on_interrupt(lambda: 1 / 0)
            erlang.on_interrupt(lambda: NAME_seen.append('third'))
            while True: time.sleep(0.001)
        """)

      ExUnit.CaptureIO.capture_io(:stderr, fn ->
        Python.call(:__main__, name, [], pool: pool, timeout: 200)

        eventually("they were run", fn ->
          seen(name, pool) in [["third", "first"], ["third"]]
        end)

        eventually_idle(pool)
      end)
    end

    test "takes a function" do
      assert {:error, %Python.Error{type: "TypeError", message: message}} =
               Python.eval("erlang.on_interrupt(5)")

      assert message =~ "connection.cancel"
    end

    test "interrupts a query of sqlite3" do
      pool = start_pool()

      name =
        define("""
        import sqlite3
        NAME_seen = []
        def NAME():
            db = sqlite3.connect(':memory:')
            db.create_function('f', 1, lambda n: n)
            erlang.on_interrupt(db.interrupt)
            try:
                db.execute('with recursive t(n) as (select 1 union all select f(n + 1) from t) '
                           'select count(*) from t').fetchall()
            finally:
                NAME_seen.append('left')
        """)

      assert {:error, %TimeoutError{}} =
               Python.call(:__main__, name, [], pool: pool, timeout: 200)

      eventually_idle(pool)
      assert seen(name, pool) == ["left"]
    end
  end

  describe "an event loop that waits is woken at the deadline, and its finally blocks run" do
    @describetag blocks: "asyncio.run runs on no thread where a loop runs"

    for {what, run} <- [
          {"asyncio.run", "asyncio.run(main())"},
          {"run_until_complete", "asyncio.new_event_loop().run_until_complete(main())"},
          {"a loop that was set",
           "loop = asyncio.new_event_loop(); asyncio.set_event_loop(loop); loop.run_until_complete(main())"}
        ] do
      test what do
        pool = start_pool()

        name =
          define("""
          import asyncio, time
          NAME_seen = []
          def NAME():
              async def main():
                  try: await asyncio.sleep(600)
                  finally: NAME_seen.append('finally')
              try: #{unquote(run)}
              finally: NAME_seen.append('left')
          """)

        for n <- 1..3 do
          assert {:error, %TimeoutError{}} =
                   Python.call(:__main__, name, [], pool: pool, timeout: 200)

          eventually("it has left", fn ->
            Enum.count(seen(name, pool), &(&1 == "left")) == n
          end)
        end

        eventually_idle(pool)

        if unquote(what) == "asyncio.run" do
          assert Enum.count(seen(name, pool), &(&1 == "finally")) == 3
        end
      end
    end

    test "also where another task computes" do
      pool = start_pool()

      name =
        define("""
        import asyncio
        NAME_seen = []
        async def NAME_main():
            async def compute():
                while True: sum(range(1000))
            task = asyncio.ensure_future(compute())
            try: await asyncio.sleep(600)
            finally: NAME_seen.append('finally')
        def NAME():
            asyncio.run(NAME_main())
        """)

      assert {:error, %TimeoutError{}} =
               Python.call(:__main__, name, [], pool: pool, timeout: 200)

      eventually_idle(pool)
      assert seen(name, pool) == ["finally"]
    end
  end

  test "an interrupt is a KeyboardInterrupt, and no Exception" do
    assert Python.eval!("issubclass(erlang.Interrupt, KeyboardInterrupt)")
    refute Python.eval!("issubclass(erlang.Interrupt, Exception)")
  end
end
