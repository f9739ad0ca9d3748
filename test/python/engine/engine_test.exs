defmodule Python.EngineTest do
  # What a user sees of an engine is the same for all. Here for the VM's interpreter, and for one that has no Python
  # and answers from a table: so nothing outside of lib/python/engine/ knows which engine it speaks to.

  use Python.TestCase, async: true

  alias Python.{Error, OverloadedError, Pool, StoppedError, TimeoutError}

  for {name, engine} <- [main: :main, fake: Python.FakeEngine] do
    describe "on the engine #{name}" do
      @describetag engine: engine

      setup %{engine: engine}, do: {:ok, pool: start_pool(engine: engine)}

      test "calls, expressions and statements have their answers", %{pool: pool} do
        assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
        assert Python.call(:math, :sqrt, [16], pool: pool, timeout: :infinity) == {:ok, 4.0}
        assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
        assert Python.exec("pass", pool: pool) == :ok
        assert Python.map(:math, :sqrt, [[16], [16]], pool: pool) == {:ok, [4.0, 4.0]}
        assert %{done: 5, failed: 0, busy: 0, workers: 1} = Pool.stats(pool)
      end

      test "its workers are told, with what they have done", %{pool: pool} do
        assert [%{os_pid: nil, busy: false, calls: 0, memory: nil}] = Pool.workers(pool)
        for _ <- 1..3, do: Python.call!(:math, :sqrt, [16], pool: pool)
        # An answer may be here before its worker has put the call away.
        eventually("it is idle", fn -> match?([%{busy: false, calls: 3}], Pool.workers(pool)) end)
        running = Python.call_async(:time, :sleep, [5], pool: pool)
        eventually("it works", fn -> match?([%{busy: true, calls: 4}], Pool.workers(pool)) end)
        Python.cancel(running)
      end

      test "what Python raises is an error", %{pool: pool} do
        assert {:error, %Error{type: "ValueError"} = error} =
                 Python.call(:builtins, :int, ["x"], pool: pool)

        assert error.message =~ "invalid literal"
        assert_raise Error, fn -> Python.call!(:builtins, :int, ["x"], pool: pool) end

        assert {:error, %Error{type: "ValueError", notes: [note]}} =
                 Python.map(:builtins, :int, [["x"]], pool: pool)

        assert note =~ "index 0"
        assert %{failed: 3} = Pool.stats(pool)
      end

      test "a stream has its items, as many as are wanted", %{pool: pool} do
        range = Python.stream(:builtins, :range, [5], pool: pool)
        assert Enum.to_list(range) == [0, 1, 2, 3, 4]
        assert Enum.to_list(range) == [0, 1, 2, 3, 4]

        numbers = Python.stream(:itertools, :count, [], pool: pool, max_chunk: 3)
        assert Enum.take(numbers, 7) == [0, 1, 2, 3, 4, 5, 6]
        assert Enum.zip(numbers, range) |> length() == 5

        assert_raise Error, fn ->
          :builtins |> Python.stream(:int, ["x"], pool: pool) |> Enum.to_list()
        end
      end

      test "a call past its timeout is given up, and its worker is free", %{pool: pool} do
        assert {:error, %TimeoutError{timeout: 50, reason: :running}} =
                 Python.call(:time, :sleep, [5], pool: pool, timeout: 50)

        assert Python.call(:builtins, :abs, [-1], pool: pool) == {:ok, 1}
        assert %{timed_out: 1} = Pool.stats(pool)

        async = Python.call_async(:time, :sleep, [5], pool: pool, timeout: 50)
        assert {:error, %TimeoutError{timeout: 50}} = Python.await(async)
      end

      test "a full queue refuses calls", %{engine: engine} do
        pool = start_pool(engine: engine, max_queue: 1)
        running = Python.call_async(:time, :sleep, [5], pool: pool)
        eventually_busy(pool)
        queued = Python.call_async(:builtins, :abs, [-1], pool: pool)

        assert {:error, %OverloadedError{}} = Python.call(:math, :sqrt, [16], pool: pool)
        assert %{busy: 1, queued: 1} = Pool.stats(pool)

        assert Python.cancel(running) == :ok
        assert Python.await(queued) == {:ok, 1}
        assert Python.call(:math, :sqrt, [16], pool: pool) == {:ok, 4.0}
      end

      test "a call ends with its caller", %{pool: pool} do
        test = self()

        caller =
          spawn(fn ->
            send(test, :calling)
            Python.call(:time, :sleep, [5], pool: pool, timeout: 60_000)
          end)

        assert_receive :calling
        eventually_busy(pool)
        Process.exit(caller, :kill)
        assert Python.call(:builtins, :abs, [-1], pool: pool) == {:ok, 1}
      end

      test "the end of a pool is an error for what runs and what waits", %{pool: pool} do
        running = Python.call_async(:time, :sleep, [5], pool: pool)
        eventually_busy(pool)
        queued = Python.call_async(:builtins, :abs, [-1], pool: pool)
        stop_supervised!(pool)
        assert {:error, %StoppedError{}} = Python.await(running)
        assert {:error, %StoppedError{}} = Python.await(queued)
        assert {:error, %Python.NotStartedError{}} = Python.eval("1 + 1", pool: pool)
      end

      test "an :init runs before the first call, or the pool does not start", %{engine: engine} do
        pool = start_pool(engine: engine, init: "pass")
        assert Python.eval("1 + 1", pool: pool) == {:ok, 2}

        Process.flag(:trap_exit, true)

        assert {:error, %Error{}} =
                 Pool.start_link(
                   name: String.to_atom(unique("Elixir.NoPool")),
                   engine: engine,
                   init: "fails"
                 )
      end

      test "calls are made from a function that Python calls, and from the body of a with", %{
        pool: pool
      } do
        nested = fn -> Python.call!(:math, :sqrt, [16], pool: pool) end
        assert Python.eval("nested()", %{nested: nested}) == {:ok, 4.0}

        lock = Python.call!(:threading, :Lock, [], return: :object)
        numbers = Python.stream(:builtins, :range, [5], pool: pool)

        assert Python.with(lock, fn _ -> {nested.(), Enum.to_list(numbers)} end) ==
                 {4.0, [0, 1, 2, 3, 4]}
      end

      test "a context runs calls, also by its pid", %{engine: engine} do
        {:ok, context} = Python.Context.start_link(engine: engine, init: "pass")
        assert Python.eval("1 + 1", context: context) == {:ok, 2}
        assert Python.eval("1 + 1", context: context.pid) == {:ok, 2}
        assert Python.Context.stop(context) == :ok
        assert {:error, %Python.NotStartedError{}} = Python.eval("1 + 1", context: context.pid)
      end
    end
  end

  test "a call of a handle is made where the handle lives, in the body of a with of another engine too" do
    object = %Python.Object{ref: make_ref(), home: start_pool(engine: Python.FakeEngine)}
    lock = Python.call!(:threading, :Lock, [], return: :object)

    # What the other engine says of it; the VM's interpreter would say that it is no object.
    assert {:error, %Error{type: "KeyError"} = error} = Python.call(object, :name)
    assert Python.with(lock, fn _ -> Python.call(object, :name) end) == {:error, error}
    assert {:error, %Error{type: "KeyError"}} = Python.len(object)
  end

  describe "the option :engine" do
    test "is an engine's name" do
      for engine <- [:nonsense, Enum, "main", 1] do
        assert_raise ArgumentError,
                     ~r/the option :engine of a pool to be one of :asyncio, :main, :process, got: /,
                     fn ->
                       Pool.start_link(name: NoPool, engine: engine)
                     end

        assert_raise ArgumentError,
                     ~r/the option :engine of a context to be one of :asyncio, :main, :process, got: /,
                     fn ->
                       Python.Context.start_link(engine: engine)
                     end
      end
    end

    test "brings the engine's own options, with their checks" do
      pool = start_pool(engine: Python.FakeEngine, patience: 3)
      assert Python.eval("1 + 1", pool: pool) == {:ok, 2}

      assert_raise ArgumentError,
                   ~r/the option :patience of a pool to be an integer from 1/,
                   fn ->
                     Pool.start_link(name: NoPool, engine: Python.FakeEngine, patience: 11)
                   end

      assert_raise ArgumentError, ~r/unknown option :patience of a pool/, fn ->
        Pool.start_link(name: NoPool, patience: 3)
      end
    end
  end
end
