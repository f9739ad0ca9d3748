defmodule Python.Objects.HandlesTest do
  # Alone: it counts what Python keeps.
  use Python.TestCase

  alias Python.Object

  # A class that counts its living instances.
  defp counting do
    define("""
    import threading
    class NAME:
        living = 0
        # They come and go on several threads, and adding is more than one step.
        lock = threading.RLock()
        def __init__(self):
            with NAME.lock: NAME.living += 1
        def __del__(self):
            with NAME.lock: NAME.living -= 1
        def __repr__(self): return 'counted'
    """)
  end

  defp living(class), do: Python.eval!("#{class}.living")

  # Runs in a process of its own, whose heap goes with it.
  defp elsewhere(fun), do: fun |> Task.async() |> Task.await(:infinity)

  describe "an object" do
    test "is inspected as Python shows it" do
      counter = Python.call!(:collections, :Counter, ["aab"], return: :object)

      assert inspect(counter) ==
               "#Python.Object<<class 'collections.Counter'> Counter({'a': 2, 'b': 1})>"
    end

    test "is inspected in a sane length, however large it is" do
      large = Python.eval!("list(range(1_000_000))", %{}, return: :object)
      assert String.length(inspect(large)) < 600
      long = Python.eval!("type('A' * 100_000, (), {})()", %{}, return: :object)
      assert String.length(inspect(long)) < 600
    end

    test "is inspected in any script, and with lone surrogates" do
      assert inspect(Python.eval!("'größe 🐍'", %{}, return: :object)) =~ "größe 🐍"
      shown = inspect(Python.eval!(~S"'\ud800'", %{}, return: :object))
      assert String.valid?(shown)
      assert shown =~ "ud800"
    end

    test "whose repr does not work is inspected all the same" do
      for body <- ["raise ValueError", "raise SystemExit", "return 5", "return repr(self)"] do
        name = define("class NAME:\n    def __repr__(self): #{body}")
        object = Python.call!(:__main__, name)
        assert inspect(object) =~ "#Python.Object<"
      end
    end

    test "whose repr does not end is inspected all the same" do
      name = define("class NAME:\n    def __repr__(self):\n        while True: pass")
      object = Python.call!(:__main__, name)
      {ms, shown} = timed(fn -> inspect(object) end)
      assert shown =~ "#Python.Object<"
      assert ms < 10_000
      assert Python.eval("1") == {:ok, 1}
    end

    test "can be passed back, alone and inside of others" do
      object = Python.call!(:builtins, :object)
      assert Python.eval!("a is b", %{a: object, b: object})
      vars = %{a: object, b: [object], c: {object}, d: %{"k" => object}, e: %{object => 1}}
      assert Python.eval!("a is b[0] is c[0] is d['k'] and e[a] == 1", vars)
      assert Python.call!(:builtins, :dict, [], kwargs: %{x: object})["x"] |> is_struct(Object)
    end

    test "has methods" do
      list = Python.eval!("[3, 1, 2]", %{}, return: :object)
      assert Python.call(list, :sort) == {:ok, nil}
      assert Python.call(list, :index, [2]) == {:ok, 1}
      assert Python.call(list, :sort, [], kwargs: %{reverse: true}) == {:ok, nil}
      assert Python.call(list, :copy) == {:ok, [3, 2, 1]}
    end

    test "is the same in every process" do
      list = Python.eval!("[]", %{}, return: :object)
      elsewhere(fn -> Python.call!(list, :append, [1]) end)
      assert Python.call(list, :copy) == {:ok, [1]}
    end

    test "that is none any more is refused" do
      assert {:error, error} = Python.call(%Object{ref: make_ref()}, :copy)
      assert Exception.message(error) =~ "object"
      assert {:error, error} = Python.call(:builtins, :len, [%Object{ref: make_ref()}])
      assert Exception.message(error) =~ "object"
      assert_raise ArgumentError, fn -> Python.call(%Object{ref: nil}, :copy) end
      assert inspect(%Object{ref: make_ref()}) =~ "#Python.Object<"
    end

    test "of another kind of reference is refused" do
      %Python.Async{ticket: ticket} = async = Python.call_async(:math, :sqrt, [4])
      assert {:error, _} = Python.call(%Object{ref: ticket}, :copy)
      assert Python.await(async) == {:ok, 2.0}
    end
  end

  describe "the BEAM's garbage collector" do
    test "gives up an object that nobody has any more" do
      class = counting()
      elsewhere(fn -> for _ <- 1..10, do: Python.call!(:__main__, class) end)
      eventually("the objects have gone", fn -> living(class) == 0 end)
    end

    test "keeps an object as long as somebody has it" do
      class = counting()
      object = Python.call!(:__main__, class)
      elsewhere(fn -> Enum.map(1..100, fn _ -> Python.call!(:__main__, class) end) end)
      eventually("the other objects have gone", fn -> living(class) == 1 end)
      :erlang.garbage_collect()
      assert living(class) == 1
      # Last: a variable that is not used any more keeps nothing.
      assert inspect(object) =~ "counted"
    end

    test "gives up what the answer to a caller who died had in it" do
      class = counting()
      pool = start_pool()

      for _ <- 1..5 do
        {pid, monitor} =
          spawn_monitor(fn ->
            Python.eval("[__import__('time').sleep(0.3), #{class}()]", %{}, pool: pool)
          end)

        eventually_busy(pool)
        Process.exit(pid, :kill)
        assert_receive {:DOWN, ^monitor, _, _, :killed}
        eventually_idle(pool)
      end

      eventually("the objects have gone", fn -> living(class) == 0 end)
    end

    test "gives up what came too late" do
      class = counting()
      pool = start_pool()
      code = "[__import__('time').sleep(0.03), #{class}()]"
      for _ <- 1..20, do: Python.eval(code, %{}, timeout: 30, pool: pool)
      eventually_idle(pool)
      eventually("the objects have gone", fn -> living(class) == 0 end)
    end

    test "gives up the arguments, the results and the exceptions of calls" do
      class = counting()
      name = define("def NAME(*args, **kwargs): raise ValueError(args, kwargs)")

      elsewhere(fn ->
        for _ <- 1..100 do
          object = Python.call!(:__main__, class)
          {:error, error} = Python.call(:__main__, name, [object], kwargs: %{a: object})
          assert error.message =~ "counted"
        end
      end)

      eventually("the objects have gone", fn -> living(class) == 0 end)
    end

    test "gives up a great many objects, and Python has as many as before" do
      class = counting()
      count = times(100_000, 1_000_000)
      Python.exec!("import gc")

      tracked = fn ->
        Python.exec!("gc.collect()")
        Python.eval!("len(gc.get_objects())")
      end

      make = fn count ->
        elsewhere(fn ->
          for _ <- 1..div(count, 1_000) do
            # A thousand at a time, and nobody keeps them.
            {:ok, objects} = Python.map(:__main__, class, List.duplicate([], 1_000))
            assert length(objects) == 1_000
          end
        end)
      end

      make.(1_000)
      eventually("the first objects have gone", fn -> living(class) == 0 end)
      before = tracked.()
      make.(count)
      eventually("the objects have gone", fn -> living(class) == 0 end, 60_000)
      assert_in_delta tracked.(), before, 100
    end

    test "does not wait for Python" do
      class = counting()
      pool = start_pool()

      holder =
        Task.async(fn ->
          made = for _ <- 1..1_000, do: Python.call!(:__main__, class)
          receive(do: (:drop -> :ok))
          # Only now: until here `made` is alive.
          1_000 = length(made)
          :ok
        end)

      eventually("the objects are there", fn -> living(class) == 1_000 end)

      # A C function keeps the GIL for the better part of a second.
      code = "sum(range(30_000_000))"
      busy = Task.async(fn -> timed(fn -> Python.eval!(code, %{}, pool: pool) end) end)
      eventually_busy(pool)
      send(holder.pid, :drop)
      {ms, :ok} = timed(fn -> Task.await(holder, 60_000) end)
      {busy_ms, _sum} = Task.await(busy, 60_000)
      assert ms < busy_ms / 2
      eventually("the objects have gone", fn -> living(class) == 0 end)
    end
  end
end
