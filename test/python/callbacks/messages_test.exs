defmodule Python.Callbacks.MessagesTest do
  use Python.EngineCase, async: true

  @moduletag blocks: "plain functions wait for Elixir"

  setup_all do
    %{erlang: Python.import!(:erlang)}
  end

  describe "erlang.send" do
    test "sends to a pid", %{erlang: erlang} do
      assert Python.call(erlang, :send, [self(), {:hello, %{"n" => [1, nil]}}]) == {:ok, nil}
      assert_received {"hello", %{"n" => [1, nil]}}
    end

    test "keeps the order", %{erlang: erlang} do
      assert Python.eval("[e.send(p, n) for n in range(1000)] and None", %{e: erlang, p: self()}) ==
               {:ok, nil}

      assert messages() == Enum.to_list(0..999)
    end

    test "sends values as calls return them, small and large", %{erlang: erlang} do
      name =
        define("""
        import enum
        def NAME():
            class Own(int): pass
            Kind = enum.IntEnum('Kind', 'tea')
            numbers = [n * s + d for n in (0, 1, 2**28, 2**30, 2**59, 2**60, 2**63, 2**64) for s in (1, -1) for d in (-1, 0, 1)]
            return numbers + [True, False, None, 1.5, float('nan'), 'ü', b'\\xff', '', (), [1], {'a': None}, Own(5), Kind.tea]
        """)

      values = Python.call!(:__main__, name)
      code = "[send(pid, value) for value in values()]"
      variables = %{send: Python.getattr!(erlang, :send), pid: self()}
      values_function = Python.eval!(name, return: :object)

      assert Python.eval!(code, Map.put(variables, :values, values_function)) |> Enum.uniq() == [
               nil
             ]

      for value <- values do
        assert_receive received
        assert received === value
      end
    end

    test "sends to a name", %{erlang: erlang} do
      name = String.to_atom(unique("process"))
      Process.register(self(), name)
      assert Python.call(erlang, :send, [Atom.to_string(name), 1]) == {:ok, nil}
      assert_received 1

      assert Python.eval("e.send(e.Atom(name), 2)", %{e: erlang, name: Atom.to_string(name)}) ==
               {:ok, nil}

      assert_received 2
    end

    test "does nothing for a process that is dead", %{erlang: erlang} do
      {pid, monitor} = spawn_monitor(fn -> :ok end)
      assert_receive {:DOWN, ^monitor, _, ^pid, _}, 15_000
      assert Python.call(erlang, :send, [pid, 1]) == {:ok, nil}
    end

    test "says when a name is nobody's", %{erlang: erlang} do
      for name <- ["no_such_process", "no such atom #{unique()}", "user\0"] do
        assert {:error, %Python.Error{type: "ValueError"} = error} =
                 Python.call(erlang, :send, [name, 1])

        assert error.message =~ "no process is registered as"
      end
    end

    test "refuses invalid addresses", %{erlang: erlang} do
      for to <- [1, nil, [self()], make_ref(), ""] do
        assert {:error, %Python.Error{type: type}} = Python.call(erlang, :send, [to, 1])
        assert type in ["TypeError", "ValueError"]
      end
    end

    test "refuses what cannot cross, and sends nothing", %{erlang: erlang} do
      assert {:error, %Python.Error{} = error} =
               Python.eval("e.send(p, ['ok', '\\ud800'])", %{e: erlang, p: self()})

      assert error.message =~ "the message cannot be converted"
      assert messages() == []
    end

    test "sends objects of Python's", %{erlang: erlang} do
      Python.eval!("e.send(p, object())", %{e: erlang, p: self()})
      assert_received %Python.Object{} = object
      assert Python.type(object) == "object"
    end

    test "sends from threads", %{erlang: erlang} do
      name =
        define("""
        import threading
        from concurrent.futures import ThreadPoolExecutor
        def NAME(erlang, pid):
            thread = threading.Thread(target=erlang.send, args=(pid, 'thread'))
            thread.start()
            thread.join()
            with ThreadPoolExecutor(4) as executor:
                list(executor.map(lambda n: erlang.send(pid, n), range(100)))
        """)

      Python.call!(:__main__, name, [erlang, self()])
      assert [first | rest] = messages()
      assert first == "thread"
      assert Enum.sort(rest) == Enum.to_list(0..99)
    end

    test "sends to a process of another kind of caller", %{erlang: erlang} do
      task =
        Task.async(fn ->
          receive do
            message -> message
          end
        end)

      assert :py.call_method(erlang, :send, [task.pid, {1, 2}]) == {:ok, :none}
      assert Task.await(task) == {1, 2}
    end
  end

  describe "erlang.self" do
    test "is the process that made the call", %{erlang: erlang} do
      assert Python.call(erlang, :self) == {:ok, self()}
      pid = Task.await(Task.async(fn -> {self(), Python.call!(erlang, :self)} end))
      assert {same, same} = pid
    end

    test "is the callback's process in calls of its own", %{erlang: erlang} do
      inner = fn -> [self(), Python.call!(erlang, :self)] end

      assert {:ok, [before, [callback, callback], again]} =
               Python.eval("[e.self(), f(), e.self()]", %{e: erlang, f: inner})

      assert before == self()
      assert again == self()
      assert callback != self()
    end

    test "is the consumer of a stream", %{erlang: erlang} do
      assert Enum.to_list(Python.stream_eval("(e.self() for _ in range(2))", %{e: erlang})) ==
               [self(), self()]
    end

    test "is the caller in a context" do
      context = start_context()
      assert Python.call(:erlang, :self, [], context: context) == {:ok, self()}
    end

    test "is a way to talk back", %{erlang: erlang} do
      assert Python.eval("e.send(e.self(), 'to you')", %{e: erlang}) == {:ok, nil}
      assert_received "to you"
    end
  end

  describe "erlang.whereis" do
    test "is the pid of a name, or None", %{erlang: erlang} do
      assert Python.call(erlang, :whereis, ["kernel_sup"]) == {:ok, Process.whereis(:kernel_sup)}
      assert Python.call(erlang, :whereis, ["no_such_process"]) == {:ok, nil}
      assert Python.call(erlang, :whereis, ["no such atom #{unique()}"]) == {:ok, nil}
      assert Python.call(erlang, :whereis, [""]) == {:ok, nil}
    end

    test "takes an erlang.Atom, as erlang.send does", %{erlang: erlang} do
      Process.register(self(), :größte_名)

      for name <- ["kernel_sup", "größte_名"] do
        atom = Python.call!(erlang, :Atom, [name], return: :object)

        assert Python.call(erlang, :whereis, [atom]) ==
                 {:ok, Process.whereis(String.to_atom(name))}

        assert Python.call(erlang, :whereis, [name]) ==
                 {:ok, Process.whereis(String.to_atom(name))}
      end

      atom = Python.call!(erlang, :Atom, ["größte_名"], return: :object)
      assert Python.call(erlang, :send, [atom, 5]) == {:ok, nil}
      assert_receive 5

      assert Python.call(erlang, :whereis, [Python.call!(erlang, :Atom, ["nil"], return: :object)]) ==
               {:ok, nil}
    end

    test "takes an erlang.Atom as erlang.call and erlang.log do, too", %{erlang: erlang} do
      atom = &Python.call!(erlang, :Atom, [&1], return: :object)
      Python.register(:größte_function, fn x -> x + 1 end)
      assert Python.call(erlang, :call, [atom.("größte_function"), 1]) == {:ok, 2}
      Python.unregister(:größte_function)
      assert Python.call(erlang, :log, [atom.("debug"), "by an atom"]) == {:ok, nil}

      for wrong <- [5, nil, []], function <- [:call, :log] do
        assert {:error, %Python.Error{type: "TypeError"}} =
                 Python.call(erlang, function, [wrong, "x"])
      end
    end

    test "says what a name is", %{erlang: erlang} do
      for wrong <- [5, nil, [], self()] do
        assert {:error, %Python.Error{type: "TypeError", message: message}} =
                 Python.call(erlang, :whereis, [wrong])

        assert message =~ "a str or an erlang.Atom"
      end
    end
  end

  describe "pids, references and ports" do
    test "survive a round trip, at any depth" do
      port = Port.list() |> hd()
      terms = [self(), make_ref(), port, :erlang.monitor(:process, self())]
      assert Python.eval("x", %{x: terms}) == {:ok, terms}
      assert Python.eval("{'a': (x, [x])}", %{x: terms}) == {:ok, %{"a" => {terms, [terms]}}}
    end

    test "have classes, and cannot be made up" do
      port = Port.list() |> hd()

      code = "[isinstance(x, getattr(__import__('erlang'), n)) for x, n in zip(xs, ns)]"

      assert Python.eval(code, %{xs: [self(), make_ref(), port], ns: ~w(Pid Ref Port)}) ==
               {:ok, [true, true, true]}

      for class <- ~w(Pid Ref Port Function) do
        assert {:error, %Python.Error{type: "TypeError"}} = Python.call(:erlang, class)
      end
    end

    test "are equal when they are the same, and hash so" do
      reference = make_ref()
      vars = %{a: self(), b: self(), c: Process.whereis(:init), r: reference, s: reference}

      assert Python.eval("[a == b, a != b, a == c, r == s, a == r, a == 1]", vars) ==
               {:ok, [true, false, false, true, false, false]}

      assert Python.eval("[hash(a) == hash(b), hash(r) == hash(s), len({a, b, c, r, s})]", vars) ==
               {:ok, [true, true, 3]}

      assert Python.eval("{a: 1, c: 2}[b]", vars) == {:ok, 1}
      assert Python.eval("{a: 'a', r: 'r'}", vars) == {:ok, %{self() => "a", reference => "r"}}
    end

    test "show what they are" do
      assert Python.call!(:builtins, :repr, [self()]) =~ ~r/^<erlang.Pid .*\d+\.\d+\.\d+.*>$/
      assert Python.call!(:builtins, :repr, [make_ref()]) =~ ~r/^<erlang.Ref .+>$/
    end

    test "are copied as themselves" do
      assert Python.eval("[__import__('copy').deepcopy([x])[0] == x]", %{x: self()}) ==
               {:ok, [true]}
    end

    test "outlive the call" do
      name = define("def NAME(x): NAME.kept = x")
      reference = make_ref()
      Python.call!(:__main__, name, [reference])
      :erlang.garbage_collect()
      assert Python.call!(:__main__, "#{name}.kept.__eq__", [reference])
    end
  end

  describe "erlang.Atom" do
    test "arrives as the atom", %{erlang: erlang} do
      assert Python.call(erlang, :Atom, ["ok"]) == {:ok, :ok}

      assert Python.eval("(e.Atom('ok'), [e.Atom('error')])", %{e: erlang}) ==
               {:ok, {:ok, [:error]}}

      Python.eval!("e.send(e.self(), (e.Atom('ok'), 1))", %{e: erlang})
      assert_received {:ok, 1}
      assert Python.eval("f(e.Atom('ok'))", %{e: erlang, f: &is_atom/1}) == {:ok, true}
    end

    test "is refused if there is no such atom", %{erlang: erlang} do
      name = "no such atom " <> Enum.join(Enum.map(1..8, fn _ -> unique() end))

      assert {:error, %Python.Error{type: "ValueError"} = error} =
               Python.call(erlang, :Atom, [name])

      assert error.message =~ "there is no atom"
      assert_raise ArgumentError, fn -> String.to_existing_atom(name) end
      assert {:error, %Python.Error{}} = Python.call(erlang, :Atom, [String.duplicate("x", 300)])
      assert {:error, %Python.Error{type: "TypeError"}} = Python.call(erlang, :Atom, [1])
    end

    test "compares and hashes", %{erlang: erlang} do
      assert Python.eval(
               "[e.Atom('ok') == e.Atom('ok'), e.Atom('ok') == 'ok', str(e.Atom('ok')), " <>
                 "repr(e.Atom('ok')), len({e.Atom('ok'), e.Atom('ok')})]",
               %{e: erlang}
             ) == {:ok, [true, false, "ok", ~s[erlang.Atom("ok")], 1]}
    end
  end

  describe "erlang.receive" do
    test "gets what was sent to a call, in order", %{erlang: erlang} do
      name =
        define("""
        def NAME(erlang, pid):
            erlang.send(pid, 'ready')
            return [erlang.receive(timeout=30) for _ in range(3)]
        """)

      async = Python.call_async(:__main__, name, [erlang, self()])
      assert_receive "ready", 15_000
      for message <- [1, %{"a" => {:b, self()}}, ~D[2024-01-01]], do: Python.send(async, message)
      assert Python.await(async) == {:ok, [1, %{"a" => {"b", self()}}, ~D[2024-01-01]]}
    end

    test "gets what was sent before it began" do
      pool = start_pool(size: 1)
      blocker = Python.call_async("erlang", :receive, [20], pool: pool)
      async = Python.call_async("erlang", :receive, [20], pool: pool)
      Python.send(async, "early")
      Python.send(blocker, "go")
      assert Python.await(blocker) == {:ok, "go"}
      assert Python.await(async) == {:ok, "early"}
    end

    @tag :tmp_dir
    test "gets what was sent while it was queued, in order, though it does not wait", %{
      tmp_dir: dir
    } do
      pool = start_pool(size: 1)
      name = unique("all")

      :ok =
        Python.exec(
          """
          def #{name}():
              import erlang
              got = []
              try:
                  while True:
                      got.append(erlang.receive(0))
              except TimeoutError:
                  return got
          def #{name}_blocker(file):
              import os, time
              end = time.time() + 20
              while not os.path.exists(file) and time.time() < end:
                  time.sleep(0.001)
          """,
          pool: pool
        )

      for round <- 1..30 do
        file = Path.join(dir, "go#{round}")
        blocker = Python.call_async(:__main__, name <> "_blocker", [file], pool: pool)
        calls = for _ <- 1..3, do: Python.call_async(:__main__, name, [], pool: pool)
        # The second one gets none, and large ones do not come late.
        [first, _second, third] = calls
        large = String.duplicate("x", 100_000)
        for message <- [round, :small, large], do: Python.send(first, message)
        Python.send(third, round)
        File.touch!(file)
        assert Python.await(blocker) == {:ok, nil}

        assert for(call <- calls, do: Python.await(call)) == [
                 {:ok, [round, "small", large]},
                 {:ok, []},
                 {:ok, [round]}
               ]
      end
    end

    test "gets what was sent to its context, in this call or before" do
      context = start_context()
      assert Python.send(context, 1) == :ok
      assert Python.send(context.pid, 2) == :ok
      receiving = "[__import__('erlang').receive(timeout=15) for _ in range(3)]"
      task = Task.async(fn -> Python.eval(receiving, context: context) end)
      Python.send(context, 3)
      assert Task.await(task) == {:ok, [1, 2, 3]}
      Python.send(context, 4)
      assert Python.call(:erlang, :receive, [0], context: context) == {:ok, 4}
    end

    test "gets what was sent to its context before it was made, though it does not wait" do
      context = start_context()

      for number <- 1..200 do
        Python.send(context, number)
        assert Python.call(:erlang, :receive, [0], context: context) == {:ok, number}
      end
    end

    test "gets what a function has sent before it returned, though it does not wait" do
      context = start_context()
      name = unique("sent")

      Python.exec!(
        """
        def #{name}(send, number):
            import erlang
            send(number)
            return erlang.receive(0)
        """,
        context: context
      )

      send = fn number -> Python.send(context, number) end

      for number <- 1..200 do
        assert Python.call(:__main__, name, [send, number], context: context) == {:ok, number}
      end
    end

    test "by the name of a context" do
      name = String.to_atom(unique("context"))
      start_context(name: name)
      Python.send(name, "named")
      assert Python.call(:erlang, :receive, [15], context: name) == {:ok, "named"}
    end

    test "raises TimeoutError when nothing comes" do
      for timeout <- [0, 0.01, -1] do
        assert {:error,
                %Python.Error{
                  type: "TimeoutError",
                  message: "no message arrived within the timeout"
                }} = Python.call(:erlang, :receive, [timeout])
      end

      context = start_context()

      assert {:error, %Python.Error{type: "TimeoutError"}} =
               Python.call(:erlang, :receive, [], kwargs: [timeout: 0.01], context: context)
    end

    test "refuses an invalid timeout" do
      for timeout <- ["1", [1]] do
        assert {:error, %Python.Error{type: "TypeError"}} =
                 Python.call(:erlang, :receive, [timeout])
      end

      for code <- ["float('nan')"] do
        assert {:error, %Python.Error{type: type}} =
                 Python.eval("__import__('erlang').receive(#{code})", timeout: 500)

        assert type == "ValueError"
      end
    end

    test "takes a very long timeout for no timeout" do
      context = start_context()

      for code <- ["float('inf')", "1e300", "1e18", "None"] do
        Python.send(context, code)

        assert Python.eval("__import__('erlang').receive(#{code})", context: context) ==
                 {:ok, code}
      end
    end

    test "ends with the deadline of the call" do
      context = start_context()

      for where <- [[context: context], [pool: start_pool(size: 1)]] do
        assert {:error, %Python.TimeoutError{}} =
                 Python.call(:erlang, :receive, [], [timeout: 50] ++ where)

        assert Python.eval("1", where) == {:ok, 1}
      end
    end

    test "ends when the call is cancelled" do
      pool = start_pool(size: 1)
      async = Python.call_async(:erlang, :receive, [], pool: pool, timeout: :infinity)
      eventually_busy(pool)
      Python.cancel(async)
      assert Python.eval("1", pool: pool) == {:ok, 1}
      eventually_idle(pool)
    end

    # A process has one main thread, which waits.
    @tag engine: :main
    test "lets other calls run" do
      pool = start_pool(size: 1)
      async = Python.call_async(:erlang, :receive, [], pool: pool)
      eventually_busy(pool)
      # The only worker waits; the pool goes on.
      for n <- 1..5, do: assert(Python.eval("n", %{n: n}, pool: pool) == {:ok, n})
      Python.send(async, "end")
      assert Python.await(async) == {:ok, "end"}
    end

    test "is refused in threads that Python made" do
      name =
        define("""
        import erlang, threading
        def NAME():
            caught = []
            def run():
                try:
                    erlang.receive(timeout=0)
                except RuntimeError as error:
                    caught.append(str(error))
                try:
                    erlang.self()
                except RuntimeError as error:
                    caught.append(str(error))
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
            return caught
        """)

      assert {:ok, [received, itself]} = Python.call(:__main__, name)
      assert received =~ "expected the thread that runs a call"
      assert itself =~ "expected a thread that runs a call of a process"
    end

    test "what was sent to a call that is over is lost" do
      async = Python.call_async(:math, :sqrt, [4])
      assert Python.await(async) == {:ok, 2.0}
      assert Python.send(async, "late") == :ok
    end

    test "what was sent to a context that is gone is no crash" do
      context = start_context()
      Python.Context.stop(context)
      assert Python.send(context, "late") == :ok
      assert_raise Python.NotStartedError, fn -> Python.send(context.pid, "late") end
    end
  end
end
