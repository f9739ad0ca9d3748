defmodule Python.Engine.Process.CrowdsTest do
  # Many callers of few processes: requests lie with a process ahead, and nothing of that is to be noticed.
  use Python.TestCase, async: true

  alias Python.{CrashedError, StoppedError, TimeoutError}

  @moduletag :capture_log

  setup context do
    {:ok, pool: start_pool([engine: :process, size: 1] ++ Map.get(context, :pool, []))}
  end

  defp until_stopped(pool, n) do
    case Python.eval("#{n}", %{}, pool: pool) do
      {:ok, ^n} -> until_stopped(pool, n + 1)
      {:error, %error{}} -> error
    end
  end

  # So that the process is one that answers at once.
  defp quickly(pool), do: for(n <- 1..20, do: {:ok, ^n} = Python.eval("#{n}", %{}, pool: pool))

  # In a function that sends `{:inside, pid}`, and waits until that gets `:go_on`.
  defp call_that_waits(pool) do
    own = self()

    back = fn ->
      send(own, {:inside, self()})
      receive(do: (:go_on -> :done))
    end

    Task.async(fn -> Python.eval("f()", %{f: back}, pool: pool) end)
  end

  defp idle?(pool), do: match?(%{busy: 0, queued: 0}, Python.Pool.stats(pool))

  test "what is given up before its turn never runs", %{pool: pool} do
    Python.exec("ran = []", pool: pool)

    for n <- 1..30 do
      quickly(pool)
      slow = Python.eval_async("__import__('time').sleep(0.05) or 'slow'", %{}, pool: pool)

      others =
        for m <- 1..20, do: {m, Python.eval_async("ran.append((#{n}, #{m}))", %{}, pool: pool)}

      for {m, other} <- others, rem(m, 2) == 0, do: Python.cancel(other)
      assert Python.await(slow) == {:ok, "slow"}
      for {m, other} <- others, rem(m, 2) == 1, do: assert(Python.await(other) == {:ok, nil})
      wanted = for m <- 1..19//2, do: {n, m}
      assert Python.eval!("[ran.pop(0) for _ in range(len(ran))]", pool: pool) == wanted
    end

    eventually("nothing is at work", fn -> idle?(pool) end)
  end

  @tag :tmp_dir
  test "whose time is over before its turn is told so", %{pool: pool, tmp_dir: dir} do
    Python.exec("ran = []", pool: pool)

    code =
      "any(iter(lambda: __import__('os').path.exists(gate) or __import__('time').sleep(0.01), True))"

    for n <- 1..5 do
      quickly(pool)
      gate = Path.join(dir, "gate#{n}")
      slow = Python.eval_async(code, %{gate: gate}, pool: pool)

      callers =
        for _ <- 1..10 do
          Task.async(fn -> Python.eval("ran.append(1)", %{}, pool: pool, timeout: 100) end)
        end

      for answer <- Task.await_many(callers),
          do: assert({:error, %TimeoutError{reason: :queued}} = answer)

      File.write!(gate, "")
      assert Python.await(slow) == {:ok, false}
      assert Python.eval!("ran", pool: pool) == []
    end
  end

  test "what waits counts as waiting, and is in no place that another one needs", context do
    pool = start_pool(engine: :process, size: 1, max_queue: 5)
    quickly(pool)
    slow = Python.eval_async("__import__('time').sleep(0.3)", %{}, pool: pool)
    eventually("it runs", fn -> Python.Pool.stats(pool).busy == 1 end)
    calls = for n <- 1..5, do: Python.eval_async("#{n}", %{}, pool: pool)
    assert Python.Pool.stats(pool).queued == 5
    assert {:error, %Python.OverloadedError{}} = Python.eval("6", %{}, pool: pool)
    assert for(call <- calls, do: Python.await(call)) == for(n <- 1..5, do: {:ok, n})
    assert Python.await(slow) == {:ok, nil}
    eventually("nothing is at work", fn -> idle?(pool) end)
    assert context.pool != pool
  end

  test "the time that is left is that of the caller", %{pool: pool} do
    quickly(pool)
    slow = Python.eval_async("__import__('time').sleep(0.4)", %{}, pool: pool)
    code = "__import__('erlang').time_left()"

    callers =
      for _ <- 1..10 do
        Task.async(fn -> Python.eval!(code, %{}, pool: pool, timeout: 5_000) end)
      end

    for left <- Task.await_many(callers), do: assert(left > 1 and left < 4.75)
    assert Python.await(slow) == {:ok, nil}
  end

  test "a crash is one call's", %{pool: pool} do
    for round <- 1..5 do
      callers =
        for n <- 1..32 do
          Task.async(fn ->
            for m <- 1..20 do
              code = if {n, m} == {7, 10}, do: "__import__('os')._exit(#{round})", else: "#{m}"
              {m, Python.eval(code, %{}, pool: pool, timeout: 60_000)}
            end
          end)
        end

      answers = callers |> Task.await_many(120_000) |> Enum.concat()
      {right, others} = Enum.split_with(answers, fn {m, answer} -> answer == {:ok, m} end)
      assert [{10, {:error, %CrashedError{exit_status: ^round}}} | more] = Enum.sort(others)
      # One that was about to begin when the process ended.
      assert length(more) <= 1 and length(right) >= 638
    end
  end

  @tag pool: [kill_after: 50]
  test "one that has to be killed takes none of those behind it along", %{pool: pool} do
    for _ <- 1..3 do
      quickly(pool)
      stuck = Python.eval_async("sum(range(10**11))", %{}, pool: pool, timeout: 100)

      callers =
        for n <- 1..10 do
          Task.async(fn -> Python.eval("#{n}", %{}, pool: pool, timeout: 60_000) end)
        end

      assert Task.await_many(callers, 60_000) == for(n <- 1..10, do: {:ok, n})
      assert {:error, %TimeoutError{}} = Python.await(stuck)
    end
  end

  @tag pool: [size: 2]
  test "a call that takes long holds up none of those behind it", %{pool: pool} do
    for _ <- 1..10 do
      for _ <- 1..2, do: quickly(pool)

      {time, _} =
        :timer.tc(fn ->
          slow = Python.eval_async("__import__('time').sleep(3)", %{}, pool: pool)

          callers = for n <- 1..20, do: Task.async(fn -> Python.eval("#{n}", %{}, pool: pool) end)

          assert Task.await_many(callers) == for(n <- 1..20, do: {:ok, n})
          Python.cancel(slow)
        end)

      assert time < 2_900_000
      eventually("nothing is at work", fn -> idle?(pool) end)
    end
  end

  test "what a callback waits for is behind it", %{pool: pool} do
    for _ <- 1..times(300, 20_000) do
      quickly(pool)
      outer = call_that_waits(pool)
      callers = for n <- 1..10, do: Task.async(fn -> Python.eval("#{n}", %{}, pool: pool) end)
      assert_receive {:inside, inside}, 10_000
      assert Task.await_many(callers, 10_000) == for(n <- 1..10, do: {:ok, n})
      send(inside, :go_on)
      assert {:ok, _done} = Task.await(outer)
    end
  end

  test "chunks of a stream that is opened there are made ahead", %{pool: pool} do
    Python.exec!("made = []", pool: pool)
    outer = call_that_waits(pool)
    assert_receive {:inside, inside}, 10_000
    code = "(made.append(n) or n for n in __import__('itertools').count())"
    options = [pool: pool, max_chunk: 10, max_wait: 60_000]

    {:suspended, 0, rest} =
      code
      |> Python.stream_eval(options)
      |> Enumerable.reduce({:cont, nil}, fn n, _ -> {:suspend, n} end)

    eventually("another chunk is made", fn -> Python.eval!("len(made)", pool: pool) == 20 end)
    rest.({:halt, nil})
    send(inside, :go_on)
    assert {:ok, _done} = Task.await(outer)
  end

  test "messages reach those that have not begun", %{pool: pool} do
    for _ <- 1..20 do
      quickly(pool)
      slow = Python.eval_async("__import__('time').sleep(0.01)", %{}, pool: pool)
      code = "__import__('erlang').receive(timeout=10)"
      calls = for n <- 1..8, do: {n, Python.eval_async(code, %{}, pool: pool)}
      for {n, call} <- calls, do: Python.send(call, n)
      for {n, call} <- calls, do: assert(Python.await(call) == {:ok, n})
      assert Python.await(slow) == {:ok, nil}
    end
  end

  @tag pool: [size: 2]
  test "what is handed in comes to its end when the pool is stopped", _context do
    for _ <- 1..5 do
      name = :"stopped_#{System.unique_integer([:positive])}"
      {:ok, pid} = Python.Pool.start_link(name: name, engine: :process, size: 2)

      callers =
        for _ <- 1..32 do
          Task.async(fn -> until_stopped(name, 1) end)
        end

      Process.sleep(30)
      Supervisor.stop(pid)

      assert Enum.uniq(Task.await_many(callers, 10_000)) -- [StoppedError, Python.NotStartedError] ==
               []
    end
  end

  @tag pool: [size: 1, max_calls: 50]
  test "a process makes as many calls as it may", %{pool: pool} do
    callers =
      for _ <- 1..16 do
        Task.async(fn ->
          for _ <- 1..40, do: Python.eval!("__import__('os').getpid()", %{}, pool: pool)
        end)
      end

    pids = callers |> Task.await_many(60_000) |> Enum.concat()
    assert pids |> Enum.frequencies() |> Map.values() |> Enum.max() <= 50
  end
end
