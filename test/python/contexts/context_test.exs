defmodule Python.Contexts.ContextTest do
  # Alone: it counts threads.
  use Python.EngineCase

  import Python.Notes

  alias Python.{Context, NotStartedError, OverloadedError, StoppedError, TimeoutError}

  setup do
    Python.SupportModules.find()
    Python.import!(:production)
    :ok
  end

  defp context(options \\ []), do: start_context(options)

  # Calls that wait at a gate hold the context until that is opened.
  defp hold(context) do
    name = new_name()

    holder =
      Python.call_async(:production, :pass_gate, [name], context: context, timeout: :infinity)

    {holder, fn -> open_gate(name) end}
  end

  describe "a context" do
    test "is the same thread in every call, from any process" do
      context = context()
      ident = Python.call!(:threading, :get_ident, [], context: context)

      idents =
        1..50
        |> Enum.map(fn n ->
          Task.async(fn ->
            case rem(n, 3) do
              0 -> Python.call!(:threading, :get_ident, [], context: context)
              1 -> Python.eval!("__import__('threading').get_ident()", context: context)
              2 -> Python.await(Python.call_async(:threading, :get_ident, [], context: context))
            end
          end)
        end)
        |> Task.await_many(30_000)

      assert Enum.all?(idents, &(&1 in [ident, {:ok, ident}]))
      # In a process of its own, perhaps.
      thread = "(__import__('os').getpid(), __import__('threading').get_ident())"
      refute Python.eval!(thread, context: context()) == Python.eval!(thread, context: context)
    end

    test "keeps its thread when a call of it fails or runs past its timeout" do
      context = context()
      ident = Python.call!(:threading, :get_ident, [], context: context)
      assert {:error, %Python.Error{}} = Python.eval("1 / 0", context: context)
      options = [context: context, timeout: 30]
      assert {:error, %TimeoutError{}} = Python.call(:production, :spin, [], options)
      assert Python.call(:threading, :get_ident, [], context: context) == {:ok, ident}
    end

    test "has names of its own" do
      [one, other] = [context(init: "n = 1"), context()]
      name = define("NAME = 'main'")
      assert Python.exec("#{name} = 'one'\ndef f(): return #{name}", context: one) == :ok
      assert Python.call(:__main__, :f, [], context: one) == {:ok, "one"}
      assert Python.eval("#{name}, n", context: one) == {:ok, {"one", 1}}

      for code <- [name, "n", "f()"] do
        assert {:error, %Python.Error{type: "NameError"}} = Python.eval(code, context: other)
      end

      assert Python.eval(name) == {:ok, "main"}
    end

    test "is where sqlite3 connections work" do
      context = context(init: "import sqlite3; db = sqlite3.connect(':memory:')")
      assert Python.exec("db.execute('create table t (n)')", context: context) == :ok

      for n <- 1..20,
          do:
            Python.eval!("db.execute('insert into t values (?)', (n,))", %{n: n},
              context: context,
              return: :object
            )

      assert Python.eval("db.execute('select sum(n) from t').fetchone()", context: context) ==
               {:ok, {210}}

      connection = Python.eval!("db", context: context)

      if Python.Engines.in_vm?() do
        assert {:error, %Python.Error{type: "ProgrammingError"}} =
                 Python.call(connection, :commit, [], pool: Python.Pool)
      else
        assert {:error, %Python.EncodeError{}} =
                 Python.call(connection, :commit, [], pool: Python.Pool)
      end

      assert Python.call(connection, :commit, [], context: context) == {:ok, nil}
      # It knows where it belongs.
      assert Python.call(connection, :commit) == {:ok, nil}
    end

    test "is where threading.local and context variables keep their values" do
      context =
        context(
          init:
            "import threading, contextvars; l = threading.local(); v = contextvars.ContextVar('v')"
        )

      assert Python.exec("l.x = 1; v.set(2)", context: context) == :ok
      assert Python.eval("l.x, v.get()", context: context) == {:ok, {1, 2}}
    end

    @tag blocks: "asyncio.run runs on no thread where a loop runs"
    test "is where asyncio runs, again and again, and with a loop that is kept" do
      context =
        context(
          init: """
          import asyncio
          async def twice(x):
              await asyncio.sleep(0.001)
              return 2 * x
          loop = asyncio.new_event_loop()
          asyncio.set_event_loop(loop)
          """
        )

      for n <- 1..5 do
        assert Python.eval("loop.run_until_complete(twice(n))", %{n: n}, context: context) ==
                 {:ok, 2 * n}
      end

      assert Python.eval("asyncio.run(twice(4))", context: context) == {:ok, 8}

      assert Python.eval("asyncio.run(asyncio.wait_for(twice(5), 5))", context: context) ==
               {:ok, 10}
    end

    test "runs calls one after the other, in the order in which they came" do
      context = context(init: "seen = []")
      {holder, release} = hold(context)

      calls =
        for n <- 1..50, do: Python.call_async(:__main__, "seen.append", [n], context: context)

      release.()
      assert Python.await(holder) == {:ok, "done"}
      for call <- calls, do: assert(Python.await(call) == {:ok, nil})
      assert Python.eval("seen", context: context) == {:ok, Enum.to_list(1..50)}
    end

    @tag blocks: "calls in flight are counted, and not those that wait"
    test "has a timeout and a bound for its queue" do
      context = context(timeout: 40, max_queue: 2)
      Python.call!(:builtins, :__import__, ["production"], context: context, timeout: 30_000)

      assert {:error, %TimeoutError{timeout: 40}} =
               Python.call(:production, :wait, [], context: context)

      {holder, release} = hold(context)
      options = [context: context, timeout: 30_000]

      # Until the one who waits for the lock is no longer in the queue.
      calls =
        eventually("two wait, and a third is refused", fn ->
          calls =
            for _ <- 1..3 do
              try do
                Python.call_async(:production, :echo, [1], options)
              rescue
                error in OverloadedError -> error
              end
            end

          if match?([%Python.Async{}, %Python.Async{}, %OverloadedError{}], calls) do
            calls
          else
            for %Python.Async{} = call <- calls, do: Python.cancel(call)
            nil
          end
        end)

      release.()
      assert Python.await(holder) == {:ok, "done"}
      for %Python.Async{} = call <- calls, do: assert(Python.await(call) == {:ok, 1})
    end
  end

  describe "a context is started" do
    test "by a supervisor, by name, and started again when it is killed" do
      name = String.to_atom(unique("Elixir.Context"))
      start_supervised!({Context, name: name, init: "x = 1"})
      assert Python.eval("x", context: name) == {:ok, 1}
      assert Python.exec("x = 2", context: name) == :ok
      pid = Process.whereis(name)
      Process.exit(pid, :kill)

      eventually("it is there again", fn ->
        Process.whereis(name) not in [nil, pid] and
          Python.eval("x", context: name) == {:ok, 1}
      end)
    end

    test "or is not, if its code fails, and the process that asked for it lives" do
      assert {:error, %Python.Error{type: "ZeroDivisionError"}} =
               Context.start_link(init: "1 / 0")

      assert messages() == []
    end

    test "or is not, if its options are invalid" do
      for {options, named} <- [
            {[max_queue: 0], "max_queue"},
            {[timeout: -1], "timeout"},
            {[size: 2], "size"},
            {[name: "text"], "name"},
            {[init: 1], "init"}
          ] do
        error = assert_raise ArgumentError, fn -> Context.start_link(options) end
        assert Exception.message(error) =~ named
      end
    end
  end

  describe "a context ends" do
    test "by stop: what runs is interrupted, what waits is answered, its names are gone" do
      name = new_name()
      gone = new_name()

      context =
        context(
          init: """
          import notes, production, threading
          class Gone:
              def __del__(self): notes.note(#{inspect(gone)}, str(threading.get_ident()))
          gone = Gone()
          """
        )

      ident = Python.call!(:threading, :get_ident, [], context: context)

      runs = Python.call_async(:production, :guarded, [name], context: context)
      eventually_told(name, "in")
      waits = Python.call_async(:production, :echo, [1], context: context)
      assert Context.stop(context) == :ok

      assert {:error, %StoppedError{}} = Python.await(runs)
      assert {:error, %StoppedError{}} = Python.await(waits)

      eventually_told(name, "out")
      eventually("its names are gone", fn -> events(gone) == [to_string(ident)] end)
      assert {:error, error} = Python.call(:math, :sqrt, [4], context: context)
      assert error.__struct__ in [StoppedError, NotStartedError]
      assert Context.stop(context) == :ok
      assert messages() == []
    end

    test "with its owner, however that ends" do
      for ending <- [:normal, :kill, :error] do
        me = self()

        {owner, monitor} =
          spawn_monitor(fn ->
            context = context()
            send(me, {:context, context})

            receive do
              :normal -> :ok
              :error -> exit(:some_reason)
            end
          end)

        assert_receive {:context, context}, 10_000
        watch = Process.monitor(context.pid)
        assert Python.eval("1", context: context) == {:ok, 1}
        if ending == :kill, do: Process.exit(owner, :kill), else: send(owner, ending)
        assert_receive {:DOWN, ^monitor, _, _, _}, 10_000
        assert_receive {:DOWN, ^watch, _, _, _}, 10_000
        assert {:error, _} = Python.eval("1", context: context)
      end
    end
  end

  # Unix systems only.
  if File.exists?("/proc/self/task") do
    defp threads, do: length(File.ls!("/proc/self/task"))

    defp rss do
      [_, pages | _] = String.split(File.read!("/proc/self/statm"))
      String.to_integer(pages) * 4_096
    end

    @tag engine: :main
    test "thousands are started and ended, and no thread and no memory is left" do
      round = fn count ->
        1..4
        |> Enum.map(fn client ->
          Task.async(fn ->
            for n <- 1..div(count, 4) do
              number = client * 100_000 + n
              context = context()
              # The same code each time: what is compiled is kept for a while.
              :ok = Python.exec("text = 'x' * 100_000", context: context)
              options = [context: context]

              assert Python.eval("n + len(text)", %{n: number}, options) ==
                       {:ok, number + 100_000}

              :ok = Context.stop(context)
            end
          end)
        end)
        |> Task.await_many(:infinity)
      end

      measured = fn before ->
        eventually("all threads have ended", fn -> threads() <= before end)
        :erlang.garbage_collect()
        Python.exec!("__import__('gc').collect()")
        {rss(), Python.eval!("__import__('sys').getallocatedblocks()")}
      end

      round.(200)
      Process.sleep(100)
      before = threads()
      # What a thread leaves behind for the next is there now.
      {rss, blocks} = measured.(before)
      count = times(2_000, 50_000)
      round.(count)
      {rss_after, blocks_after} = measured.(before)
      # The names alone would be 200 MB, a thread's stack 16 MB each.
      assert rss_after - rss < 24_000_000 + count * 200
      assert blocks_after - blocks < 1_000 + count / 4
    end
  end
end
