defmodule Python.With.ThreadTest do
  # Python.with: enter, body and exit on one thread and in one context of variables; its timeout.

  use Python.EngineCase, async: true

  alias Python.{Error, Pool, StoppedError, TimeoutError}

  setup_all do: Python.SupportModules.find()

  defp new(class, arguments \\ [], place \\ []),
    do: Python.call!(:managers, class, arguments, [return: :object] ++ place)

  defp ask(name, place \\ []), do: Python.call!(:managers, name, [], place)

  # Where: pools of one and of more workers, the default one, and a context.
  defp places do
    context = start_context()
    [[pool: start_pool()], [pool: start_pool(size: 3)], [], [context: context]]
  end

  defp threads(manager), do: Python.getattr!(manager, :threads)
  defp clean, do: ["clean", true, 28]

  @tag engine: :main
  test "all happens on one thread, which is the body's alone" do
    for place <- places() do
      manager = new(:Threads, [], place)
      me = self()

      idents =
        Python.with(manager, fn entered ->
          assert self() == me

          [
            ask(:ident),
            ask(:ident, place),
            Python.eval!("__import__('threading').get_ident()"),
            Python.call!(entered, "__class__") && Python.getattr!(entered, :threads) |> hd(),
            Python.await(Python.call_async(:managers, :ident)) |> elem(1),
            Python.map(:managers, :ident, [[]]) |> elem(1) |> hd(),
            Python.eval!("f()", %{f: fn -> ask(:ident, place) end})
          ]
        end)

      assert [thread, thread] = threads(manager)
      assert Enum.uniq(idents) == [thread]
    end
  end

  test "so managers work that belong to their thread or context, and nobody else sees a change" do
    for place <- places() do
      assert ask(:state, place) == clean()

      for fail <- [false, true], _ <- 1..5 do
        body = fn _ ->
          assert ["token", false, 28] = ask(:state)
          precision = Python.call!(:decimal, :localcontext, [], return: :object)

          Python.with(precision, fn context ->
            Python.setattr!(context, :prec, 4)
            assert ["token", false, 4] = ask(:state, place)
            assert Python.eval!("str(__import__('decimal').Decimal(1) / 3)") == "0.3333"
          end)

          assert ["token", false, 28] = ask(:state)
          if fail, do: raise("failed"), else: :done
        end

        run = fn ->
          Python.with(new(:Token, ["token"], place), fn "token" ->
            Python.with(new(:NoGrad, [], place), body)
          end)
        end

        if fail, do: assert_raise(RuntimeError, run), else: assert(run.() == :done)
        assert ask(:state, place) == clean()
      end
    end
  end

  @tag blocks: "other calls go on during a body, on the same thread"
  test "many processes at once" do
    for place <- [[pool: start_pool(size: 2)], [pool: start_pool()], []] do
      others = Task.async(fn -> for _ <- 1..200, do: ask(:state, place) end)

      1..4
      |> Task.async_stream(
        fn n ->
          for m <- 1..50 do
            assert Python.with(new(:Token, [[n, m]], place), fn _ ->
                     Python.with(new(:NoGrad, [], place), fn _ ->
                       assert [[^n, ^m], false, 28] = ask(:state, place)
                       if rem(m, 7) == 0, do: Process.sleep(1)
                       assert [[^n, ^m], false, 28] = ask(:state)
                       m
                     end)
                   end) == m
          end
        end,
        timeout: 60_000
      )
      |> Stream.run()

      # Of other threads' flags nobody may see a change either.
      assert Enum.uniq(Task.await(others, 60_000)) == [clean()]
      for _ <- 1..20, do: assert(ask(:state, place) == clean())
    end
  end

  @tag blocks: "other calls go on during a body, on the same thread"
  test "while a body holds a context, other calls of it wait" do
    context = start_context()
    test = self()

    holder =
      Task.async(fn ->
        Python.with(new(:Token, ["held"], context: context), fn _ ->
          send(test, :in)
          receive do: (:go -> :ok)
          # Neither while a function of Elixir's is waited for.
          Python.eval!("f()", %{f: fn -> Process.sleep(20) && nil end})
          ask(:state)
        end)
      end)

    assert_receive :in, 5_000
    other = Task.async(fn -> ask(:state, context: context) end)

    assert {:error, %TimeoutError{reason: :queued}} =
             Python.eval("1", context: context, timeout: 30)

    send(holder.pid, :go)
    assert Task.await(holder) == ["held", true, 28]
    assert Task.await(other) == clean()
  end

  test "streams in the body are read on its thread, and closed there" do
    for place <- places() do
      manager = new(:Threads, [], place)
      before = Python.stream(:managers, :idents, [], [max_chunk: 1] ++ place)

      items =
        Python.with(new(:Token, ["stream"], place), fn _ ->
          Python.with(manager, fn _ ->
            inside =
              Python.stream(:managers, :idents, [], [max_chunk: 2] ++ place) |> Enum.take(5)

            # One that was made outside of it, and is begun here.
            inside ++ Enum.take(before, 3)
          end)
        end)

      assert [thread, thread] = threads(manager)
      assert Enum.uniq(items) == [[thread, "stream"]]
      # Where the manager is.
      ends = Python.eval!("m and __import__('managers').ENDS", %{m: manager}, place)
      assert Enum.all?(ends, &is_list/1)
      assert [thread, "stream"] in ends
      assert length(Enum.take(before, 2)) == 2
    end
  end

  test "a stream that was opened outside goes on in the body and after it" do
    for place <- places() do
      stream = Python.stream(:itertools, :count, [], [max_chunk: 1, prefetch: 1] ++ place)
      step = fn item, _ -> {:suspend, item} end
      {:suspended, 0, next} = Enumerable.reduce(stream, {:cont, nil}, step)

      next =
        Python.with(new(:Token, ["x"], place), fn _ ->
          {:suspended, 1, next} = next.({:cont, nil})
          {:suspended, 2, next} = next.({:cont, nil})
          {:suspended, 3, next} = next.({:cont, nil})
          next
        end)

      {:suspended, 4, next} = next.({:cont, nil})
      assert {:halted, _} = next.({:halt, nil})
    end
  end

  test "a function that Python calls may use it, on the thread of the outer call" do
    for place <- places() do
      manager = new(:Threads, [], place)

      outer = fn ->
        Python.with(manager, fn _ ->
          Python.with(new(:Token, ["deep"], place), fn _ -> ask(:state, place) end)
        end)
      end

      assert Python.call!(:managers, :calling, [outer], place) == ["deep", true, 28]
      assert [thread, thread] = threads(manager)
      assert ask(:state, place) == clean()
    end
  end

  test "two bodies of different pools: each call goes to the thread of its own" do
    {one, other} = {[pool: start_pool(size: 2)], [pool: start_pool(size: 2)]}
    {outer, inner} = {new(:Threads, [], one), new(:Threads, [], other)}

    {ofs, ofo, here} =
      Python.with(outer, fn _ ->
        Python.with(
          inner,
          fn _ -> {ask(:ident, one), ask(:ident, other), ask(:ident)} end,
          other
        )
      end)

    assert threads(outer) == [ofs, ofs]
    assert threads(inner) == [ofo, ofo]
    assert here == ofo

    # What names no place is the outer body's, whatever pool has made the manager, if one can use what another has.
    {outer, inner} = {new(:Threads, [], one), new(:Threads, [], other)}
    Python.with(outer, fn _ -> Python.with(inner, fn _ -> ask(:ident) end) end)
    assert threads(outer) == threads(inner) == Python.Engines.in_vm?()
  end

  test "works with sqlite3's connection in a context" do
    {:ok, context} =
      Python.Context.start_link(init: "import sqlite3; db = sqlite3.connect(':memory:')")

    db = Python.eval!("db", context: context)
    Python.call!(db, :execute, ["create table t (n)"])
    insert = &Python.call!(db, :execute, ["insert into t values (?)", {&1}])

    Python.with(db, fn _ -> for n <- 1..3, do: insert.(n) end)

    assert_raise RuntimeError, fn ->
      Python.with(db, fn _ -> insert.(4) && raise("rolled back") end)
    end

    assert Enum.to_list(Python.call!(db, :execute, ["select n from t"])) == [{1}, {2}, {3}]
  end

  test "tells __exit__ of the error with a traceback, and raises what the manager makes of it" do
    manager = new(:Threads)
    assert_raise RuntimeError, fn -> Python.with(manager, fn _ -> raise "x" end) end
    assert Python.getattr!(manager, :traced)
    error = assert_raise Error, fn -> Python.with(new(:translating), fn _ -> raise "x" end) end
    assert error.type == "KeyError"
    # What was raised is the cause, as it was.
    assert Exception.message(error) =~ "x"
  end

  describe "its timeout" do
    defp eventually_left(manager),
      do: eventually("the manager is left", fn -> length(threads(manager)) == 2 end)

    # Of the pool or context: with one of its own the body has a process of its own, see Python.BodyTest.
    defp places_with_a_timeout do
      context = start_context(timeout: 500)

      [
        [pool: start_pool(timeout: 500)],
        [pool: start_pool(size: 3, timeout: 500)],
        [context: context]
      ]
    end

    test "ends the hold while the body goes on, and is what with raises" do
      for place <- places_with_a_timeout() do
        manager = new(:Threads, [], place)
        test = self()

        {took, _} =
          timed(fn ->
            error =
              assert_raise TimeoutError, fn ->
                Python.with(manager, fn _ ->
                  Process.sleep(700)
                  # Whatever it asks now is refused.
                  assert {:error, %TimeoutError{}} = Python.eval("1")
                  assert {:error, %TimeoutError{}} = Python.eval("1", place)
                  assert {:error, %TimeoutError{}} = Python.str(manager, timeout: :infinity)

                  assert_raise TimeoutError, fn ->
                    Enum.to_list(Python.stream_eval("[1]", place))
                  end

                  assert_raise TimeoutError, fn -> Python.call_async(:math, :sqrt, [4]) end
                  send(test, :asked)
                  :never_seen
                end)
              end

            assert error.timeout == 500
            assert error.message =~ "Python.with"
          end)

        assert took < 5_000
        assert_received :asked
        eventually_left(manager)
        assert Python.getattr!(Python.getattr!(manager, :error), :type) == "Python.TimeoutError"
        assert ask(:state, place) == clean()
        assert messages() == []
      end
    end

    test "gives the worker back, whatever the body does" do
      pool = start_pool(timeout: 500)
      manager = new(:Threads, [], pool: pool)
      body = spawn(fn -> Python.with(manager, fn _ -> receive do: (:never -> :ok) end) end)

      eventually_left(manager)
      assert Python.eval!("1", pool: pool) == 1
      assert Process.alive?(body)
      Process.exit(body, :kill)
    end

    test "ends what the body is waiting for" do
      for place <- places() do
        manager = new(:Threads, [], place)
        loop = fn _ -> Python.eval!("[0 for _ in iter(int, 1)]") end

        {took, _} =
          timed(fn ->
            assert_raise TimeoutError, fn -> Python.with(manager, loop, timeout: 300) end
          end)

        assert took < 2_000
        eventually_left(manager)
        assert messages() == []
      end
    end

    test "is kept when a C function cannot be interrupted" do
      pool = start_pool()
      manager = new(:Threads, [], pool: pool)
      sleep = fn _ -> Python.call!(:time, :sleep, [3], pool: pool) end

      {took, _} =
        timed(fn ->
          assert_raise TimeoutError, fn -> Python.with(manager, sleep, timeout: 50) end
        end)

      assert took < 2_500
      assert Python.eval!("1", pool: pool) == 1
      eventually_left(manager)
    end

    @tag engine: :main
    test "covers the entering and the leaving" do
      lock = Python.call!(:threading, :Lock)
      Python.call!(lock, :acquire)
      assert_raise TimeoutError, fn -> Python.with(lock, fn _ -> flunk("in") end, timeout: 50) end
      Python.call!(lock, :release)

      slow = new(:Threads, [0.9])
      assert_raise TimeoutError, fn -> Python.with(slow, fn _ -> :done end, timeout: 500) end
      # It has a second for that.
      eventually_left(slow)
      assert messages() == []
    end

    test "of an outer body ends the inner one's" do
      {outer, inner} = {new(:Threads), new(:Threads)}

      assert_raise TimeoutError, fn ->
        Python.with(outer, fn _ -> Python.with(inner, fn _ -> Process.sleep(900) end) end,
          timeout: 500
        )
      end

      eventually_left(outer)
      eventually_left(inner)
    end

    test "is checked as those of calls are" do
      manager = new(:Threads)
      assert_raise ArgumentError, fn -> Python.with(manager, fn _ -> 1 end, timeout: -1) end
      assert_raise ArgumentError, fn -> Python.with(manager, fn _ -> 1 end, nope: 1) end
      assert Python.with(manager, fn _ -> 1 end, timeout: :infinity) == 1
    end
  end

  describe "a body" do
    test "whose process is killed is left, with an error" do
      for place <- places() do
        manager = new(:Threads, [0.1], place)
        test = self()

        body =
          spawn(fn ->
            Python.with(manager, fn _ ->
              send(test, :in)
              Process.sleep(:infinity)
            end)
          end)

        assert_receive :in, 5_000
        Process.exit(body, :kill)
        eventually_left(manager)
        assert Python.getattr!(Python.getattr!(manager, :error), :kind) == "exit"
        assert ask(:state, place) == clean()
      end
    end

    test "whose process is killed while it asks something is left" do
      for place <- places() do
        manager = new(:Threads, [], place)
        test = self()

        body =
          spawn(fn ->
            Python.with(manager, fn _ ->
              send(test, :in)
              Python.eval("[0 for _ in iter(int, 1)]")
            end)
          end)

        assert_receive :in, 5_000
        Process.sleep(20)
        Process.exit(body, :kill)
        eventually_left(manager)
        assert ask(:state, place) == clean()
      end
    end

    test "whose pool stops is told so" do
      pool = start_pool()
      manager = new(:Threads, [], pool: pool)

      assert_raise StoppedError, fn ->
        Python.with(manager, fn _ ->
          stop_supervised!(pool)
          assert {:error, %StoppedError{}} = Python.eval("1")
          assert {:error, %StoppedError{}} = Python.str(manager)
        end)
      end

      if Python.Engines.in_vm?() do
        eventually("it is left", fn ->
          length(Python.getattr!(manager, :threads, pool: Pool)) == 2
        end)
      end
    end

    test "leaves nothing behind in its process" do
      Python.with(new(:Threads), fn _ -> Python.eval!("1") end)
      catch_throw(Python.with(new(:Threads), fn _ -> throw(:x) end))
      assert messages() == []
      refute Enum.any?(Process.get(), fn {key, _} -> match?({Python.Callback, _}, key) end)
    end
  end

  test "if bodies hold all workers of a pool, other calls go on" do
    pool = start_pool(size: 2)
    test = self()

    holders =
      for _ <- 1..12 do
        Task.async(fn ->
          Python.with(new(:Token, ["held"], pool: pool), fn _ ->
            send(test, :in)
            receive do: (:go -> ask(:state))
          end)
        end)
      end

    for _ <- holders, do: assert_receive(:in, 10_000)
    for _ <- 1..20, do: assert(ask(:state, pool: pool) == clean())
    # A body may wait for what another process asks of the pool.
    for holder <- holders, do: send(holder.pid, :go)
    assert Enum.uniq(Task.await_many(holders)) == [["held", true, 28]]
    eventually_idle(pool)
    assert Pool.stats(pool).workers == 2
  end

  test "comes to its end whenever the caller's garbage is collected" do
    pool = start_pool(size: 4)
    code = "__import__('contextlib').nullcontext(5)"

    tasks =
      for _ <- 1..20 do
        Task.async(fn ->
          for _ <- 1..30 do
            manager = Python.eval!(code, return: :object, pool: pool)
            5 = Python.with(manager, & &1, timeout: :infinity)
          end

          :done
        end)
      end

    collector =
      spawn_link(fn ->
        Stream.repeatedly(fn -> for task <- tasks, do: :erlang.garbage_collect(task.pid) end)
        |> Stream.run()
      end)

    results = Task.yield_many(tasks, 60_000)
    Process.unlink(collector)
    Process.exit(collector, :kill)
    assert Enum.all?(results, &match?({_task, {:ok, :done}}, &1))
  end
end
