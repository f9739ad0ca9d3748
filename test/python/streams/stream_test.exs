defmodule Python.Streams.StreamTest do
  use Python.TestCase, async: true

  import Python.StreamHelpers

  alias Python.{Object, TimeoutError}

  # A generator function that says in `NAME_log` what becomes of it. Returns its name.
  defp logging do
    define("""
    NAME_log = []
    def NAME(count):
        NAME_log.append('begun')
        try:
            n = 0
            while n < count:
                yield n
                n += 1
            NAME_log.append('done')
        except BaseException as e:
            NAME_log.append(type(e).__name__)
            raise
        finally:
            NAME_log.append('finally')
    """)
  end

  defp log(name), do: Python.eval!(name <> "_log")

  describe "a stream" do
    test "gives the items of a generator in order" do
      for count <- [0, 1, 2, 4_095, 4_096, 4_097, 100_000] do
        name = logging()
        items = :__main__ |> Python.stream(name, [count]) |> Enum.to_list()
        assert length(items) == count
        assert items == Enum.take(0..100_000, count)
        assert log(name) == ["begun", "done", "finally"]
      end

      assert messages() == []
    end

    test "gives the items of whatever can be iterated" do
      for {code, items} <- [
            {"range(3)", [0, 1, 2]},
            {"[1, 'a', None]", [1, "a", nil]},
            {"'ab'", ["a", "b"]},
            {"b'ab'", [97, 98]},
            {"{'a': 1}", ["a"]},
            {"{1}", [1]},
            {"(x for x in ())", []},
            {"map(str, [1])", ["1"]},
            {"iter([[1], (2,)])", [[1], {2}]},
            {"type('A', (), {'__iter__': lambda self: iter([1])})()", [1]},
            {"type('A', (), {'__getitem__': lambda self, n: [1, 2][n]})()", [1, 2]},
            {"iter(iter([1, 2, 3]).__next__, 3)", [1, 2]},
            {"enumerate('a')", [{0, "a"}]},
            {"__import__('io').StringIO('x\\ny')", ["x\n", "y"]}
          ] do
        assert code |> Python.stream_eval() |> Enum.to_list() == items
      end
    end

    test "takes arguments, keyword arguments and variables" do
      options = [kwargs: %{reverse: true}]

      assert :builtins |> Python.stream(:sorted, [[1, 3, 2]], options) |> Enum.to_list() == [
               3,
               2,
               1
             ]

      stream = Python.stream_eval("(x * n for x in range(3))", %{n: 10})
      assert Enum.to_list(stream) == [0, 10, 20]
      assert "range(2)" |> Python.stream_eval(timeout: 5_000) |> Enum.to_list() == [0, 1]
    end

    test "may be of a method's result" do
      dict = Python.eval!("{'a': 1}", %{}, return: :object)
      assert dict |> Python.stream(:items) |> Enum.to_list() == [{"a", 1}]
    end

    test "gives objects for what has no counterpart" do
      assert [%Object{}, %Object{}] =
               "(object() for _ in 'ab')" |> Python.stream_eval() |> Enum.to_list()
    end

    test "works with the functions of Enum and Stream" do
      numbers = Python.stream(:builtins, :range, [10])
      assert Enum.count(numbers) == 10
      assert Enum.at(numbers, 3) == 3
      assert Enum.sum(numbers) == 45

      assert numbers |> Stream.map(&(&1 * 2)) |> Stream.reject(&(&1 < 10)) |> Enum.take(2) == [
               10,
               12
             ]

      assert numbers |> Stream.zip(numbers) |> Enum.at(4) == {4, 4}
      assert numbers |> Stream.chunk_every(4) |> Enum.to_list() |> length() == 3
    end

    test "may be enumerated more than once, anew each time" do
      name = logging()
      stream = Python.stream(:__main__, name, [2])
      assert Enum.to_list(stream) == [0, 1]
      assert Enum.to_list(stream) == [0, 1]
      assert log(name) == ["begun", "done", "finally", "begun", "done", "finally"]
    end

    test "may be enumerated by another process than the one that made it" do
      stream = Python.stream(:builtins, :range, [3])
      assert Task.await(Task.async(fn -> Enum.to_list(stream) end)) == [0, 1, 2]
    end

    test "does nothing before it is enumerated" do
      name = logging()
      Python.stream(:__main__, name, [2])
      Python.stream_eval("1 / 0")
      Python.stream(:no_such_module, :f)
      assert log(name) == []
    end

    test "refuses options that make no sense at once" do
      assert_raise ArgumentError, fn -> Python.stream(:builtins, :range, [3], tiemout: 1) end
      assert_raise ArgumentError, fn -> Python.stream(:builtins, :range, 3) end
      assert_raise ArgumentError, fn -> Python.stream_eval("[]", %{}, kwargs: %{}) end
    end
  end

  describe "an infinite stream" do
    test "gives as many items as are taken" do
      assert :itertools |> Python.stream(:count, [10, 5]) |> Enum.take(3) == [10, 15, 20]
      assert :itertools |> Python.stream(:count) |> Enum.take(10_000) == Enum.to_list(0..9_999)
    end

    test "closes its generator when enough was taken" do
      name = logging()
      assert :__main__ |> Python.stream(name, [1.0e9]) |> Enum.take(3) == [0, 1, 2]
      eventually("the generator is closed", fn -> "finally" in log(name) end)
      assert log(name) == ["begun", "GeneratorExit", "finally"]
      assert messages() == []
    end

    test "closes its generator when nothing was taken" do
      name = logging()
      assert :__main__ |> Python.stream(name, [1.0e9]) |> Enum.take(0) == []
      assert log(name) in [[], ["begun", "GeneratorExit", "finally"]]
    end

    test "closes its generator when the consumer raises, throws or exits" do
      for ending <- [fn -> raise "a" end, fn -> throw(:a) end, fn -> exit(:a) end] do
        name = logging()

        try do
          :__main__ |> Python.stream(name, [1.0e9]) |> Enum.each(fn _ -> ending.() end)
        rescue
          RuntimeError -> :ok
        catch
          _, :a -> :ok
        end

        eventually("the generator is closed", fn -> "finally" in log(name) end)
      end
    end

    test "closes its generator when the consumer is killed" do
      name = logging()
      test = self()

      {pid, monitor} =
        spawn_monitor(fn ->
          :__main__
          |> Python.stream(name, [1.0e9])
          |> Enum.each(fn n -> if n == 10, do: {send(test, :there), Process.sleep(:infinity)} end)
        end)

      assert_receive :there, 10_000
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, :killed}
      eventually("the generator is closed", fn -> "finally" in log(name) end)
    end

    test "closes its generator when the consumer is killed while it waits for an item" do
      pool = start_pool()

      name =
        define("""
        NAME_log = []
        def NAME():
            try:
                yield 1
                while True: pass
            finally:
                NAME_log.append('finally')
        """)

      test = self()

      {pid, monitor} =
        spawn_monitor(fn ->
          :__main__ |> Python.stream(name, [], pool: pool) |> Enum.each(&send(test, &1))
        end)

      assert_receive 1, 10_000
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, :killed}
      eventually("the generator is closed", fn -> log(name) == ["finally"] end)
      eventually_idle(pool)
      assert Python.call(:math, :sqrt, [4], pool: pool) == {:ok, 2.0}
    end
  end

  describe "a slow generator" do
    test "has each item delivered before it makes the next" do
      # It waits for its consumer after each item: were one kept back, both would wait for ever.
      name =
        define("""
        import threading
        NAME_go = threading.Semaphore(0)
        def NAME():
            for n in range(20):
                yield n
                NAME_go.acquire()
        """)

      stream = Python.stream(:__main__, name, [], pool: start_pool(), timeout: 20_000)

      items =
        for n <- stream do
          Python.exec!("#{name}_go.release()")
          n
        end

      assert items == Enum.to_list(0..19)
    end

    test "has items delivered that come in bursts" do
      name =
        define("""
        import threading
        NAME_go = threading.Semaphore(0)
        def NAME():
            for burst in range(5):
                for n in range(100): yield n
                NAME_go.acquire()
        """)

      stream = Python.stream(:__main__, name, [], pool: start_pool(), timeout: 20_000)

      items =
        for n <- stream do
          if n == 99, do: Python.exec!("#{name}_go.release()")
          n
        end

      assert items == List.flatten(List.duplicate(Enum.to_list(0..99), 5))
    end

    test "is a TimeoutError when an item takes too long, and the pool works" do
      pool = start_pool()
      name = define("def NAME():\n    yield 1\n    while True: pass")

      {ms, {items, error}} =
        timed(fn ->
          :__main__ |> Python.stream(name, [], pool: pool, timeout: 200) |> until_raise()
        end)

      assert items == [1]
      assert %TimeoutError{timeout: 200} = error
      assert ms < 10_000
      assert Python.call(:math, :sqrt, [4], pool: pool) == {:ok, 2.0}
      eventually_idle(pool)
      assert messages() == []
    end

    test "in a C function that blocks is a TimeoutError, and the pool works" do
      pool = start_pool()
      name = define("import time\ndef NAME():\n    yield 1\n    time.sleep(3)\n    yield 2")
      stream = Python.stream(:__main__, name, [], pool: pool, timeout: 100)
      assert {[1], %TimeoutError{}} = until_raise(stream)
      assert Python.call(:math, :sqrt, [4], pool: pool) == {:ok, 2.0}
    end

    test "may take longer in all than its timeout" do
      name =
        define(
          "import time\ndef NAME():\n    for n in range(10):\n        time.sleep(0.1)\n        yield n"
        )

      stream = Python.stream(:__main__, name, [], timeout: 700)
      assert Enum.to_list(stream) == Enum.to_list(0..9)
    end
  end

  describe "many streams" do
    test "share one worker" do
      pool = start_pool()
      count = 200
      streams = for n <- 1..count, do: Python.stream(:itertools, :count, [n], pool: pool)
      assert [first, second] = streams |> Stream.zip() |> Enum.take(2)
      assert first == List.to_tuple(Enum.to_list(1..count))
      assert second == List.to_tuple(Enum.to_list(2..(count + 1)))
    end

    test "run at the same time, and each gives all of its items" do
      results =
        1..times(200, 10_000)
        |> Enum.map(fn n ->
          Task.async(fn ->
            :builtins |> Python.stream(:range, [rem(n, 50) * 100 + 1]) |> Enum.sum()
          end)
        end)
        |> Task.await_many(60_000)

      assert results == for(n <- 1..length(results), do: Enum.sum(0..(rem(n, 50) * 100)))
    end

    test "over one generator give each item once, or say that it is in use" do
      generator = Python.eval!("(x for x in range(20_000))", %{}, return: :object)

      results =
        1..4
        |> Enum.map(fn _ ->
          Task.async(fn -> until_raise(Python.stream(:builtins, :iter, [generator])) end)
        end)
        |> Task.await_many(60_000)

      items = Enum.flat_map(results, &elem(&1, 0))
      assert items == Enum.uniq(items)

      for {_items, error} <- results, is_exception(error) do
        assert Exception.message(error) =~ "generator already executing"
      end
    end
  end
end
