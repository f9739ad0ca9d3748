defmodule Python.Streams.ErrorsTest do
  # What comes of exceptions, of values that cannot cross and of pools that are full; and of iterators
  # that are no generators.
  use Python.StreamCase, async: true

  alias Python.{DecodeError, EncodeError, Error, NotStartedError, OverloadedError}

  describe "an exception in a generator" do
    test "is raised after the items before it, however they are fetched", %{name: name} do
      for options <- [
            [],
            [max_chunk: 1],
            [max_chunk: 1, prefetch: 0],
            [max_chunk: 2, prefetch: 5],
            [max_chunk: 3],
            [max_wait: 0]
          ] do
        {items, error} = read(stream(:failing, [name, 3], options))
        assert items == [0, 1, 2]
        assert %Error{type: "Failure", module: "streams", message: "no more than 3"} = error
      end

      assert Enum.uniq(events(name)) == ["Failure", "finally"]
      assert messages() == []

      for count <- [1, 10, 5_000] do
        assert {items, %Error{}} = read(stream(:failing, [name, count]))
        assert items == Enum.to_list(0..(count - 1))
      end
    end

    test "has Python's traceback, in the message and in the stacktrace", %{name: name} do
      {error, stacktrace} =
        try do
          Enum.to_list(stream(:failing, [name, 1]))
        rescue
          error -> {error, __STACKTRACE__}
        end

      text = Exception.message(error)
      assert String.starts_with?(text, "Traceback (most recent call last):\n  File ")
      assert text =~ ~r/streams.py", line \d+, in failing\n    fail\("no more than %d" % count\)/
      assert text =~ ~r/streams.py", line \d+, in fail\n    raise Failure\(text\)/
      assert String.ends_with?(text, "streams.Failure: no more than 1")

      assert [%{function: "failing"}, %{function: "fail", code: "raise Failure(text)"}] =
               error.frames

      # The innermost first, then Elixir's.
      assert [{:python, :fail, 0, [file: file, line: line]}, {:python, :failing, 0, _} | elixir] =
               stacktrace

      assert List.to_string(file) =~ "streams.py"
      assert line == List.last(error.frames).line
      assert Enum.any?(elixir, &match?({__MODULE__, _, _, _}, &1))
    end

    test "at its first item, and in the call that makes it", %{name: name} do
      assert {[], %Error{type: "Failure"}} = read(stream(:failing, [name, 0]))
      assert {[], %Error{type: "Failure", message: "text"}} = read(stream(:fail, ["text"]))
      assert {[], %Error{type: "AttributeError"}} = read(stream(:no_such_function))

      assert {[], %Error{type: "ModuleNotFoundError"}} = read(Python.stream(:no_such_module, :f))
      assert {[], %Error{type: "NameError"}} = read(Python.stream_eval("no_such_name"))
      assert {[], %Error{type: "ZeroDivisionError"}} = read(Python.stream_eval("1 / 0"))
      assert {[], %Error{type: "SyntaxError"}} = read(Python.stream_eval("1 +"))
      assert {[], %EncodeError{}} = read(Python.stream(:builtins, :iter, [<<1::3>>]))
    end

    test "in an expression has its line" do
      {[1.0], error} = read(Python.stream_eval("(1 / x for x in (1, 0))"))
      assert error.type == "ZeroDivisionError"
      assert Exception.message(error) =~ "(1 / x for x in (1, 0))"
    end

    test "has its causes" do
      made =
        define("""
        def NAME():
            yield 1
            try:
                {}["key"]
            except KeyError as error:
                raise ValueError("no key") from error
        """)

      assert {[1], %Error{type: "ValueError", cause: %Error{type: "KeyError"}}} =
               read(Python.stream(:__main__, made))
    end

    test "ends the stream: no item comes after it", %{name: name} do
      test = self()
      items = stream(:failing, [name, 2], prefetch: 3)

      resumed =
        Stream.resource(
          fn -> suspend(items, 2) end,
          fn
            {[], continue} ->
              send(test, {:error, catch_error(resume(continue))})
              {:halt, nil}

            {read, continue} ->
              {read, {[], continue}}
          end,
          fn _ -> :ok end
        )

      assert Enum.to_list(resumed) == [0, 1]
      assert_received {:error, %Error{type: "Failure"}}
      assert messages() == []
    end

    for kind <- ~w(KeyboardInterrupt SystemExit GeneratorExit MemoryError RecursionError
                   Unreadable StopAsyncIteration) do
      @kind kind
      test "#{kind} is an error like the others" do
        assert {[0, 1], %Error{type: @kind}} = read(stream(:raises, [@kind]))
        assert {[], %Error{type: @kind}} = read(stream(:raises, [@kind, 0], max_chunk: 1))
        assert messages() == []
        assert Python.call!(:math, :sqrt, [4]) == 2.0
      end
    end

    test "StopIteration in a generator is Python's RuntimeError" do
      made =
        define("""
        def NAME():
            yield 1
            raise StopIteration("odd")
        """)

      assert {[1], %Error{type: "RuntimeError", cause: %Error{type: "StopIteration"}}} =
               read(Python.stream(:__main__, made))
    end
  end

  describe "an item that cannot cross" do
    test "is an error that says which, after the items before it", %{name: name} do
      for options <- [[], [max_chunk: 2], [max_chunk: 1, prefetch: 0], [prefetch: 4]] do
        {items, error} = read(stream(:unconvertible, [name, 5], options))
        assert items == [0, 1, 2, 3, 4]
        assert %DecodeError{} = error
        assert Exception.message(error) =~ ~S(at [5]["rows"][1])
        assert messages() == []
      end
    end

    test "says in its path where it is in the item, and why" do
      {[1], %DecodeError{} = error} = read(Python.stream_eval(~S"iter([1, {'a': '\ud800'}, 3])"))
      assert error.path =~ ~s(["a"])
      assert Exception.message(error) =~ "surrogate"
    end

    test "has its place in the stream, not in a chunk", %{name: name} do
      {items, error} = read(stream(:unconvertible, [name, 5_000]))
      assert length(items) == 5_000
      assert Exception.message(error) =~ ~S(at [5000]["rows"][1])
    end

    test "ends the stream, and the generator is closed", %{name: name} do
      {_, %DecodeError{}} = read(stream(:unconvertible, [name, 2]))
      assert_closed(name)
      assert made(name) == 2
    end

    test "can stay in Python", %{name: name} do
      items = Enum.to_list(stream(:unconvertible, [name, 1], return: :object))
      assert [%Python.Object{}, %Python.Object{} = odd, %Python.Object{}] = items
      assert Python.len!(odd) == 1
    end
  end

  describe "a pool that is full" do
    setup do
      pool = start_pool(max_queue: 1)
      release = hold(pool)
      waiting = start(fn -> Python.call(:math, :sqrt, [1], pool: pool) end)
      eventually("the queue is full", fn -> Python.Pool.stats(pool).queued == 1 end)
      {:ok, pool: pool, release: release, waiting: waiting}
    end

    @tag blocks: "calls in flight are counted, and not those that wait"
    test "refuses a stream", %{pool: pool, name: name, release: release} do
      assert {[], %OverloadedError{pool: ^pool}} = read(stream(:numbers, [name], pool: pool))
      assert made(name) == 0
      release.()
      eventually_idle(pool)
      assert Enum.take(stream(:numbers, [name], pool: pool), 2) == [0, 1]
    end
  end

  @tag blocks: "calls in flight are counted, and not those that wait"
  test "a pool that has become full refuses the next chunk, and the generator is closed", %{
    name: name
  } do
    pool = start_pool(max_queue: 1)
    {[0], continue} = suspend(stream(:numbers, [name], pool: pool, max_chunk: 1, prefetch: 0), 1)
    release = hold(pool)
    start(fn -> Python.call(:math, :sqrt, [1], pool: pool) end)
    eventually("the queue is full", fn -> Python.Pool.stats(pool).queued == 1 end)
    assert %OverloadedError{pool: ^pool} = catch_error(resume(continue))
    assert messages() == []
    release.()
    # Closing is not refused.
    assert_closed(name)
  end

  test "chunks that are fetched ahead and refused are asked for later", %{name: name} do
    pool = start_pool(max_queue: 1)

    results =
      1..times(40, 400)
      |> Task.async_stream(
        fn _ ->
          try do
            Enum.count(
              Python.stream_eval("iter(range(60))", pool: pool, max_chunk: 1, timeout: 30_000)
            )
          rescue
            OverloadedError -> :overloaded
          end
        end,
        max_concurrency: 6,
        timeout: 60_000
      )
      |> Enum.map(fn {:ok, result} -> result end)

    # Neither a timeout nor one that waits for ever.
    assert Enum.uniq(results) -- [60, :overloaded] == []
    eventually_idle(pool)
    assert Enum.count(stream(:numbers, [name, 5], pool: pool)) == 5
  end

  test "no pool, and no context" do
    assert {[], %NotStartedError{}} =
             read(Python.stream(:builtins, :range, [3], pool: NoSuchPool))

    assert {[], %NotStartedError{}} =
             read(Python.stream(:builtins, :range, [3], context: NoSuchContext))
  end

  describe "iterables that are no generators" do
    @tag :tmp_dir
    @tag engine: :main
    test "files", %{tmp_dir: folder} do
      path = Path.join(folder, "lines")
      File.write!(path, Enum.map(1..10_000, &"#{&1}\n"))
      {:ok, file} = Python.call(:builtins, :open, [path])
      assert Python.stream(:builtins, :iter, [file]) |> Enum.take(2) == ["1\n", "2\n"]

      # It goes on to be somebody's, and is read further on.
      refute Python.getattr!(file, :closed)
      assert Enum.count(Python.stream(:builtins, :iter, [file], prefetch: 0)) < 10_000
      Python.call!(file, :close)

      assert {[], %Error{type: "ValueError", message: "I/O operation on closed file."}} =
               read(Python.stream(:builtins, :iter, [file]))

      # Opened for the stream, it is closed at the end, early or not.
      assert Python.stream(:builtins, :open, [path]) |> Enum.count() == 10_000
      assert Python.stream(:builtins, :open, [path]) |> Enum.take(1) == ["1\n"]

      eventually("no file is open", fn ->
        not Enum.any?(File.ls!("/proc/self/fd"), fn fd ->
          File.read_link("/proc/self/fd/#{fd}") == {:ok, path}
        end)
      end)
    end

    test "a file that is closed while it is read" do
      made =
        define("""
        import io
        def NAME():
            return io.StringIO("one\\ntwo\\nthree\\n")
        """)

      file = Python.call!(:__main__, made)

      {["one\n"], continue} =
        suspend(Python.stream(:builtins, :iter, [file], max_chunk: 1, prefetch: 0), 1)

      Python.call!(file, :close)
      assert %Error{type: "ValueError"} = catch_error(resume(continue))
    end

    test "range, the views of a dict, str, bytes, set, map, zip" do
      for {code, items} <- [
            {"range(10, 0, -3)", [10, 7, 4, 1]},
            {"[1, 'a', None]", [1, "a", nil]},
            {"(x for x in ())", []},
            {"map(str, [1])", ["1"]},
            {"iter([[1], (2,)])", [[1], {2}]},
            {"type('A', (), {'__iter__': lambda self: iter([1])})()", [1]},
            {"type('A', (), {'__getitem__': lambda self, n: [1, 2][n]})()", [1, 2]},
            {"iter(iter([1, 2, 3]).__next__, 3)", [1, 2]},
            {"__import__('io').StringIO('x\\ny')", ["x\n", "y"]},
            {"{'a': 1, 'b': 2}", ["a", "b"]},
            {"{'a': 1, 'b': 2}.keys()", ["a", "b"]},
            {"{'a': 1, 'b': 2}.values()", [1, 2]},
            {"{'a': 1, 'b': 2}.items()", [{"a", 1}, {"b", 2}]},
            {"'añ😀'", ["a", "ñ", "😀"]},
            {"b'\\x00\\xff'", [0, 255]},
            {"{7}", [7]},
            {"map(abs, [-1, 2])", [1, 2]},
            {"zip('ab', [1, 2])", [{"a", 1}, {"b", 2}]},
            {"reversed([1, 2])", [2, 1]},
            {"enumerate('ab')", [{0, "a"}, {1, "b"}]},
            {"__import__('itertools').chain([1], (2,), {3})", [1, 2, 3]}
          ] do
        assert {code, Enum.to_list(Python.stream_eval(code))} == {code, items}
      end
    end

    test "an object with indexes, and one that goes on after its end" do
      assert Enum.to_list(stream(:Old)) == [0, 1, 4]
      assert Enum.to_list(stream(:Restarting)) == [1, 2]
      assert Enum.to_list(stream(:Restarting, [], max_chunk: 1, prefetch: 5)) == [1, 2]
    end

    test "a dict that changes meanwhile" do
      assert {[0, 1, 2, 3, 4, 5], %Error{type: "RuntimeError", message: text}} =
               read(stream(:changing_dict))

      assert text =~ "changed size"
    end

    test "one whose close raises", %{name: name} do
      pool = start_pool()

      ExUnit.CaptureIO.capture_io(:standard_error, fn ->
        assert Enum.take(stream(:Resource, [name], pool: pool), 2) == [1, 1]
        assert eventually_told(name, "close") == ["close"]
        eventually_idle(pool)
      end)

      assert messages() == []
    end

    test "what cannot be iterated is Python's TypeError" do
      assert {[], %Error{type: "TypeError", message: "'int' object is not iterable"}} =
               read(Python.stream_eval("5"))

      assert {[], %Error{type: "TypeError"}} = read(stream(:NoIterator))
      assert {[], %Error{type: "TypeError"}} = read(Python.stream_eval("None"))
      assert {[], %Error{type: "TypeError"}} = read(Python.stream(:math, :sqrt, [4]))
    end
  end

  describe "the consumer's mailbox" do
    test "may have any messages, which stay there in their order", %{name: name} do
      junk =
        for n <- 1..200 do
          Enum.random([
            {make_ref(), {:ok, {:more, [n]}}},
            {make_ref(), {:ok, {:done, []}}},
            {make_ref(), {:error, :closed}},
            {:ok, n},
            {:py_stream, make_ref(), :done},
            n
          ])
        end

      pool = start_pool()

      consumer =
        Task.async(fn ->
          Enum.each(junk, &send(self(), &1))

          results = [
            Enum.to_list(stream(:numbers, [name, 50], max_chunk: 3)),
            Enum.take(stream(:numbers, [name], max_chunk: 3), 10),
            elem(read(stream(:failing, [name, 5])), 0),
            elem(read(stream(:gated, [name, 2], timeout: 300, pool: pool)), 0)
          ]

          {results, messages()}
        end)

      assert {results, ^junk} = Task.await(consumer, 60_000)
      assert results == [Enum.to_list(0..49), Enum.to_list(0..9), [0, 1, 2, 3, 4], [0, 1]]
    end

    @tag timeout: 300_000
    test "may be long without making a stream slow" do
      one_by_one = Python.stream(:builtins, :range, [300], max_chunk: 1)
      read = fn -> elem(timed(fn -> Enum.count(one_by_one) end), 0) end

      {short, long} =
        Task.async(fn ->
          short = Enum.min(for _ <- 1..3, do: read.())
          for n <- 1..500_000, do: send(self(), n)
          {short, Enum.min(for _ <- 1..3, do: read.())}
        end)
        |> Task.await(:infinity)

      # To pass over all messages for each chunk would take hundreds of times as long.
      assert long < 50 * max(short, 40.0)
    end
  end
end
