defmodule Python.Timeouts.CancellationTest do
  # Alone: some of it takes the interpreter for itself.
  use Python.EngineCase

  import Python.Notes

  alias Python.Pool

  setup do
    Python.SupportModules.find()
    Python.import!(:production)
    :ok
  end

  # Starts a process that calls code which tells of its coming and going, and waits until it is there.
  defp guarded(call) do
    name = new_name()
    {pid, monitor} = spawn_monitor(fn -> call.(name) end)
    eventually_told(name, "in")
    {name, pid, monitor}
  end

  # All that was entered was left, once and in order, and the worker is free.
  defp assert_left(name, pool) do
    eventually_told(name, "out")
    assert events(name) == ["in", "Interrupt", "finally", "left", "out"]
    eventually_idle(pool)
    assert Python.call(:production, :echo, [name], pool: pool) == {:ok, name}
    assert Pool.stats(pool).workers == 1
  end

  describe "Python code is left by its finally blocks and context managers when" do
    test "it runs past its timeout" do
      pool = start_pool()
      call = &Python.call(:production, :guarded, [&1], pool: pool, timeout: 200)
      {name, _, _} = guarded(call)
      assert_left(name, pool)
    end

    for reason <- [:kill, :shutdown, :noconnection, {:any, "reason"}] do
      test "the caller exits with #{inspect(reason)}" do
        pool = start_pool()
        call = &Python.call(:production, :guarded, [&1], pool: pool, timeout: :infinity)
        {name, pid, monitor} = guarded(call)
        Process.exit(pid, unquote(Macro.escape(reason)))
        assert_receive {:DOWN, ^monitor, _, _, _}, 10_000
        assert_left(name, pool)
      end
    end

    test "the caller's supervisor ends it" do
      pool = start_pool()
      name = new_name()
      call = fn -> Python.call(:production, :guarded, [name], pool: pool, timeout: :infinity) end
      supervisor = start_supervised!({Task.Supervisor, []})
      {:ok, _} = Task.Supervisor.start_child(supervisor, call)
      eventually_told(name, "in")
      stop_supervised!(Task.Supervisor)
      assert_left(name, pool)
    end

    test "a Task that calls is shut down" do
      pool = start_pool()
      name = new_name()

      task =
        Task.async(fn ->
          Python.call(:production, :guarded, [name], pool: pool, timeout: :infinity)
        end)

      eventually_told(name, "in")
      assert Task.shutdown(task, :brutal_kill) == nil
      assert_left(name, pool)
    end

    test "the owner of an asynchronous call ends, normally too" do
      pool = start_pool()

      {name, _, monitor} =
        guarded(fn name ->
          options = [pool: pool, timeout: :infinity]
          Python.call_async(:production, :guarded, [name], options)
          eventually_told(name, "in")
        end)

      assert_receive {:DOWN, ^monitor, _, _, :normal}, 10_000
      assert_left(name, pool)
    end

    test "it is cancelled" do
      pool = start_pool()
      name = new_name()
      async = Python.call_async(:production, :guarded, [name], pool: pool, timeout: :infinity)
      eventually_told(name, "in")
      assert Python.cancel(async) == :ok
      assert_left(name, pool)
      assert messages() == []
    end

    test "its map is cancelled in the middle" do
      pool = start_pool()

      {name, pid, monitor} =
        guarded(&Python.map(:production, :guarded, [[&1], [&1]], pool: pool, timeout: :infinity))

      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, :killed}, 10_000
      assert_left(name, pool)
    end

    @tag blocks: "a plain function waits for Elixir"
    test "the process that calls it in a callback is killed" do
      pool = start_pool()
      inner = fn name -> Python.call(:production, :guarded, [name], pool: pool) end

      {name, pid, _} =
        guarded(fn name ->
          args = [fn -> inner.(name) end]
          Python.call(:production, :call, args, pool: pool, timeout: :infinity)
        end)

      Process.exit(pid, :kill)
      assert_left(name, pool)
    end
  end

  @tag engine: :main
  test "killing callers at any moment of 10,000 calls frees every worker" do
    pool = start_pool(size: 4)

    ends =
      1..20
      |> Enum.map(fn client ->
        Task.async(fn ->
          for n <- 1..500 do
            function = Enum.at([:wait, :spin, :echo, :nap, :until], rem(n, 5))
            args = Map.get(%{echo: [n], nap: [0.002, n], until: [0.001, n]}, function, [])
            options = [pool: pool, timeout: :infinity]

            {pid, monitor} =
              spawn_monitor(fn ->
                if rem(n + client, 3) == 0 do
                  Python.await(Python.call_async(:production, function, args, options), :infinity)
                else
                  Python.call(:production, function, args, options)
                end
              end)

            # From before it has asked to after it has its answer.
            for _ <- 1..:rand.uniform(50), do: :erlang.yield()
            if rem(n, 2) == 0, do: Process.sleep(:rand.uniform(3) - 1)
            Process.exit(pid, :kill)
            assert_receive {:DOWN, ^monitor, _, _, reason}, 30_000
            reason
          end
        end)
      end)
      |> Task.await_many(60_000)
      |> Enum.concat()
      |> Enum.frequencies()

    assert ends |> Map.values() |> Enum.sum() == 10_000
    assert Map.keys(ends) -- [:killed, :normal, :noproc] == []
    assert ends[:killed] > 1_000
    eventually_idle(pool)
    assert Pool.stats(pool).workers == 4

    # Each of them is: four calls meet.
    barrier = Python.call!(:threading, :Barrier, [4], return: :object)

    for result <-
          1..4
          |> Enum.map(fn _ ->
            Task.async(fn -> Python.call(barrier, :wait, [20], pool: pool, timeout: 30_000) end)
          end)
          |> Task.await_many(40_000),
        do: assert({:ok, _} = result)

    for n <- 1..500,
        do: assert(Python.call(:production, :until, [0.0, n], pool: pool) == {:ok, n})
  end
end
