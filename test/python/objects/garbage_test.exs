defmodule Python.Objects.GarbageTest do
  # When Python lets go of the objects that Elixir has handles to. Alone: it counts what Python keeps.
  use Python.EngineCase

  # A class that counts its living instances.
  defp counting do
    define("""
    import threading
    class NAME:
        living = 0
        # They come and go on several threads, and adding is more than one step.
        lock = threading.RLock()
        def __init__(self):
            with NAME.lock: NAME.living += 1
        def __del__(self):
            with NAME.lock: NAME.living -= 1
        def __repr__(self): return 'counted'
    """)
  end

  defp living(class), do: Python.eval!("#{class}.living")

  # Runs in a process of its own, whose heap goes with it.
  defp elsewhere(fun), do: fun |> Task.async() |> Task.await(:infinity)

  describe "the BEAM's garbage collector" do
    test "gives up an object that nobody has any more" do
      class = counting()
      elsewhere(fn -> for _ <- 1..10, do: Python.call!(:__main__, class) end)
      eventually("the objects have gone", fn -> living(class) == 0 end)
    end

    test "keeps an object as long as somebody has it" do
      class = counting()
      object = Python.call!(:__main__, class)
      elsewhere(fn -> Enum.map(1..100, fn _ -> Python.call!(:__main__, class) end) end)
      eventually("the other objects have gone", fn -> living(class) == 1 end)
      :erlang.garbage_collect()
      assert living(class) == 1
      # Last: a variable that is not used any more keeps nothing.
      assert inspect(object) =~ "counted"
    end

    test "is asked to do so where handles keep much alive, again and again" do
      class = counting()

      large =
        define("""
        class NAME(#{class}):
            def __init__(self):
                super().__init__()
                self.data = bytearray(8_000_000)
        """)

      make = fn -> Python.call!(:__main__, large) end

      for _ <- 1..3 do
        # Processes that do nothing more are not collected by themselves.
        idle =
          spawn_link(fn ->
            for _ <- 1..10, do: make.()
            receive do: (:end -> :ok)
          end)

        eventually("those that nobody has are given up", fn ->
          Process.sleep(100)
          make.()
          living(class) < 8
        end)

        send(idle, :end)
      end
    end

    test "gives up what the answer to a caller who died had in it" do
      class = counting()
      pool = start_pool()

      for _ <- 1..5 do
        {pid, monitor} =
          spawn_monitor(fn ->
            Python.eval("[__import__('time').sleep(0.3), #{class}()]", %{}, pool: pool)
          end)

        eventually_busy(pool)
        Process.exit(pid, :kill)
        assert_receive {:DOWN, ^monitor, _, _, :killed}
        eventually_idle(pool)
      end

      eventually("the objects have gone", fn -> living(class) == 0 end)
    end

    test "gives up what came too late" do
      class = counting()
      pool = start_pool()
      code = "[__import__('time').sleep(0.03), #{class}()]"
      for _ <- 1..20, do: Python.eval(code, %{}, timeout: 30, pool: pool)
      eventually_idle(pool)
      eventually("the objects have gone", fn -> living(class) == 0 end)
    end

    test "gives up the arguments, the results and the exceptions of calls" do
      class = counting()
      name = define("def NAME(*args, **kwargs): raise ValueError(args, kwargs)")

      elsewhere(fn ->
        for _ <- 1..100 do
          object = Python.call!(:__main__, class)
          {:error, error} = Python.call(:__main__, name, [object], kwargs: %{a: object})
          assert error.message =~ "counted"
        end
      end)

      eventually("the objects have gone", fn -> living(class) == 0 end)
    end

    test "gives up a great many objects, and Python has as many as before" do
      class = counting()
      count = times(100_000, 1_000_000)
      Python.exec!("import gc")

      tracked = fn ->
        Python.exec!("gc.collect()")
        Python.eval!("len(gc.get_objects())")
      end

      make = fn count ->
        elsewhere(fn ->
          for _ <- 1..div(count, 1_000) do
            # A thousand at a time, and nobody keeps them.
            {:ok, objects} = Python.map(:__main__, class, List.duplicate([], 1_000))
            assert length(objects) == 1_000
          end
        end)
      end

      make.(1_000)
      eventually("the first objects have gone", fn -> living(class) == 0 end)
      before = tracked.()
      make.(count)
      eventually("the objects have gone", fn -> living(class) == 0 end, 60_000)
      assert_in_delta tracked.(), before, 100
    end

    test "does not wait for Python" do
      class = counting()
      pool = start_pool()

      holder =
        Task.async(fn ->
          made = for _ <- 1..1_000, do: Python.call!(:__main__, class)
          receive(do: (:drop -> :ok))
          # Only now: until here `made` is alive.
          1_000 = length(made)
          :ok
        end)

      eventually("the objects are there", fn -> living(class) == 1_000 end)

      # A C function keeps the GIL for the better part of a second.
      code = "sum(range(30_000_000))"
      busy = Task.async(fn -> timed(fn -> Python.eval!(code, %{}, pool: pool) end) end)
      eventually_busy(pool)
      send(holder.pid, :drop)
      {ms, :ok} = timed(fn -> Task.await(holder, 60_000) end)
      {busy_ms, _sum} = Task.await(busy, 60_000)
      assert ms < busy_ms / 2
      eventually("the objects have gone", fn -> living(class) == 0 end)
    end
  end
end
