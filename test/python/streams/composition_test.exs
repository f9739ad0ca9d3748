defmodule Python.Streams.CompositionTest do
  # Streams together with the rest of Elixir, with each other, with objects and contexts.
  use Python.StreamCase, async: true

  describe "a stream is an Enumerable" do
    test "for Enum" do
      range = Python.stream(:builtins, :range, [10])
      assert Enum.count(range) == 10
      assert Enum.sum(range) == 45
      assert Enum.member?(range, 7)
      refute Enum.member?(range, 10)
      assert Enum.at(range, 3) == 3
      assert Enum.slice(range, 2..4) == [2, 3, 4]
      assert Enum.reverse(range) == Enum.to_list(9..0//-1)
      assert Enum.chunk_every(range, 4) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
      assert Enum.into(range, MapSet.new()) == MapSet.new(0..9)
      assert Enum.map_join(range, ",", &(&1 * 2)) == "0,2,4,6,8,10,12,14,16,18"
      assert Enum.empty?(Python.stream(:builtins, :range, [0]))
      refute Enum.empty?(range)
    end

    test "for Stream, with the laziness that it has", %{name: name} do
      assert stream(:numbers, [name])
             |> Stream.reject(&(rem(&1, 2) == 0))
             |> Stream.map(&(&1 * &1))
             |> Stream.chunk_every(2)
             |> Stream.flat_map(&[Enum.sum(&1)])
             |> Enum.take(3) == [1 + 9, 25 + 49, 81 + 121]

      assert_closed(name)
    end

    test "for comprehensions" do
      assert for(
               x <- Python.stream_eval("'abc'"),
               y <- Python.stream_eval("range(2)"),
               do: {x, y}
             ) ==
               [{"a", 0}, {"a", 1}, {"b", 0}, {"b", 1}, {"c", 0}, {"c", 1}]

      assert for({k, v} <- Python.stream_eval("{'a': 1}.items()"), into: %{}, do: {k, v}) ==
               %{"a" => 1}
    end

    @tag :tmp_dir
    test "that can be written to a file, and sent on", %{tmp_dir: folder} do
      path = Path.join(folder, "out")
      Python.stream_eval("(f'{n}\\n' for n in range(1000))") |> Enum.into(File.stream!(path))
      assert File.read!(path) == Enum.map_join(0..999, &"#{&1}\n")
    end

    test "for Task.async_stream, in order" do
      assert Python.stream(:builtins, :range, [200])
             |> Task.async_stream(fn n -> Python.call!(:math, :factorial, [rem(n, 5)]) end,
               max_concurrency: 8,
               timeout: 60_000
             )
             |> Enum.map(fn {:ok, result} -> result end) ==
               for(n <- 0..199, do: Enum.at([1, 1, 2, 6, 24], rem(n, 5)))
    end

    test "of streams, each read by another process" do
      results =
        1..times(200, 10_000)
        |> Enum.map(fn n ->
          Task.async(fn -> Enum.sum(Python.stream(:builtins, :range, [rem(n, 50) * 100 + 1])) end)
        end)
        |> Task.await_many(60_000)

      assert results == for(n <- 1..length(results), do: Enum.sum(0..(rem(n, 50) * 100)))
    end

    test "that calls Python for each item, with one worker" do
      pool = start_pool()

      assert Enum.map(
               Python.stream(:builtins, :range, [50], pool: pool, max_chunk: 1),
               &Python.call!(:math, :sqrt, [&1 * &1], pool: pool)
             ) == Enum.map(0..49, &(&1 / 1))
    end

    test "in a stream: generators that are read while others are", %{name: name} do
      pool = start_pool()

      items =
        for x <- stream(:numbers, [name <> "a", 5], pool: pool),
            y <- Stream.take(stream(:numbers, [name <> "b"], pool: pool), x),
            do: {x, y}

      assert items == for(x <- 1..4, y <- 0..(x - 1), do: {x, y})
    end
  end

  describe "several at once, on one worker" do
    test "two are zipped" do
      pool = start_pool()
      range = Python.stream(:builtins, :range, [5_000], pool: pool)

      assert Enum.zip(range, range) == Enum.zip(0..4_999, 0..4_999)

      one = Python.stream(:builtins, :range, [300], pool: pool, max_chunk: 1, prefetch: 0)
      assert Enum.zip(one, range) == Enum.zip(0..299, 0..299)
    end

    test "are concatenated" do
      pool = start_pool()
      range = &Python.stream(:builtins, :range, [&1, &1 + 3], pool: pool)
      assert Stream.concat(range.(1), range.(5)) |> Enum.to_list() == [1, 2, 3, 5, 6, 7]
    end

    @tag timeout: 300_000
    test "two thousand are suspended", %{name: name} do
      pool = start_pool()
      count = times(2_000, 20_000)

      suspended =
        for _ <- 1..count do
          {[0], continue} =
            suspend(
              stream(:numbers, [name, 4], pool: pool, max_chunk: 2, max_wait: 60_000, prefetch: 0),
              1
            )

          continue
        end

      # None of them holds the worker, or waits for it.
      eventually_idle(pool)
      assert Python.call!(:math, :sqrt, [4], pool: pool) == 2.0
      assert made(name) == 2 * count

      {first, others} = Enum.split(suspended, div(count, 2))
      assert Enum.all?(first, &(resume(&1) == [1, 2, 3]))
      assert Enum.all?(others, &(halt(&1) == :ok))

      events = Enum.frequencies(events(name))
      assert events["finally"] == count
      assert events["end"] == length(first)
      assert events["GeneratorExit"] == length(others)
      assert messages() == []
    end

    @tag timeout: 300_000
    test "hundreds are zipped, with chunks that are fetched ahead", %{name: name} do
      pool = start_pool()
      streams = for n <- 1..300, do: Python.stream(:itertools, :count, [n], pool: pool)
      assert [first, second] = streams |> Stream.zip() |> Enum.take(2)
      assert Tuple.to_list(first) == Enum.to_list(1..300)
      assert Tuple.to_list(second) == Enum.to_list(2..301)
      assert Enum.count(stream(:numbers, [name, 5], pool: pool)) == 5
    end

    test "a slow one does not hold up others for longer than an item", %{name: name} do
      pool = start_pool(size: 2)
      slow = start(fn -> Enum.to_list(stream(:gated, [name, 1], pool: pool)) end)
      eventually_told(name, "at the gate")
      assert Enum.sum(Python.stream(:builtins, :range, [1_000], pool: pool)) == 499_500
      Process.exit(slow, :kill)
      eventually_idle(pool)
    end
  end

  describe "a suspended stream" do
    test "is read on by another process", %{name: name} do
      {[0, 1], continue} = suspend(stream(:numbers, [name, 10], max_chunk: 3), 2)
      assert Task.await(Task.async(fn -> resume(continue) end)) == Enum.to_list(2..9)
      assert messages() == []
    end

    test "that another process has too is closed when both are gone", %{name: name} do
      test = self()

      first =
        start(fn ->
          {_, continue} = suspend(stream(:numbers, [name]), 2)
          send(test, continue)
          Process.sleep(:infinity)
        end)

      second = start(fn -> receive(do: (continue -> {Process.sleep(:infinity), continue})) end)
      # The test does not keep it: what it receives is in a process that ends.
      forward(second)
      Process.exit(first, :kill)
      gone(first)
      assert events(name) == []
      Process.exit(second, :kill)
      eventually("it is closed", fn -> :erlang.garbage_collect() && events(name) != [] end)
    end

    defp forward(pid) do
      receive do
        continue -> send(pid, continue)
      end
    end
  end

  describe "a Python.Object" do
    test "is enumerated in the same way, and closed early", %{name: name} do
      {:ok, numbers} = Python.call(:streams, :numbers, [name])
      assert %Python.Object{} = numbers
      assert Enum.take(numbers, 3) == [0, 1, 2]
      assert_closed(name)
      # It is at its end.
      assert Enum.to_list(numbers) == []
    end

    test "that several read at the same time gives each item once, or says that it is in use" do
      generator = Python.eval!("(x for x in range(20_000))", %{}, return: :object)

      results =
        1..4
        |> Enum.map(fn _ ->
          Task.async(fn -> read(Python.stream(:builtins, :iter, [generator])) end)
        end)
        |> Task.await_many(60_000)

      items = Enum.flat_map(results, &elem(&1, 0))
      assert items == Enum.uniq(items)

      for {_items, error} <- results, is_exception(error) do
        assert Exception.message(error) =~ "generator already executing"
      end
    end

    test "that is no iterator can be enumerated again" do
      {:ok, range} = Python.to_object(1..3)
      assert Enum.to_list(range) == [1, 2, 3]
      assert Enum.map(range, &(&1 * 2)) == [2, 4, 6]
      {:ok, list} = Python.to_object(["a", "b"])
      assert Enum.zip(list, list) == [{"a", "a"}, {"b", "b"}]
    end

    test "can be a stream's target, or argument", %{name: name} do
      {:ok, table} = Python.to_object(%{"a" => 1})
      assert Enum.to_list(Python.stream(table, :items)) == [{"a", 1}]
      {:ok, numbers} = Python.call(:streams, :numbers, [name, 3])

      assert Enum.to_list(
               Python.stream(:builtins, :map, [
                 Python.getattr!(Python.import!(:math), :sqrt),
                 numbers
               ])
             ) ==
               [0.0, 1.0, :math.sqrt(2)]
    end
  end

  describe "in a context" do
    @tag engine: :main
    test "all of it is done on the context's thread", %{name: name} do
      context = start_context(init: "import threading")
      {:ok, ident} = Python.eval("threading.get_ident()", context: context)

      assert Enum.take(stream(:numbers, [name], context: context, max_chunk: 2), 10) ==
               Enum.to_list(0..9)

      assert_closed(name)
      assert ident(name) == ident

      # A suspended one that is garbage, too.
      name = name <> " garbage"
      consumer = start(fn -> suspend(stream(:numbers, [name], context: context), 2) end)
      gone(consumer)
      eventually_told(name, "finally")
      assert ident(name) == ident
    end

    test "expressions see its names, and thread-bound objects work" do
      {:ok, context} =
        Python.Context.start_link(
          init: """
          import sqlite3
          db = sqlite3.connect(":memory:")
          db.execute("create table t (x)")
          db.executemany("insert into t values (?)", [(n,) for n in range(1000)])
          """
        )

      rows = Python.stream_eval("db.execute('select x from t order by x')", context: context)
      assert Enum.map(rows, fn {x} -> x end) == Enum.to_list(0..999)
      assert Enum.take(rows, 2) == [{0}, {1}]

      more =
        Python.stream_eval("(x + n for x, in db.execute('select x from t'))", %{n: 1},
          context: context
        )

      assert Enum.sum(more) == 500_500
    end

    test "streams take turns with calls" do
      context = start_context()
      range = Python.stream(:builtins, :range, [20], context: context, max_chunk: 1)

      assert Enum.map(range, &Python.eval!("x * 2", %{x: &1}, context: context)) ==
               Enum.map(0..19, &(&1 * 2))

      assert Enum.zip(range, range) == Enum.zip(0..19, 0..19)
    end
  end

  describe "a callback" do
    test "reads a stream, with one worker that waits for it" do
      pool = start_pool()

      total = fn n ->
        Enum.sum(Python.stream(:builtins, :range, [n], pool: pool, max_chunk: 3))
      end

      assert Python.eval("f(10)", %{f: total}, pool: pool) == {:ok, 45}
    end

    @tag blocks: "a generator waits for Elixir"
    test "is called by a generator that is read" do
      pool = start_pool()
      double = fn n -> n * 2 end

      assert Enum.to_list(
               Python.stream_eval("(f(n) for n in range(5))", %{f: double}, pool: pool)
             ) == [0, 2, 4, 6, 8]
    end

    @tag blocks: "a generator waits for Elixir"
    test "of a generator reads a generator, which is closed", %{name: name} do
      pool = start_pool()
      first = fn n -> Enum.take(stream(:numbers, [name], pool: pool), n) end

      assert Enum.take(
               Python.stream_eval("(f(n) for n in range(1, 100))", %{f: first}, pool: pool),
               3
             ) ==
               [[0], [0, 1], [0, 1, 2]]

      eventually("all are closed", fn ->
        events = Enum.frequencies(events(name))
        events["finally"] != nil and events["finally"] >= 3
      end)

      assert messages() == []
      eventually_idle(pool)
    end
  end
end
