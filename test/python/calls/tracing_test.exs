defmodule Python.Calls.TracingTest do
  # What calls leave to sys.settrace and sys.setprofile: it ends with them, in pools.

  use Python.EngineCase, async: true

  alias Python.{Error, FreshVM, TimeoutError}

  @settings [timeout: 20_000]

  setup_all do
    name =
      define("""
      class NAME:
          import sys, threading
          seen = []

          def failing(frame, event, arg):
              raise ValueError("left behind")

          def noting(frame, event, arg):
              if frame.f_code.co_name == "next_call":
                  NAME.seen.append(event)
              return NAME.noting

          def set(kind, function):
              if kind != "profile":
                  NAME.sys.settrace(getattr(NAME, function))
              if kind != "trace":
                  NAME.sys.setprofile(getattr(NAME, function))

          def of_thread():
              return [NAME.sys.gettrace() is not None, NAME.sys.getprofile() is not None]

          def next_call():
              return sum([n for n in range(3)])

          def fail(kind, function):
              NAME.set(kind, function)
              raise KeyError("x")

          def late(kind, function):
              NAME.set(kind, function)
              while True:
                  pass

          def gives(kind, function):
              NAME.set(kind, function)
              try:
                  yield 1
                  yield 2
              finally:
                  pass

          class Managed:
              def __enter__(self):
                  NAME.set("both", "noting")
              def __exit__(self, *error):
                  pass

          class Finalized:
              ended = []
              def __del__(self):
                  self.ended.append(NAME.of_thread())
                  NAME.set("both", "noting")

          class SetsOthers:
              def __call__(self, frame, event, arg):
                  pass
              def __del__(self):
                  # Some versions do not allow it, and say so.
                  try:
                      NAME.set("profile", "noting")
                      NAME.set("trace", "noting")
                  except RuntimeError:
                      pass
      """)

    %{name: name}
  end

  defp ask(name, function, args, options),
    do: Python.call(:__main__, "#{name}.#{function}", args, Keyword.merge(@settings, options))

  defp seen(name), do: Python.eval!("#{name}.seen")

  # In pools of one worker, so that the next call is on the same thread: by workers, and by its caller.
  defp places, do: [[pool: start_pool()], [pool: start_pool(), timeout: :infinity]]

  defp untouched(name, place) do
    assert ask(name, :next_call, [], place) == {:ok, 3}
    assert ask(name, :of_thread, [], place) == {:ok, [false, false]}
    assert Python.eval("sum(n for n in range(4))", place) == {:ok, 6}
    assert Python.exec("a = [str(n) for n in range(4)]", place) == :ok
  end

  describe "the next call is not traced" do
    test "by a function that raises", %{name: name} do
      for place <- places(), kind <- ["trace", "profile", "both"] do
        # Where it strikes is Python's affair: in the call itself.
        ask(name, :set, [kind, "failing"], place)
        untouched(name, place)
        Python.exec("#{name}.set('#{kind}', 'failing')", place)
        untouched(name, place)
        Python.eval("#{name}.set('#{kind}', 'failing')", place)
        untouched(name, place)
      end
    end

    test "by one that does not, whatever became of the call", %{name: name} do
      for place <- places(), kind <- ["trace", "profile", "both"] do
        assert {:ok, nil} = ask(name, :set, [kind, "noting"], place)
        untouched(name, place)
        assert {:error, %Error{type: "KeyError"}} = ask(name, :fail, [kind, "noting"], place)
        untouched(name, place)

        late = [pool: place[:pool], timeout: 100]
        assert {:error, %TimeoutError{}} = ask(name, :late, [kind, "noting"], late)
        eventually_idle(place[:pool])
        untouched(name, place)

        assert {:ok, _} = Python.map(:__main__, "#{name}.set", [[kind, "noting"]], place)
        untouched(name, place)

        async = Python.call_async(:__main__, "#{name}.set", [kind, "noting"], place)
        assert {:ok, nil} = Python.await(async)
        untouched(name, place)

        items =
          Python.stream(:__main__, "#{name}.gives", [kind, "noting"], [max_chunk: 1] ++ place)

        assert Enum.to_list(items) == [1, 2]
        untouched(name, place)
        assert Enum.take(items, 1) == [1]
        eventually_idle(place[:pool])
        untouched(name, place)
      end

      assert seen(name) == []
    end

    test "by a debugger, after the end of its input" do
      for place <- places(),
          call <- [
            fn -> Python.call(:builtins, :breakpoint, [], place) end,
            fn -> Python.eval("breakpoint()", place) end,
            fn -> Python.exec("import pdb; pdb.set_trace()\na = 1\nb = 2", place) end
          ] do
        {:ok, input} = StringIO.open("")
        debugged = Task.async(fn -> Process.group_leader(self(), input) && call.() end)
        Task.await(debugged, 30_000)

        assert Python.eval("sum(n for n in range(4))", place) == {:ok, 6}
        assert Python.exec("import sys\nassert sys.gettrace() is None", place) == :ok
      end
    end

    # From 3.12 on that is `sys.monitoring`, which is the interpreter's.
    test "by a profiler in C that was not stopped" do
      for place <- places(), python_version() < {3, 12} do
        Python.exec!("import cProfile; left = cProfile.Profile(); left.enable()", place)
        assert Python.eval("__import__('sys').getprofile()", place) == {:ok, nil}
        assert Python.eval("cProfile.Profile().runcall(lambda: 5)", place) == {:ok, 5}
      end
    end

    test "by what the end of such a function sets", %{name: name} do
      for place <- places() do
        for set <- [:settrace, :setprofile] do
          Python.exec!("import sys; sys.#{set}(#{name}.SetsOthers())", place)
          untouched(name, place)
        end
      end
    end
  end

  describe "what a call has set is in force" do
    @tag blocks: "a plain function waits for Elixir"
    test "in the call, and in what it calls of Elixir's and back", %{name: name} do
      for place <- places() do
        function = fn -> elem(ask(name, :of_thread, [], place), 1) end

        code = """
        (lambda: [#{name}.set("both", "noting"), f(), #{name}.of_thread(), #{name}.sys.settrace(None),
                  #{name}.sys.setprofile(None)][1:3])()
        """

        assert Python.eval(code, %{f: function}, place) ==
                 {:ok, [[true, true], [true, true]]}

        untouched(name, place)
      end
    end

    test "but what a call from a function sets ends with that", %{name: name} do
      for place <- places() do
        function = fn -> ask(name, :set, ["both", "failing"], place) && nil end

        assert Python.eval(
                 "[f(), #{name}.next_call(), #{name}.of_thread()][1:]",
                 %{f: function},
                 place
               ) ==
                 {:ok, [3, [false, false]]}
      end
    end

    test "for the function of a with, and its manager's" do
      name =
        define("""
        import sys
        class NAME:
            def __enter__(self): sys.settrace(lambda *event: None)
            def __exit__(self, *error): self.left = sys.gettrace() is not None
        """)

      pool = start_pool()
      manager = Python.call!(:__main__, name, [], pool: pool)
      traced = fn -> Python.eval!("__import__('sys').gettrace() is not None", pool: pool) end
      assert Python.with(manager, fn _ -> {traced.(), traced.()} end) == {true, true}
      assert Python.getattr!(manager, :left)
      refute traced.()

      # What a call of it sets is in force in the next.
      lock = Python.call!(:threading, :Lock, [], pool: pool)

      set = fn _ ->
        Python.exec!("sys.setprofile(lambda *event: None)")
        Python.eval!("sys.getprofile() is not None")
      end

      assert Python.with(lock, set)
      refute Python.eval!("sys.getprofile() is not None", pool: pool)
    end

    test "in a context, until it is removed" do
      context = start_context()
      place = [context: context]

      code = """
      import sys
      seen = []
      def mine(): pass
      def trace(frame, event, arg):
          if frame.f_code.co_name == "mine":
              seen.append(event)
      sys.settrace(trace)
      """

      Python.exec!(code, place)
      Python.exec!("mine()", place)
      Python.eval!("mine()", place)
      assert Python.eval!("seen", place) == ["call", "call"]
      assert Python.eval!("sys.gettrace() is trace", place)
      Python.exec!("sys.settrace(None)", place)
      assert Python.eval!("sys.gettrace()", place) == nil
    end
  end

  test "nor is the next finalizer traced by what one has set", %{name: name} do
    for _ <- 1..5, do: Python.call!(:__main__, "#{name}.Finalized")
    :erlang.garbage_collect()
    ended = fn -> Python.eval!("#{name}.Finalized.ended") end
    eventually("all are finalized", fn -> length(ended.()) == 5 end)
    assert Enum.uniq(ended.()) == [[false, false]]
  end

  # Its threads are the workers of the VM.
  @tag python: "3.12", engine: :main
  test "a function that was set for all threads stays there until it is removed" do
    code = """
    import threading
    seen = set()
    def trace(frame, event, arg):
        if frame.f_code.co_name == "mine":
            seen.add(threading.get_ident())
    def mine():
        import time
        time.sleep(0.05)
        return threading.get_ident()
    """

    vm = FreshVM.start(settings: [num_workers: 2])
    call = &FreshVM.call(vm, Python, &1, &2)
    :ok = call.(:exec, [code])

    idents = fn ->
      asyncs = for _ <- 1..8, do: Task.async(fn -> call.(:eval!, ["mine()"]) end)
      asyncs |> Task.await_many(30_000) |> MapSet.new()
    end

    all = idents.()
    :ok = call.(:exec, ["threading.settrace_all_threads(trace)"])
    assert MapSet.subset?(idents.(), MapSet.new(call.(:eval!, ["list(seen)"])))
    again = idents.()
    assert MapSet.size(all) == 2 and MapSet.equal?(again, all)
    :ok = call.(:exec, ["seen.clear()"])
    idents.()
    assert call.(:eval!, ["len(seen)"]) > 0
    :ok = call.(:exec, ["threading.settrace_all_threads(None); seen.clear()"])
    idents.()
    assert call.(:eval!, ["len(seen)"]) == 0
  end
end
