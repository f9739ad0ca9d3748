defmodule Python.With.BodyTest do
  # The body of a Python.with that has a timeout: a process of its own, which ends with its time.

  use Python.EngineCase, async: true

  alias Python.{Error, TimeoutError}
  require Logger

  @time [timeout: 20_000]

  setup_all do: Python.SupportModules.find()

  defp new(arguments \\ [], place \\ []),
    do: Python.call!(:managers, :Threads, arguments, [return: :object] ++ place)

  defp swallowing, do: Python.call!(:managers, :Manager, [true], return: :object)

  defp places do
    context = start_context()
    [[pool: start_pool()], [pool: start_pool(size: 3)], [], [context: context]]
  end

  # It says so last.
  defp left?(manager), do: has?(manager, "traced")

  defp has?(manager, name),
    do: Python.call!(:builtins, :hasattr, [manager, name], at_home(manager))

  defp eventually_left(manager), do: eventually("the manager is left", fn -> left?(manager) end)
  defp error(manager), do: Python.getattr!(manager, :error)
  defp error_type(manager), do: Python.getattr!(error(manager), :type)
  defp eventually_dead(pid), do: eventually("it ends", fn -> not Process.alive?(pid) end)

  # A body that tells the test its process, and then does this.
  defp telling(function \\ fn -> Process.sleep(:infinity) end) do
    test = self()

    fn _ ->
      send(test, {:body, self()})
      function.()
    end
  end

  defp the_body do
    receive do
      {:body, pid} -> pid
    after
      10_000 -> flunk("no body")
    end
  end

  # Its time begins when it is handed in: what is late here is the machine.
  defp times_out(manager, function, timeout \\ 200, options \\ []) do
    {took, error} =
      timed(fn ->
        assert_raise TimeoutError, fn ->
          Python.with(manager, function, [timeout: timeout] ++ options)
        end
      end)

    assert error.timeout == timeout
    # Both clocks are read in whole ms.
    assert took > timeout - 2
    assert took < timeout + 5_000
    error
  end

  # The manager, the body, and what came of it, in a time in which the body has begun, on a machine that has
  # other things to do.
  defp times_out_in_time(place, function) do
    Enum.find_value([200, 1_000, 5_000], fn timeout ->
      manager = new([], place)
      error = times_out(manager, telling(function), timeout)
      receive(do: ({:body, body} -> {manager, body, error}), after: (0 -> nil))
    end) || flunk("no body")
  end

  describe "a body that never ends" do
    test "is ended by the timeout, and the manager is left with that" do
      for place <- places() do
        {manager, body, error} = times_out_in_time(place, fn -> Process.sleep(:infinity) end)
        assert error.message =~ "Python.with"
        refute Process.alive?(body)
        eventually_left(manager)
        assert error_type(manager) == "Python.TimeoutError"
        assert Python.eval!("1", place) == 1
        assert messages() == []
      end
    end

    test "is ended whatever it does: it traps exits, computes, or waits for a message" do
      for function <- [
            fn -> {Process.flag(:trap_exit, true), Process.sleep(:infinity)} end,
            fn -> Stream.cycle([1]) |> Stream.run() end,
            fn -> receive do: (:never -> :ok) end,
            fn ->
              try do
                Process.sleep(:infinity)
              after
                Process.sleep(:infinity)
              end
            end
          ] do
        {manager, body, _error} = times_out_in_time([], function)
        refute Process.alive?(body)
        eventually_left(manager)
        assert messages() == []
      end
    end

    test "is ended within a call of Python's" do
      for place <- places(),
          function <- [
            fn -> Python.eval!("[0 for _ in iter(int, 1)]", place) end,
            fn -> Python.call!(:time, :sleep, [0.6], timeout: :infinity) end,
            fn -> Python.await(Python.eval_async("[0 for _ in iter(int, 1)]")) end,
            fn -> Python.eval!("f()", %{f: fn -> Process.sleep(:infinity) end}) end,
            fn -> Enum.each(Python.stream(:itertools, :count, [], place), & &1) end
          ] do
        {manager, body, _error} = times_out_in_time(place, function)
        refute Process.alive?(body)
        eventually_left(manager)
        assert error_type(manager) == "Python.TimeoutError"
        assert Python.eval!("1", place) == 1
        assert messages() == []
      end
    end

    test "is ended with those inside of it, each of which leaves its manager with that" do
      for place <- places(), inner_time <- [[], [timeout: :infinity], @time] do
        # A time in which the body has begun, on a machine that has other things to do.
        {outer, inner, body} =
          Enum.find_value([200, 1_000, 5_000], fn timeout ->
            {outer, inner} = {new([], place), new([], place)}
            endless = telling()
            times_out(outer, fn _ -> Python.with(inner, endless, inner_time) end, timeout)
            receive(do: ({:body, body} -> {outer, inner, body}), after: (0 -> nil))
          end) || flunk("no body")

        eventually_dead(body)
        for manager <- [inner, outer], do: eventually_left(manager)
        assert error_type(inner) == "Python.TimeoutError"
        assert error_type(outer) == "Python.TimeoutError"
        assert messages() == []
      end
    end

    test "inside of another one is ended alone" do
      {outer, inner} = {new(), new()}

      assert Python.with(
               outer,
               fn _ ->
                 times_out(inner, fn _ -> Process.sleep(:infinity) end, 100)
                 Python.eval!("1")
               end,
               @time
             ) == 1

      eventually_left(inner)
      assert error_type(inner) == "Python.TimeoutError"
      assert error(outer) == nil
    end

    test "is ended in a function that Python calls" do
      for place <- places() do
        manager = new([], place)

        endless = telling()

        function = fn ->
          times_out(manager, endless)
          Python.eval!("2", place)
        end

        assert Python.call!(:managers, :calling, [function], place) == 2
        refute Process.alive?(the_body())
        eventually_left(manager)
      end
    end

    test "is ended whether its error is swallowed or not, and however long leaving takes" do
      swallowing = swallowing()
      times_out(swallowing, fn _ -> Process.sleep(:infinity) end)
      eventually("it is left", fn -> Python.getattr!(swallowing, :log) == ["enter", "exit"] end)

      slow = new([0.8])
      {took, _} = timed(fn -> times_out(slow, fn _ -> Process.sleep(:infinity) end) end)
      eventually_left(slow)
      assert took < 5_000
      assert messages() == []
    end

    test "is ended where its caller traps exits" do
      Process.flag(:trap_exit, true)
      times_out(new(), fn _ -> Process.sleep(:infinity) end)

      times_out(new(), fn _ ->
        spawn_link(fn -> Process.sleep(:infinity) end) && Process.sleep(:infinity)
      end)

      assert messages() == []
    end

    test "is ended at once by a timeout of nothing" do
      pool = start_pool()

      for timeout <- [0, 1], _ <- 1..30 do
        manager = new([], pool: pool)
        times_out(manager, fn _ -> Process.sleep(:infinity) end, timeout, pool: pool)
      end

      eventually_idle(pool)
      assert Python.eval!("1", pool: pool) == 1
      assert messages() == []
    end
  end

  describe "at its deadline" do
    # What the body may be at: nothing of Python's, or calls.
    defp bodies(place) do
      [
        fn -> Process.sleep(:infinity) end,
        fn -> Python.eval!("[0 for _ in iter(int, 1)]", place) end,
        fn -> Python.eval!("f()", %{f: fn -> Process.sleep(:infinity) end}) end,
        fn -> Enum.each(Python.stream(:itertools, :count, [], place), & &1) end
      ]
    end

    # A machine that has other things to do may need longer than the caller waits.
    defp left_first?(place, function, manager) do
      Enum.any?(1..5, fn _ ->
        manager = manager.(place)
        times_out(manager, fn _ -> function.() end, 300, place)
        left? = left?(manager)
        eventually_left(manager)
        assert error_type(manager) == "Python.TimeoutError"
        assert messages() == []
        left?
      end)
    end

    test "the manager is left before the caller is told" do
      for place <- places(), function <- bodies(place) do
        assert left_first?(place, function, &new([], &1))
      end
    end

    test "so are those of bodies within the body, the inner ones first" do
      for place <- places() do
        order = Python.eval!("[]", %{}, [return: :object] ++ place)

        manager = fn name ->
          Python.call!(:managers, :Noting, [order, name], [return: :object] ++ place)
        end

        assert Enum.any?(1..5, fn _ ->
                 Python.call!(order, :clear, [])
                 {outer, inner} = {manager.("outer"), manager.("inner")}

                 times_out(
                   outer,
                   fn _ ->
                     Python.with(inner, fn _ -> Process.sleep(:infinity) end, timeout: 10_000)
                   end,
                   300,
                   place
                 )

                 seen = Python.call!(order, :copy, [])
                 eventually("both are left", fn -> Python.call!(order, :__len__) == 2 end)
                 assert Python.call!(order, :copy, []) == ["inner", "outer"]
                 assert messages() == []
                 seen == ["inner", "outer"]
               end)
      end
    end

    # Other calls reach the manager while it is being left.
    @tag engine: :main
    test "a manager that takes long to be left does not keep the caller" do
      for place <- places() do
        pool = place[:pool]
        # Python code, and a C function, which nothing interrupts.
        for code <- ["while not self.gate.is_set(): pass", "self.gate.wait(30)"] do
          name =
            define("""
            import threading
            class NAME:
                def __enter__(self): self.gate = threading.Event()
                def __exit__(self, *error):
                    self.error = error[1]
                    try:
                        #{code}
                    finally:
                        self.traced = True
            """)

          manager = Python.call!(:__main__, name, [], return: :object)
          options = if context = place[:context], do: [context: context], else: place
          times_out(manager, fn _ -> Process.sleep(:infinity) end, 100, options)
          refute left?(manager)
          eventually("it is being left", fn -> has?(manager, "error") end)
          assert error_type(manager) == "Python.TimeoutError"
          Python.call!(manager, "gate.set")
          eventually_left(manager)
          assert Python.eval!("1", place) == 1
          assert messages() == []
          if pool, do: eventually_idle(pool)
        end
      end
    end

    test "an exception of the manager's is not what the caller gets" do
      name =
        define("""
        class NAME:
            def __enter__(self): pass
            def __exit__(self, *error):
                self.error, self.traced = error[1], True
                raise ValueError("of the manager")
        """)

      manager = Python.call!(:__main__, name, [], return: :object)
      times_out(manager, fn _ -> Process.sleep(:infinity) end)
      eventually_left(manager)
      assert messages() == []
    end
  end

  describe "what a body comes to is the caller's:" do
    test "its value" do
      for place <- places() do
        manager = new([], place)
        value = [1, {:a, make_ref()}, String.duplicate("x", 100_000)]
        assert Python.with(manager, fn _ -> value end, @time) == value
        assert left?(manager)
        assert error(manager) == nil
        assert messages() == []
      end
    end

    test "what it raises, with the stacktrace" do
      manager = new()

      try do
        Python.with(manager, fn _ -> raise ArgumentError, "of the body" end, @time)
        flunk("nothing was raised")
      rescue
        error in ArgumentError ->
          assert error.message == "of the body"
          assert Enum.any?(__STACKTRACE__, fn {module, _, _, _} -> module == __MODULE__ end)
          assert Exception.format_stacktrace(__STACKTRACE__) =~ "body_test.exs"
      end

      assert error_type(manager) == "ArgumentError"
      assert_raise Error, fn -> Python.with(manager, fn _ -> Python.eval!("1 / 0") end, @time) end
      assert error_type(manager) == "ZeroDivisionError"
      assert messages() == []
    end

    test "what it throws, and how it exits" do
      manager = new()

      assert catch_throw(Python.with(manager, fn _ -> throw({:a, self()}) end, @time)) |> elem(0) ==
               :a

      assert Python.getattr!(error(manager), :kind) == "throw"

      for reason <- [:normal, :shutdown, :kill, {:shutdown, 1}, "text"] do
        assert catch_exit(Python.with(manager, fn _ -> exit(reason) end, @time)) == reason
        assert Python.getattr!(error(manager), :kind) == "exit"
      end

      for act <- [fn -> throw(1) end, fn -> exit(:normal) end, fn -> raise "x" end] do
        assert Python.with(swallowing(), fn _ -> act.() end, @time) == nil
      end

      assert messages() == []
    end

    test "how it is killed" do
      for trap <- [true, false], reason <- [:kill, :shutdown, :why] do
        Process.flag(:trap_exit, trap)
        manager = new()
        gone = if reason == :kill, do: :killed, else: reason

        assert catch_exit(
                 Python.with(
                   manager,
                   fn _ -> Process.exit(self(), reason) && Process.sleep(:infinity) end,
                   @time
                 )
               ) == gone

        assert Python.getattr!(error(manager), :kind) == "exit"
        assert messages() == []
      end
    end

    test "the exit of a task that it awaits" do
      manager = new()

      body = fn _ ->
        Task.await(Task.async(fn -> Process.exit(self(), :why) && Process.sleep(:infinity) end))
      end

      assert catch_exit(Python.with(manager, body, @time)) != :normal
      eventually_left(manager)
      assert Python.getattr!(error(manager), :kind) == "exit"
    end
  end

  describe "when the caller ends" do
    test "so does the body, even one that traps exits" do
      for trap <- [true, false], reason <- [:kill, :shutdown] do
        manager = new()

        body =
          telling(fn ->
            Process.flag(:trap_exit, trap)
            Process.sleep(:infinity)
          end)

        caller = spawn(fn -> Python.with(manager, body, @time) end)
        pid = the_body()
        assert pid != caller
        Process.exit(caller, reason)
        eventually_dead(pid)
        eventually_left(manager)
        assert Python.getattr!(error(manager), :kind) == "exit"
      end
    end

    test "so do those inside of it, and what they are waiting for" do
      pool = start_pool()
      {outer, inner} = {new([], pool: pool), new([], pool: pool)}
      loop = telling(fn -> Python.eval!("[0 for _ in iter(int, 1)]") end)

      caller =
        spawn(fn -> Python.with(outer, fn _ -> Python.with(inner, loop, @time) end, @time) end)

      pid = the_body()
      Process.sleep(20)
      Process.exit(caller, :kill)
      eventually_dead(pid)
      for manager <- [inner, outer], do: eventually_left(manager)
      eventually_idle(pool)
    end
  end

  describe "in its process" do
    test "a body has its caller's group leader, metadata and callers, and its own mailbox" do
      Logger.metadata(request: 7)
      Process.put(:"$callers", [:c.pid(0, 1, 2)])
      me = self()

      seen =
        Python.with(
          new(),
          fn _ ->
            send(self(), :mine)
            assert_receive :mine

            %{
              self: self(),
              leader: Process.group_leader(),
              metadata: Logger.metadata(),
              callers: Process.get(:"$callers"),
              ancestors: Process.get(:"$ancestors")
            }
          end,
          @time
        )

      assert seen.self != me
      assert seen.leader == Process.group_leader()
      assert seen.metadata[:request] == 7
      assert [^me, _] = seen.callers
      assert [^me | _] = seen.ancestors
      assert messages() == []
    end

    test "it has what Python prints, too" do
      assert ExUnit.CaptureIO.capture_io(fn ->
               Python.with(new(), fn _ -> Python.exec!("print('of the body')") end, @time)
             end) == "of the body\n"
    end

    test "without a timeout, or with an endless one, it is the caller's" do
      for options <- [[], [timeout: :infinity]] do
        assert Python.with(new(), fn _ -> self() end, options) == self()
      end
    end

    test "all that it asks happens on the thread of the manager, at any depth" do
      for place <- places() do
        manager = new([], place)
        token = Python.call!(:managers, :Token, ["x"], [return: :object] ++ place)
        before = Python.stream(:managers, :idents, [], [max_chunk: 1] ++ place)
        ident = fn options -> Python.call!(:managers, :ident, [], options) end

        idents =
          Python.with(
            manager,
            fn entered ->
              inner =
                Python.with(
                  token,
                  fn "x" -> {ident.([]), Python.call!(:managers, :state, [])} end,
                  @time
                )

              assert {first, ["x", _, _]} = inner

              [
                first,
                ident.(place),
                ident.(timeout: :infinity),
                Python.getattr!(entered, :threads) |> hd(),
                Python.await(Python.call_async(:managers, :ident)) |> elem(1),
                Python.eval!("f()", %{f: fn -> ident.(place) end}),
                before |> Enum.take(2) |> hd() |> hd()
              ]
            end,
            @time
          )

        assert [thread, thread] = Python.getattr!(manager, :threads)
        assert Enum.uniq(idents) == [thread]
      end
    end

    test "a stream that was opened by the caller goes on, and after it too" do
      for place <- places() do
        stream = Python.stream(:itertools, :count, [], [max_chunk: 1, prefetch: 1] ++ place)
        step = fn item, _ -> {:suspend, item} end
        {:suspended, 0, next} = Enumerable.reduce(stream, {:cont, nil}, step)

        next =
          Python.with(
            new([], place),
            fn _ ->
              {:suspended, 1, next} = next.({:cont, nil})
              {:suspended, 2, next} = next.({:cont, nil})
              next
            end,
            @time
          )

        {:suspended, 3, next} = next.({:cont, nil})
        assert {:halted, _} = next.({:halt, nil})
      end
    end

    test "processes that it is linked to end with it if it fails" do
      test = self()

      starting = fn _ ->
        send(test, {:linked, spawn_link(fn -> Process.sleep(:infinity) end)})
        raise "failed"
      end

      assert_raise RuntimeError, fn -> Python.with(new(), starting, @time) end
      assert_receive {:linked, linked}
      eventually_dead(linked)
    end
  end

  test "many at once leave no process, message or manager behind" do
    pool = start_pool(size: 2)

    managers =
      1..40
      |> Task.async_stream(
        fn n ->
          manager = new([], pool: pool)
          function = fn _ -> if rem(n, 2) == 0, do: n, else: Process.sleep(:infinity) end
          options = [timeout: if(rem(n, 2) == 0, do: 20_000, else: 300)]

          try do
            ^n = Python.with(manager, function, options)
          rescue
            TimeoutError -> assert rem(n, 2) == 1
          end

          assert messages() == []
          manager
        end,
        max_concurrency: 40,
        timeout: 60_000
      )
      |> Enum.map(fn {:ok, manager} -> manager end)

    eventually_idle(pool)

    for manager <- managers do
      assert length(Python.getattr!(manager, :threads)) in [0, 2]
    end
  end
end
