defmodule Python.Streams.DeliveryTest do
  # In which order items come, when, how many at a time, and what Python does ahead.
  use Python.StreamCase, async: true

  describe "the items" do
    test "are lazy: nothing runs before they are asked for", %{name: name} do
      items = stream(:numbers, [name, 3])
      Python.stream_eval("1 / 0")
      Python.stream(:no_such_module, :f)
      assert made(name) == 0
      assert Enum.to_list(items) == [0, 1, 2]
      assert made(name) == 3
    end

    test "are made anew each time the stream is read", %{name: name} do
      items = stream(:numbers, [name, 3])
      assert Enum.to_list(items) == [0, 1, 2]
      assert Enum.to_list(items) == [0, 1, 2]
      assert made(name) == 6
      assert events(name) == ["end", "finally", "end", "finally"]
    end

    test "are those of the stream, in whatever process it is read" do
      items = Python.stream(:builtins, :range, [3])
      assert Task.await(Task.async(fn -> Enum.to_list(items) end)) == [0, 1, 2]
    end

    test "come without end, as many as are taken" do
      assert :itertools |> Python.stream(:count, [10, 5]) |> Enum.take(3) == [10, 15, 20]
      assert :itertools |> Python.stream(:count) |> Enum.take(10_000) == Enum.to_list(0..9_999)
    end

    test "come in their order, about as many as a chunk has", %{name: name} do
      for count <- [0, 1, 2, 4_095, 4_096, 4_097, 100_000] do
        name = "#{name} #{count}"
        items = Enum.to_list(stream(:numbers, [name, count]))
        assert length(items) == count
        assert items == Enum.take(0..100_000, count)
        assert made(name) == count
        assert events(name) == ["end", "finally"]
      end

      assert messages() == []
    end

    @tag timeout: 300_000
    test "come in their order, a million of them, faster than one by one" do
      range = Python.stream(:builtins, :range, [1_000_000])

      assert {1_000_000, true} =
               Enum.reduce(range, {0, true}, fn item, {next, ordered} ->
                 {next + 1, ordered and item == next}
               end)

      together = fastest(3, fn -> Enum.count(range) end) / 1_000_000

      few = Python.stream(:builtins, :range, [1_000], max_chunk: 1)
      assert Enum.to_list(few) == Enum.to_list(0..999)
      one_by_one = fastest(3, fn -> Enum.count(few) end) / 1_000

      # More than a hundred times, on a machine with nothing else to do.
      assert one_by_one > 5 * together
    end

    test "come in their order whatever the options, with pauses on both sides" do
      combinations =
        for max_chunk <- [1, 2, 7, 4096], max_wait <- [0, 1, 20], prefetch <- [0, 1, 4] do
          [max_chunk: max_chunk, max_wait: max_wait, prefetch: prefetch]
        end

      pool = start_pool(size: 3)

      combinations
      |> Enum.with_index()
      |> Task.async_stream(
        fn {options, seed} ->
          :rand.seed(:exsss, seed)

          items =
            for item <- stream(:bursts, [seed, times(120, 2_000)], [pool: pool] ++ options) do
              if :rand.uniform() < 0.03, do: Process.sleep(:rand.uniform(4))
              item
            end

          {options, items == Enum.to_list(0..(times(120, 2_000) - 1)), messages()}
        end,
        max_concurrency: 9,
        timeout: 120_000
      )
      |> Enum.each(fn {:ok, result} -> assert {_, true, []} = result end)
    end

    test "of an empty iterable are none" do
      assert Enum.to_list(Python.stream(:builtins, :range, [0])) == []
      assert Enum.to_list(Python.stream_eval("()")) == []
      assert Enum.to_list(Python.stream_eval("(x for x in [])", prefetch: 3)) == []
    end

    test "fill chunks to the last place, and beyond by one" do
      for count <- [9, 10, 11, 20, 21], prefetch <- [0, 1, 2] do
        items = Python.stream(:builtins, :range, [count], max_chunk: 10, prefetch: prefetch)
        assert Enum.to_list(items) == Enum.to_list(0..(count - 1))
      end
    end

    test "are what the types say, None and mixed ones too" do
      code = "[None, True, 1, 2.5, 'text', b'\\xff', (1, 2), {'a': [1]}, {1, 2}]"

      assert Enum.to_list(Python.stream_eval(code)) ==
               [nil, true, 1, 2.5, "text", <<255>>, {1, 2}, %{"a" => [1]}, MapSet.new([1, 2])]
    end

    test "stay in Python with return: :object" do
      items = Python.stream_eval("[[1], [2, 3]]", return: :object)
      assert [%Python.Object{} = one, two] = Enum.to_list(items)
      assert Python.type(one) == "list"
      assert Python.call!(two, :__len__) == 2
    end

    test "may be objects anyway" do
      assert [%Python.Object{}, %Python.Object{}] =
               Enum.to_list(Python.stream_eval("[object(), lambda: 1]"))
    end
  end

  describe "an item" do
    test "arrives when it is made, not with the next one", %{name: name} do
      pool = start_pool()

      # The generator waits for the gate, which the consumer opens: had the item been kept back,
      # neither would go on.
      items =
        stream(:gated, [name, 1], pool: pool, timeout: 60_000)
        |> Stream.each(&if(&1 == 0, do: open_gate(name)))
        |> Enum.take(2)

      assert items == [0, 1]
      assert_ended(name)
    end

    test "arrives with those that were made quickly before it", %{name: name} do
      pool = start_pool()

      items =
        stream(:gated, [name, 50], pool: pool, timeout: 60_000)
        |> Stream.each(&if(&1 == 49, do: open_gate(name)))
        |> Enum.take(51)

      assert items == Enum.to_list(0..50)
    end

    test "arrives when it is made, each time, alone or in a burst", %{name: name} do
      # It waits for its consumer after each step: were an item kept back, both would wait for ever.
      for {steps, burst} <- [{20, 1}, {5, 100}] do
        name = "#{name} #{burst}"
        stream = stream(:stepped, [name, steps, burst], pool: start_pool(), timeout: 20_000)

        items =
          for {n, index} <- Stream.with_index(stream) do
            if n == burst - 1, do: open_gate("#{name} #{div(index, burst)}")
            n
          end

        assert items == List.flatten(List.duplicate(Enum.to_list(0..(burst - 1)), steps))
      end
    end

    test "arrives when it is made, whatever is kept ready and however small chunks are", %{
      name: name
    } do
      for prefetch <- [0, 3], max_chunk <- [1, 2] do
        pool = start_pool()
        name = "#{name} #{prefetch} #{max_chunk}"
        options = [pool: pool, timeout: 60_000, prefetch: prefetch, max_chunk: max_chunk]

        assert stream(:gated, [name, 5], options)
               |> Stream.each(&if(&1 == 4, do: open_gate(name)))
               |> Enum.take(6) == Enum.to_list(0..5)
      end
    end

    test "arrives when it is made, also in a context", %{name: name} do
      context = start_context()

      assert stream(:gated, [name, 2], context: context, timeout: 60_000)
             |> Stream.each(&if(&1 == 1, do: open_gate(name)))
             |> Enum.take(3) == [0, 1, 2]
    end
  end

  describe ":prefetch" do
    test "0 means that Python does nothing that was not asked for", %{name: name} do
      options = [max_chunk: 1, prefetch: 0]

      Enum.reduce_while(stream(:numbers, [name], options), 1, fn
        _, 10 ->
          {:halt, nil}

        _, count ->
          if rem(count, 5) == 1, do: Process.sleep(20)
          assert made(name) == count
          {:cont, count + 1}
      end)

      assert made(name) == 10
    end

    test "0 means one chunk at a time", %{name: name} do
      {_, continue} =
        suspend(stream(:numbers, [name], max_chunk: 10, max_wait: 60_000, prefetch: 0), 1)

      eventually_made(name, 10)
      halt(continue)
      assert made(name) == 10
    end

    test "1, the default, keeps one chunk ready", %{name: name} do
      {_, continue} = suspend(stream(:numbers, [name], max_chunk: 10, max_wait: 60_000), 1)
      eventually_made(name, 20)
      halt(continue)
    end

    test "3 keeps three ready, and no more", %{name: name} do
      options = [max_chunk: 10, max_wait: 60_000, prefetch: 3]
      {_, continue} = suspend(stream(:numbers, [name], options), 1)
      eventually_made(name, 40)
      halt(continue)

      # One more for each that is read.
      name = name <> " further"
      {_, continue} = suspend(stream(:numbers, [name], options), 11)
      eventually_made(name, 50)
      halt(continue)
    end

    test "gives back what is ready without Python", %{name: name} do
      pool = start_pool()
      options = [max_chunk: 10, max_wait: 60_000, prefetch: 2, pool: pool]
      {[0], continue} = suspend(stream(:numbers, [name, 30], options), 1)
      eventually_made(name, 30)
      eventually_idle(pool)
      release = hold(pool)
      # The worker is not to be had, and is not needed until the end.
      reader = Task.async(fn -> resume(continue) end)
      eventually("it waits", fn -> Python.Pool.stats(pool).queued == 1 end)
      release.()
      assert Task.await(reader) == Enum.to_list(1..29)
    end
  end

  describe ":max_chunk" do
    test "is how many items are fetched at once, at most", %{name: name} do
      for max_chunk <- [1, 3, 100] do
        name = "#{name} #{max_chunk}"
        options = [max_chunk: max_chunk, max_wait: 60_000, prefetch: 0]
        {[0], continue} = suspend(stream(:numbers, [name], options), 1)
        assert made(name) == max_chunk
        halt(continue)
      end
    end

    test "may be larger than what there is", %{name: name} do
      options = [max_chunk: 1_000_000, max_wait: 60_000]
      assert Enum.count(stream(:numbers, [name, 5_000], options)) == 5_000
    end
  end

  describe ":max_wait" do
    test "keeps items until that many ms have passed, or the chunk is full", %{name: name} do
      options = [max_chunk: 3, max_wait: 60_000, prefetch: 0]
      {[0], continue} = suspend(stream(:numbers, [name, 9, 0.02], options), 1)
      assert made(name) == 3
      halt(continue)
    end

    test "0 gives each item by itself", %{name: name} do
      options = [max_wait: 0, prefetch: 0]
      {[0], continue} = suspend(stream(:numbers, [name], options), 1)
      assert made(name) == 1
      halt(continue)
    end

    test "is shorter for the first chunks: a few items are not thousands", %{name: name} do
      options = [max_wait: 10, prefetch: 0]
      {[0], continue} = suspend(stream(:numbers, [name], options), 1)
      assert made(name) < 2_000
      halt(continue)

      # And what is read is read to the end, in larger and larger chunks.
      assert Enum.sum(stream(:numbers, [name <> " more", 50_000], options)) ==
               div(50_000 * 49_999, 2)
    end

    test "is not shorter for a few items, however slow they are", %{name: name} do
      options = [max_wait: 5_000, max_chunk: 10, prefetch: 0]
      {[0], continue} = suspend(stream(:numbers, [name, 20, 0.01], options), 1)
      assert made(name) == 10
      halt(continue)
    end

    test "lets what there is go when it has passed", %{name: name} do
      pool = start_pool()

      assert stream(:gated, [name, 3], pool: pool, timeout: 60_000, max_wait: 50)
             |> Stream.each(&if(&1 == 2, do: open_gate(name)))
             |> Enum.take(4) == [0, 1, 2, 3]
    end
  end

  describe "an invalid option is refused at once" do
    for {option, text} <- [
          {[max_chunk: 0], ":max_chunk"},
          {[max_chunk: -1], ":max_chunk"},
          {[max_chunk: 1.5], ":max_chunk"},
          {[max_chunk: 1_000_001], ":max_chunk"},
          {[max_chunk: :infinity], ":max_chunk"},
          {[max_wait: -1], ":max_wait"},
          {[max_wait: 1.5], ":max_wait"},
          {[max_wait: :infinity], ":max_wait"},
          {[prefetch: -1], ":prefetch"},
          {[prefetch: 1_001], ":prefetch"},
          {[prefetch: nil], ":prefetch"},
          {[timeout: -1], "timeout"},
          {[timeout: "1"], "timeout"},
          {[return: :list], ":return"},
          {[pool: "pool"], ":pool"},
          {[pool: P, context: C], ":pool"},
          {[chunk: 3], ":chunk"},
          {[tiemout: 1], ":tiemout"},
          {[:prefetch], "option"},
          {%{prefetch: 1}, "options"}
        ] do
      @option option
      @text text
      test inspect(option) do
        for options <- [@option] do
          error = assert_raise ArgumentError, fn -> Python.stream(:m, :f, [], options) end
          assert Exception.message(error) =~ @text
          assert_raise ArgumentError, fn -> Python.stream_eval("x", %{}, options) end
        end
      end
    end

    test "of stream_eval: keyword arguments" do
      assert_raise ArgumentError, ~r/:kwargs/, fn -> Python.stream_eval("x", %{}, kwargs: %{}) end
    end

    test "for a call: no streams' options" do
      assert_raise ArgumentError, ~r/:prefetch/, fn -> Python.call(:m, :f, [], prefetch: 1) end
    end

    test "as do arguments and code" do
      assert_raise ArgumentError, fn -> Python.stream(:m, :f, :no_list) end
      assert_raise ArgumentError, fn -> Python.stream(:m, :f, 3) end
      assert_raise ArgumentError, fn -> Python.stream(:m, :f, [1 | 2]) end
      assert_raise ArgumentError, fn -> Python.stream(nil, :f) end
      assert_raise ArgumentError, fn -> Python.stream(:m, 1) end
      assert_raise ArgumentError, fn -> Python.stream_eval(:code) end
      assert_raise ArgumentError, fn -> Python.stream_eval("x", [1]) end
    end
  end

  test "keyword arguments, variables and methods work as in a call" do
    for kwargs <- [[reverse: true], %{reverse: true}] do
      items = Python.stream(:builtins, :sorted, [[1, 3, 2]], kwargs: kwargs)
      assert Enum.to_list(items) == [3, 2, 1]
    end

    assert Enum.to_list(Python.stream_eval("(x * n for x in range(3))", %{n: 2})) == [0, 2, 4]
    assert Enum.to_list(Python.stream_eval("range(2)", prefetch: 0)) == [0, 1]
    {:ok, text} = Python.to_object("a b")
    assert Enum.to_list(Python.stream(text, :split)) == ["a", "b"]
    assert Enum.to_list(Python.stream("os.path", "split", ["a/b"])) == ["a", "b"]
  end

  test "arguments that are structs are encoded" do
    assert Enum.to_list(Python.stream(:builtins, :iter, [[~D[2024-02-29]]])) == [~D[2024-02-29]]

    assert_raise Python.EncodeError, fn ->
      Enum.to_list(Python.stream(:builtins, :iter, [[%URI{}]]))
    end
  end
end
