defmodule Python.Calls.ConcurrencyTest do
  # Alone: it measures time.
  use Python.EngineCase

  # Counts until it is told to stop. In Python code: no C function that keeps the GIL for long.
  @spin """
  NAME_stop = []
  def NAME(seconds):
      import time
      end = time.perf_counter() + seconds
      n = 0
      while not NAME_stop and time.perf_counter() < end:
          n += 1
      return n
  """

  describe "a thousand processes" do
    test "at the same time each have their own answers" do
      name = define("def NAME(n): return [n, str(n)] if n % 7 else 1 / (n % 7)")

      1..1_000
      |> Enum.map(fn n ->
        Task.async(fn ->
          for m <- 1..10 do
            k = n * 100 + m

            if rem(k, 7) == 0 do
              assert {:error, %Python.Error{type: "ZeroDivisionError"}} =
                       Python.call(:__main__, name, [k])
            else
              assert Python.call(:__main__, name, [k]) == {:ok, [k, "#{k}"]}
            end

            assert Python.eval("x * 2", %{x: k}) == {:ok, k * 2}
          end

          assert messages() == []
        end)
      end)
      |> Task.await_many(60_000)
    end

    @tag engine: :main
    test "can share what Python has, with a lock" do
      name =
        define("""
        import threading
        NAME_lock = threading.Lock()
        NAME_count = 0
        def NAME():
            global NAME_count
            with NAME_lock:
                n = NAME_count
                for _ in range(3): pass
                NAME_count = n + 1
        """)

      1..1_000
      |> Enum.map(fn _ ->
        Task.async(fn -> for _ <- 1..5, do: Python.call!(:__main__, name) end)
      end)
      |> Task.await_many(60_000)

      assert Python.eval(name <> "_count") == {:ok, 5_000}
    end

    test "can import the same module at the same time" do
      folder = Path.join(System.tmp_dir!(), unique("slow"))
      File.mkdir_p!(folder)
      on_exit(fn -> File.rm_rf!(folder) end)
      pool = start_pool(size: 8)
      module = write_module(folder, "import time\ntime.sleep(0.1)\ndef f(): return 'whole'")

      results =
        1..100
        |> Enum.map(fn _ -> Task.async(fn -> Python.call(module, :f, [], pool: pool) end) end)
        |> Task.await_many(60_000)

      assert Enum.uniq(results) == [{:ok, "whole"}]
    end
  end

  describe "calls that wait" do
    test "wait at the same time" do
      pool = start_pool(size: 32)
      {one, _} = timed(fn -> Python.call!(:time, :sleep, [0.2], pool: pool) end)

      {all, _} =
        timed(fn ->
          1..32
          |> Enum.map(fn _ -> Task.async(Python, :call!, [:time, :sleep, [0.2], [pool: pool]]) end)
          |> Task.await_many(60_000)
        end)

      # One after the other they would take 32 times as long.
      assert all < one * 10
    end

    @tag engine: :main
    test "hold up no others, as long as a worker is free" do
      pool = start_pool(size: 2)
      lock = Python.call!(:threading, :Lock)
      Python.call!(lock, :acquire)
      held = Python.call_async(lock, :acquire, [], pool: pool)
      eventually_busy(pool)
      for n <- 1..100, do: assert(Python.call(:math, :fabs, [n], pool: pool) == {:ok, n * 1.0})
      Python.call!(lock, :release)
      assert Python.await(held) == {:ok, true}
    end
  end

  describe "while eight calls run Python code" do
    @tag engine: :main
    test "the VM's timers and messages are as punctual as without, by an order of magnitude" do
      name = define(@spin)
      pool = start_pool(size: 8)

      # The machine may be busy with other things just then.
      attempt = fn ->
        idle = {lateness(), round_trips()}

        spinning =
          for _ <- 1..8 do
            Task.async(fn -> Python.call!(:__main__, name, [20], pool: pool, timeout: 60_000) end)
          end

        eventually_busy(pool, 8)
        busy = {lateness(), round_trips()}
        assert Python.Pool.stats(pool).busy == 8
        Python.exec!("#{name}_stop.append(1)")
        for counted <- Task.await_many(spinning, 60_000), do: assert(counted > 0)
        Python.exec!("#{name}_stop.clear()")
        {idle, busy}
      end

      good? = fn {{idle_late, idle_trips}, {busy_late, busy_trips}} ->
        busy_late < 10 * max(idle_late, 1.0) and busy_trips > idle_trips / 10
      end

      attempts = Stream.repeatedly(attempt) |> Stream.take(4)
      assert Enum.any?(attempts, good?)
    end

    @tag engine: :main
    test "other calls have their turn" do
      name = define(@spin)
      pool = start_pool(size: 8)
      other = start_pool(size: 1)

      spinning =
        for _ <- 1..8 do
          Task.async(fn -> Python.call!(:__main__, name, [30], pool: pool, timeout: 60_000) end)
        end

      eventually_busy(pool, 8)
      for _ <- 1..5, do: assert(Python.call(:math, :sqrt, [4], pool: other) == {:ok, 2.0})
      assert Python.Pool.stats(pool).busy == 8
      Python.exec!("#{name}_stop.append(1)")
      Task.await_many(spinning, 60_000)
    end

    # How late a timer of 1 ms is in 99 of 100 cases, in ms.
    defp lateness do
      late =
        for _ <- 1..300 do
          {ms, :ok} = timed(fn -> Process.sleep(1) end)
          ms - 1
        end

      late |> Enum.sort() |> Enum.at(297)
    end

    # How many messages go there and back in 300 ms.
    defp round_trips do
      echo = spawn_link(&echo/0)
      deadline = System.monotonic_time(:millisecond) + 300
      count = ping(echo, deadline, 0)
      Process.unlink(echo)
      Process.exit(echo, :kill)
      count
    end

    defp echo do
      receive do
        {from, reference} -> send(from, reference)
      end

      echo()
    end

    defp ping(echo, deadline, count) do
      if System.monotonic_time(:millisecond) > deadline do
        count
      else
        reference = make_ref()
        send(echo, {self(), reference})

        receive do
          ^reference -> ping(echo, deadline, count + 1)
        end
      end
    end
  end

  describe "Python's own threads" do
    test "run beside calls" do
      name =
        define("""
        import threading, queue
        NAME_in, NAME_out = queue.Queue(), queue.Queue()
        def NAME_work():
            while (n := NAME_in.get()) is not None:
                NAME_out.put(n * 2)
        NAME = threading.Thread(target=NAME_work, daemon=True)
        NAME.start()
        """)

      for n <- 1..100 do
        Python.call!(:__main__, name <> "_in.put", [n])
        assert Python.call!(:__main__, name <> "_out.get") == n * 2
      end

      Python.call!(:__main__, name <> "_in.put", [nil])
      assert Python.call(:__main__, name <> ".join", [10]) == {:ok, nil}
    end

    test "may fail without anybody else noticing" do
      name = define("import threading\ndef NAME(): raise SystemExit")
      Python.exec!("t = threading.Thread(target=#{name}); t.start(); t.join()")
      assert Python.eval("1") == {:ok, 1}
    end
  end
end
