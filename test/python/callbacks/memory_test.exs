defmodule Python.Callbacks.MemoryTest do
  # What very many callbacks leave behind. Alone: it measures the memory of the whole VM.

  use Python.EngineCase

  @moduletag blocks: "plain functions wait for Elixir"

  test "1,000 processes call Python, which calls each back ten times" do
    pool = start_pool(size: 4, max_queue: :infinity, timeout: 60_000)
    name = define("def NAME(f, n): return [f(n, i) for i in range(10)]")

    round = fn ->
      1..1_000
      |> Enum.map(fn n ->
        Task.async(fn ->
          mine = make_ref()
          me = self()

          function = fn n, i ->
            send(me, {mine, i})
            n * 100 + i
          end

          {:ok, answer} = Python.call(:__main__, name, [function, n], pool: pool)
          {answer == Enum.map(0..9, &(n * 100 + &1)), length(messages())}
        end)
      end)
      |> Task.await_many(60_000)
    end

    assert Enum.uniq(round.()) == [{true, 10}]
    held = used()
    for _ <- 1..times(3, 50), do: assert(Enum.uniq(round.()) == [{true, 10}])

    # 30,000 calls back: 100 bytes that each left behind would be 3 MB.
    eventually("the memory is what it was", fn -> used() < held + 3_000_000 end)
    eventually_idle(pool)
    assert %{workers: 4} = Python.Pool.stats(pool)
  end

  # Bytes of the VM that native code and processes of callbacks would leak into, and of Python's.
  defp used() do
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    Python.call!(:gc, :collect)
    [blocks, _] = Python.call!("erlang._object", :memory)
    :erlang.memory(:processes) + :erlang.memory(:binary) + blocks * 64
  end
end
