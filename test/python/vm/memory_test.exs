defmodule Python.VM.MemoryTest do
  # Alone: it measures memory. LONG=1 runs a million of each.
  use Python.TestCase

  # What is kept that should not be shows in one of these, each exact for its part: blocks of Python's
  # allocator, bytes of the VM's, pages of the whole.
  defp memory do
    :erlang.garbage_collect()
    Python.exec!("__import__('gc').collect()")

    %{
      blocks: Python.eval!("__import__('sys').getallocatedblocks()"),
      vm: :erlang.memory(:system) + :erlang.memory(:binary),
      process: self() |> Process.info(:memory) |> elem(1),
      rss: rss()
    }
  end

  # In bytes; 0 where it cannot be read.
  defp rss do
    with {:ok, status} <- File.read("/proc/self/status"),
         [_, kilobytes] <- Regex.run(~r/VmRSS:\s+(\d+) kB/, status) do
      String.to_integer(kilobytes) * 1_024
    else
      _ -> 0
    end
  end

  # Runs `fun` so many times, twice: the first time fills what is kept on purpose. What is left of the
  # second, when all is given up that is going to be, is less than a part of a small object for each.
  defp assert_flat(count, fun) do
    run = fn ->
      Task.await(Task.async(fn -> Enum.each(1..count, fn _ -> fun.() end) end), :infinity)
    end

    run.()
    before = settled()
    run.()

    eventually("memory is as it was: #{inspect(before)}, now #{inspect(memory())}", fn ->
      now = memory()

      # One block a call would be a leak; caches and collections are far less.
      now.blocks - before.blocks < 400 + count / 10 and
        now.vm - before.vm < 2_000_000 + count * 4 and
        now.process - before.process < 1_000_000 and
        now.rss - before.rss < 24_000_000 + count * 8
    end)
  end

  # Dropped objects are given up in the background.
  defp settled(last \\ nil) do
    now = memory()
    if last && abs(now.blocks - last.blocks) < 20, do: now, else: settled(now)
  end

  for {what, usual, long, code} <- [
        {"calls", 50_000, 1_000_000, quote(do: {:ok, 4.0} = Python.call(:math, :sqrt, [16]))},
        {"calls with keyword arguments", 10_000, 1_000_000,
         quote(
           do:
             {:ok, "[]"} = Python.call(:json, :dumps, [[]], kwargs: %{indent: 2, sort_keys: true})
         )},
        {"evaluations with variables", 20_000, 1_000_000,
         quote(do: {:ok, 3} = Python.eval("a + b", %{a: 1, b: 2}))},
        {"statements", 20_000, 1_000_000, quote(do: :ok = Python.exec("x_memory = [1, 2, 3]"))},
        {"exceptions", 2_000, 200_000,
         quote(do: {:error, %Python.Error{}} = Python.eval("{}['a']"))},
        {"exceptions that are raised", 2_000, 200_000,
         quote(do: assert_raise(Python.Error, fn -> Python.eval!("{}['a']") end))},
        {"objects", 20_000, 1_000_000,
         quote(do: {:ok, %Python.Object{}} = Python.eval("object()"))},
        {"arguments that cannot cross", 20_000, 1_000_000,
         quote(
           do:
             {:error, %Python.EncodeError{}} = Python.call(:builtins, :len, [[1, {2, <<1::1>>}]])
         )},
        {"results that cannot cross", 10_000, 1_000_000,
         quote(do: {:error, %Python.DecodeError{}} = Python.eval(~S"[1, {'a': '\ud800'}]"))},
        {"large texts there and back", 50, 10_000,
         quote(do: {:ok, _} = Python.call(:builtins, :str, [String.duplicate("ä", 500_000)]))},
        {"large bytes there and back", 100, 10_000,
         quote(
           do: {:ok, _} = Python.call(:builtins, :bytes, [{:bytes, :binary.copy("a", 1_000_000)}])
         )},
        {"documents there and back", 100, 20_000,
         quote(
           do:
             {:ok, _} =
               Python.eval("x", %{
                 x: for(n <- 1..1_000, do: %{"n" => n, "t" => {n, "#{n}", 2 ** 70}})
               })
         )},
        {"maps over lists", 100, 5_000,
         quote(do: {:ok, _} = Python.map(:math, :sqrt, for(n <- 1..1_000, do: [n])))},
        {"streams", 500, 50_000,
         quote(do: 45 = :builtins |> Python.stream(:range, [10]) |> Enum.sum())},
        {"streams that are not read to the end", 1_000, 50_000,
         quote(do: [0] = "(x for x in range(10_000))" |> Python.stream_eval() |> Enum.take(1))},
        {"asynchronous calls", 10_000, 500_000,
         quote(do: {:ok, 2.0} = :math |> Python.call_async(:sqrt, [4]) |> Python.await())},
        {"cancelled calls", 10_000, 500_000,
         quote(do: :ok = :math |> Python.call_async(:sqrt, [4]) |> Python.cancel())},
        {"timeouts in the queue or at work", 300, 10_000,
         quote(do: Python.call(:time, :sleep, [0.002], timeout: 1))}
      ] do
    @code code
    test "#{what} leave memory flat" do
      assert_flat(times(unquote(usual), unquote(long)), fn -> unquote(@code) end)
    end
  end

  test "callers that die leave memory flat" do
    assert_flat(times(500, 50_000), fn ->
      {pid, monitor} = spawn_monitor(fn -> Python.call(:time, :sleep, [0.001]) end)
      Process.exit(pid, :kill)
      receive(do: ({:DOWN, ^monitor, _, _, _} -> :ok))
    end)
  end

  test "pools that come and go leave memory flat" do
    assert_flat(times(50, 2_000), fn ->
      {:ok, pid} = Python.Pool.start_link(name: MemoryTestPool, size: 2)
      {:ok, 2.0} = Python.call(:math, :sqrt, [4], pool: MemoryTestPool)
      GenServer.stop(pid)
    end)
  end
end
