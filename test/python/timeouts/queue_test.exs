defmodule Python.Timeouts.QueueTest do
  # Calls that are given up while they wait for a worker never run. Alone: it measures time.
  use Python.EngineCase

  import Python.Lateness

  alias Python.{Pool, TimeoutError}

  # A pool whose worker waits for a lock.
  defp held_up do
    pool = start_pool()
    lock = Python.call!(:threading, :Lock)
    Python.call!(lock, :acquire)
    holder = Python.call_async(lock, :acquire, [], pool: pool)
    eventually_busy(pool)
    {pool, lock, holder}
  end

  describe "a call whose timeout ends while it waits for a worker" do
    @tag engine: :main
    test "never runs" do
      seen = define("NAME = []")
      {pool, lock, holder} = held_up()

      error =
        assert_times_out(30, fn ->
          Python.call(:__main__, seen <> ".append", [1], pool: pool, timeout: 30)
        end)

      assert error.reason == :queued
      assert Exception.message(error) =~ "workers"
      Python.call!(lock, :release)
      assert Python.await(holder) == {:ok, true}
      assert_works_at_once(pool)
      assert Python.eval(seen) == {:ok, []}
    end

    test "of 0 ms is a TimeoutError or a result" do
      pool = start_pool()

      for _ <- 1..200 do
        case Python.call(:math, :sqrt, [16], pool: pool, timeout: 0) do
          {:ok, 4.0} -> :ok
          {:error, %TimeoutError{timeout: 0}} -> :ok
        end
      end

      assert_works_at_once(pool)
    end
  end

  describe "when the caller dies" do
    @tag engine: :main
    test "its calls that wait never run" do
      seen = define("NAME = []")
      {pool, lock, holder} = held_up()

      for _ <- 1..20 do
        {pid, monitor} =
          spawn_monitor(fn -> Python.call(:__main__, seen <> ".append", [1], pool: pool) end)

        eventually("it waits", fn -> Pool.stats(pool).queued == 1 end)
        Process.exit(pid, :kill)
        assert_receive {:DOWN, ^monitor, _, _, :killed}
        eventually("it does not wait any more", fn -> Pool.stats(pool).queued == 0 end)
      end

      Python.call!(lock, :release)
      assert Python.await(holder) == {:ok, true}
      assert_works_at_once(pool)
      assert Python.eval(seen) == {:ok, []}
    end
  end
end
