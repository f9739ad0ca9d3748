defmodule Python.Streams.ErlangTest do
  # Streams as Erlang has them, in Erlang: lists, and messages to the calling process. By themselves: all
  # of them are in the default pool, which has few workers.
  use Python.StreamCase, async: false

  # What Erlang code gives. Its variables are bound before: `Name` is that of the test.
  defp erl(code, bindings \\ []) do
    {:ok, tokens, _} = code |> String.to_charlist() |> :erl_scan.string()
    {:ok, expressions} = :erl_parse.parse_exprs(tokens)
    {:value, value, _} = :erl_eval.exprs(expressions, bindings)
    value
  end

  # Starts a stream and reads it to its end.
  defp read_to_end(reference, items \\ []) do
    receive do
      {:py_stream, ^reference, {:data, item}} -> read_to_end(reference, [item | items])
      {:py_stream, ^reference, :done} -> {Enum.reverse(items), :done}
      {:py_stream, ^reference, {:error, reason}} -> {Enum.reverse(items), reason}
    after
      30_000 -> flunk("the stream goes on for ever")
    end
  end

  defp feeders, do: :sys.get_state(Python.Feeder)

  defp eventually_forgotten(reference) do
    eventually("the stream is forgotten", fn ->
      state = feeders()

      not is_map_key(state.streams, reference) and
        reference not in Map.values(state.monitors)
    end)
  end

  describe "stream and stream_eval" do
    test "give a list" do
      assert erl("py:stream(builtins, range, [3]).") == {:ok, [0, 1, 2]}

      assert erl("py:stream(<<\"builtins\">>, \"sorted\", [[2, 1]], \#{reverse => true}).") ==
               {:ok, [2, 1]}

      assert erl("py:stream(builtins, sorted, [[2, 1]], [{\"reverse\", false}]).") ==
               {:ok, [1, 2]}

      assert erl("py:stream_eval(\"(x for x in (None, 'a', True))\").") ==
               {:ok, [:none, "a", true]}

      assert erl("py:stream_eval(<<\"range(n)\">>, \#{n => 2}).") == {:ok, [0, 1]}
      assert erl("py:stream_eval('[]').") == {:ok, []}
    end

    test "are long, in order" do
      assert {:ok, items} = erl("py:stream(builtins, range, [200000]).")
      assert items == Enum.to_list(0..199_999)
    end

    test "give errors as py does" do
      assert {:error, {:ZeroDivisionError, ~c"division by zero"}} =
               erl("py:stream_eval(\"(1 / x for x in (1, 0))\").")

      assert {:error, {"streams.Failure", ~c"no more than 2"}} =
               erl("py:stream(streams, failing, [Name, 2]).", Name: new_name())

      assert {:error, {:TypeError, _}} = erl("py:stream(math, sqrt, [4]).")
      assert {:error, {:encode_error, _}} = erl("py:stream(builtins, iter, [[<<1:3>>]]).")

      assert {:error, {:decode_error, text}} =
               erl("py:stream(streams, unconvertible, [Name, 2]).", Name: new_name())

      assert List.to_string(text) =~ ~S(at [2]["rows"][1])
      assert messages() == []
    end

    test "close a generator of which an item cannot cross", %{name: name} do
      assert {:error, {:decode_error, _}} =
               erl("py:stream(streams, unconvertible, [Name, 2]).", Name: name)

      assert_closed(name)
    end

    test "read asynchronous generators", %{name: name} do
      assert erl("py:stream(streams, anumbers, [Name, 3]).", Name: name) == {:ok, [0, 1, 2]}
      assert List.last(events(name)) == "finally"
    end

    test "with invalid arguments are an error exception" do
      assert catch_error(erl("py:stream(builtins, range, 3).")) |> elem(0) == :badarg
      assert catch_error(erl("py:stream_eval(5).")) |> elem(0) == :badarg
      assert catch_error(erl("py:stream_eval(\"x\", 5).")) |> elem(0) == :badarg
    end

    test "end with the process that called", %{name: name} do
      pid = start(fn -> erl("py:stream(streams, numbers, [Name]).", Name: name) end)
      eventually("it runs", fn -> made(name) > 0 end)
      Process.exit(pid, :kill)
      assert eventually_told(name, "finally") |> List.last() == "finally"
    end
  end

  describe "stream_start" do
    test "sends the items in order, and then done" do
      {:ok, reference} = erl("py:stream_start(builtins, range, [3]).")
      assert is_reference(reference)
      assert_receive {:py_stream, ^reference, {:data, 0}}, 15_000
      assert_receive {:py_stream, ^reference, {:data, 1}}, 15_000
      assert_receive {:py_stream, ^reference, {:data, 2}}, 15_000
      assert_receive {:py_stream, ^reference, :done}, 15_000
      eventually_forgotten(reference)
      assert messages() == []
    end

    test "in Erlang, with keyword arguments" do
      assert erl("""
             {ok, Ref} = py:stream_start(<<"builtins">>, "sorted", [[b, a, c]], \#{reverse => true}),
             Read = fun Read(Items) ->
                 receive
                     {py_stream, Ref, {data, Item}} -> Read([Item | Items]);
                     {py_stream, Ref, done} -> lists:reverse(Items)
                 after 30000 -> exit(timeout)
                 end
             end,
             Read([]).
             """) == ["c", "b", "a"]
    end

    test "sends an item when it is made", %{name: name} do
      # The default pool's workers are others' too; this one waits at the gate.
      {:ok, reference} = erl("py:stream_start(streams, gated, [Name, 2]).", Name: name)
      assert_receive {:py_stream, ^reference, {:data, 0}}, 15_000
      assert_receive {:py_stream, ^reference, {:data, 1}}, 15_000
      open_gate(name)
      assert_receive {:py_stream, ^reference, {:data, 2}}, 15_000
      assert erl("py:stream_cancel(Ref).", Ref: reference) == :ok
      assert List.last(eventually_told(name, "finally")) == "finally"
    end

    test "sends None as none, and what cannot cross as an error" do
      {:ok, reference} = erl("py:stream_start(builtins, iter, [[none, undefined, a]]).")
      assert read_to_end(reference) == {[:none, :none, "a"], :done}
    end

    test "sends an exception after the items before it", %{name: name} do
      {:ok, reference} = erl("py:stream_start(streams, failing, [Name, 3]).", Name: name)
      assert read_to_end(reference) == {[0, 1, 2], {"streams.Failure", ~c"no more than 3"}}

      {:ok, reference} = erl("py:stream_start(streams, unconvertible, [Name, 3]).", Name: name)
      assert {[0, 1, 2], {:decode_error, text}} = read_to_end(reference)
      assert List.to_string(text) =~ ~S([3]["rows"][1])
      assert messages() == []
    end

    test "sends what comes of the call itself" do
      {:ok, reference} = erl("py:stream_start(streams, no_such_function, []).")
      assert {[], {:AttributeError, _}} = read_to_end(reference)
      {:ok, reference} = erl("py:stream_start(math, sqrt, [4]).")
      assert {[], {:TypeError, _}} = read_to_end(reference)
      {:ok, reference} = erl("py:stream_start(builtins, iter, [<<1:3>>]).")
      assert {[], {:encode_error, _}} = read_to_end(reference)
    end

    test "with invalid arguments is an error exception, and starts nothing" do
      for code <- [
            "py:stream_start(builtins, range, 3).",
            "py:stream_start(5, range, [3]).",
            "py:stream_start(builtins, range, [3 | 4]).",
            "py:stream_start(builtins, range, [3], 7).",
            "py:stream_start(builtins, range, [3], [{1, 2}])."
          ] do
        assert {:badarg, _text} = catch_error(erl(code))
      end

      assert messages() == []
    end

    test "many at once, each with its own reference" do
      references =
        for n <- 1..60 do
          {:ok, reference} = erl("py:stream_start(builtins, range, [N * 5]).", N: n)
          reference
        end

      for {reference, n} <- Enum.with_index(references, 1) do
        assert read_to_end(reference) == {Enum.to_list(0..(n * 5 - 1)), :done}
      end

      Enum.each(references, &eventually_forgotten/1)
      assert messages() == []
    end

    test "reads asynchronous generators", %{name: name} do
      {:ok, reference} = erl("py:stream_start(streams, anumbers, [Name, 4]).", Name: name)
      assert read_to_end(reference) == {[0, 1, 2, 3], :done}
    end

    test "makes no atoms" do
      start = fn ->
        {:ok, reference} = erl("py:stream_start(builtins, range, [1]).")
        read_to_end(reference)
      end

      start.()
      # Other tests may make a few.
      before = :erlang.system_info(:atom_count)
      for _ <- 1..1_000, do: start.()
      assert :erlang.system_info(:atom_count) < before + 900
    end

    test "prints where its owner prints" do
      made =
        define("""
        def NAME():
            print("from the generator")
            yield 1
        """)

      assert ExUnit.CaptureIO.capture_io(fn ->
               {:ok, reference} = :py.stream_start(:__main__, made, [])
               assert read_to_end(reference) == {[1], :done}
             end) =~ "from the generator"
    end
  end

  describe "an owner that does not read" do
    test "has no more than some hundreds of items in its mailbox, and Python waits", %{name: name} do
      {:ok, reference} = erl("py:stream_start(streams, numbers, [Name]).", Name: name)
      queued = fn -> self() |> Process.info(:message_queue_len) |> elem(1) end
      eventually("some are there", fn -> queued.() >= 100 end)
      Process.sleep(300)
      assert queued.() < 500

      # Kept ready: a chunk or two.
      made = made(name)
      Process.sleep(200)
      assert made(name) == made

      # It goes on when they are read.
      for n <- 0..999, do: assert_receive({:py_stream, ^reference, {:data, ^n}}, 15_000)
      assert :py.stream_cancel(reference) == :ok
      assert_ended(name)
    end

    test "but has other messages gets all items", %{name: _name} do
      for n <- 1..1_000, do: send(self(), {:other, n})
      {:ok, reference} = erl("py:stream_start(builtins, range, [2000]).")
      assert read_to_end(reference) == {Enum.to_list(0..1_999), :done}
      assert length(messages()) == 1_000
    end

    test "gets other messages meanwhile and reads all items of this one" do
      {:ok, reference} = erl("py:stream_start(builtins, range, [1000]).")

      items =
        for n <- 0..999 do
          if rem(n, 100) == 50, do: for(other <- 1..150, do: send(self(), {:other, other}))
          assert_receive {:py_stream, ^reference, {:data, item}}, 30_000
          item
        end

      assert items == Enum.to_list(0..999)
      assert_receive {:py_stream, ^reference, :done}, 30_000
      assert length(messages()) == 1_500
    end
  end

  describe "stream_cancel" do
    test "ends a stream: no message comes, none is left, the generator is closed", %{name: name} do
      send(self(), :other)
      {:ok, reference} = erl("py:stream_start(streams, numbers, [Name]).", Name: name)
      assert_receive {:py_stream, ^reference, {:data, 0}}, 15_000
      assert erl("py:stream_cancel(Ref).", Ref: reference) == :ok
      assert messages() == [:other]
      assert [kind, "finally"] = eventually_told(name, "finally")
      assert kind in ["GeneratorExit", "Interrupt"]
      assert messages() == [:other]
      eventually_forgotten(reference)
    end

    test "interrupts a generator that is at an item", %{name: name} do
      {:ok, reference} = erl("py:stream_start(streams, gated, [Name, 2]).", Name: name)
      eventually_told(name, "at the gate")
      assert {ms, :ok} = timed(fn -> erl("py:stream_cancel(Ref).", Ref: reference) end)
      # It does not wait for Python.
      assert ms < 5_000
      assert eventually_told(name, "finally") == ["at the gate", "Interrupt", "finally"]
      assert messages() == []
    end

    test "closes an asynchronous generator", %{name: name} do
      {:ok, reference} = erl("py:stream_start(streams, anumbers, [Name]).", Name: name)
      assert_receive {:py_stream, ^reference, {:data, 0}}, 15_000
      assert :py.stream_cancel(reference) == :ok
      assert List.last(eventually_told(name, "finally")) == "finally"
    end

    test "at once, before the first item" do
      for _ <- 1..100 do
        {:ok, reference} = erl("py:stream_start(itertools, count, []).")
        assert :py.stream_cancel(reference) == :ok
        eventually_forgotten(reference)
      end

      assert messages() == []
    end

    test "twice, after the end, of something else, by somebody else" do
      {:ok, reference} = erl("py:stream_start(builtins, range, [2]).")
      eventually_forgotten(reference)
      assert :py.stream_cancel(reference) == :ok
      # What had come is gone with it.
      assert messages() == []
      assert :py.stream_cancel(reference) == :ok
      assert :py.stream_cancel(make_ref()) == :ok
      assert {:badarg, _} = catch_error(erl("py:stream_cancel(self())."))

      {:ok, reference} = erl("py:stream_start(itertools, count, []).")
      assert Task.await(Task.async(fn -> :py.stream_cancel(reference) end)) == :ok
      before = length(messages())
      Process.sleep(50)
      assert length(messages()) == before
      assert :py.stream_cancel(reference) == :ok
      assert messages() == []
    end

    test "by several at once" do
      for _ <- 1..20 do
        {:ok, reference} = erl("py:stream_start(itertools, count, []).")

        assert 1..5
               |> Task.async_stream(fn _ -> :py.stream_cancel(reference) end)
               |> Enum.all?(&(&1 == {:ok, :ok}))

        eventually_forgotten(reference)
        :py.stream_cancel(reference)
      end

      assert messages() == []
    end
  end

  describe "the end of the owner" do
    test "ends its streams, whatever they are at", %{name: name} do
      test = self()

      owner =
        start(fn ->
          {:ok, reading} = :py.stream_start(:streams, :numbers, [name <> "a"])
          # It holds a worker, which may be the only one.
          eventually("it waits for its owner", fn -> made(name <> "a") > 100 end)
          {:ok, waiting} = :py.stream_start(:streams, :gated, [name <> "b", 1])
          send(test, [reading, waiting])
          Process.sleep(:infinity)
        end)

      assert_receive [reading, waiting], 20_000
      eventually_told(name <> "b", "at the gate")
      Process.exit(owner, :kill)
      eventually_told(name <> "a", "finally")
      eventually_told(name <> "b", "finally")
      eventually_forgotten(reading)
      eventually_forgotten(waiting)
    end

    test "that is normal does so, too", %{name: name} do
      test = self()
      owner = start(fn -> send(test, :py.stream_start(:streams, :numbers, [name])) end)
      assert_receive {:ok, reference}, 15_000
      gone(owner)
      eventually_forgotten(reference)
    end
  end

  test "a stream whose process is killed says so", %{name: name} do
    {:ok, reference} = :py.stream_start(:streams, :gated, [name, 1])
    assert_receive {:py_stream, ^reference, {:data, 0}}, 15_000
    Process.exit(feeders().streams[reference].feeder, :kill)
    assert_receive {:py_stream, ^reference, {:error, {:stopped, _text}}}, 15_000
    eventually_told(name, "finally")
    eventually_forgotten(reference)
  end
end
