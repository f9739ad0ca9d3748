defmodule Python.Timeouts.QueueTest do
  # Calls that are given up while they wait for a worker never run. Alone: it measures time.
  use Python.EngineCase

  import Python.Lateness
  import Python.Notes

  alias Python.{Pool, TimeoutError}

  setup_all do: Python.SupportModules.find()

  # A pool whose worker waits at a gate.
  defp held_up do
    pool = start_pool()
    gate = new_name()
    holder = Python.call_async(:notes, :wait, [gate], pool: pool)
    eventually_busy(pool)
    {pool, gate, holder}
  end

  describe "a call whose timeout ends while it waits for a worker" do
    test "never runs" do
      told = new_name()
      {pool, gate, holder} = held_up()

      error =
        assert_times_out(30, fn ->
          Python.call(:notes, :note, [told, "ran"], pool: pool, timeout: 30)
        end)

      assert error.reason == :queued
      assert Exception.message(error) =~ "workers"
      open_gate(gate)
      assert Python.await(holder) == {:ok, nil}
      assert_works_at_once(pool)
      assert events(told) == []
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
    test "its calls that wait never run" do
      told = new_name()
      {pool, gate, holder} = held_up()

      for _ <- 1..20 do
        {pid, monitor} =
          spawn_monitor(fn -> Python.call(:notes, :note, [told, "ran"], pool: pool) end)

        eventually("it waits", fn -> Pool.stats(pool).queued == 1 end)
        Process.exit(pid, :kill)
        assert_receive {:DOWN, ^monitor, _, _, :killed}
        eventually("it does not wait any more", fn -> Pool.stats(pool).queued == 0 end)
      end

      open_gate(gate)
      assert Python.await(holder) == {:ok, nil}
      assert_works_at_once(pool)
      assert events(told) == []
    end
  end
end
