defmodule Python.Callbacks.IteratorsTest do
  # Python.iterator: an enumerable of Elixir's that Python pulls from, and how it ends.
  use Python.EngineCase, async: true

  @moduletag blocks: "plain functions wait for Elixir"

  # In a process that lives until it is told to end.
  defp made_elsewhere(enumerable) do
    test = self()

    maker =
      spawn(fn ->
        send(test, {:iterator, Python.iterator(enumerable)})
        receive do: (:end -> :ok)
      end)

    assert_receive {:iterator, iterator}
    {iterator, maker}
  end

  defp end_of(maker, reason) do
    monitor = Process.monitor(maker)
    if reason == :normal, do: send(maker, :end), else: Process.exit(maker, reason)
    assert_receive {:DOWN, ^monitor, _, _, _}
  end

  # Enumerates with a note of its end to the test.
  defp told(enumerable) do
    test = self()
    Stream.transform(enumerable, fn -> nil end, &{[&1], &2}, fn _ -> send(test, :cleaned_up) end)
  end

  test "is pulled from as Python asks, and may be endless" do
    test = self()
    items = Stream.each(Stream.iterate(1, &(&1 + 1)), &send(test, {:made, &1}))

    assert Python.eval!("[next(x) for _ in range(3)]", %{x: Python.iterator(items)}) == [1, 2, 3]
    assert_received {:made, 3}
    refute_received {:made, 5_000}
  end

  test "is cleaned up after when neither side has it any more" do
    assert Python.eval!("next(x)", %{x: Python.iterator(told(Stream.cycle([1])))}) == 1

    eventually("it is cleaned up after", fn ->
      :erlang.garbage_collect()
      {:messages, messages} = Process.info(self(), :messages)
      :cleaned_up in messages
    end)
  end

  test "raises what the enumerable raises after the items before, and has ended then" do
    items = Stream.map(1..5, &if(&1 == 4, do: raise("no four"), else: &1))

    name =
      define("""
      def NAME(x):
          got = []
          try:
              for item in x: got.append(item)
          except Exception as error:
              got.append(str(error))
          return got + list(x)
      """)

    assert [1, 2, 3, error] = Python.call!(:__main__, name, [Python.iterator(items)])
    assert error =~ "no four"
  end

  describe "whose process has ended" do
    for reason <- [:normal, :kill, :boom] do
      test "is an error and no end: #{reason}, before the first item" do
        {iterator, maker} = made_elsewhere([1, 2])
        end_of(maker, unquote(reason))
        assert {:error, error} = Python.call(:builtins, :list, [iterator])
        assert %Python.Error{module: "erlang", type: "Error", message: message} = error
        assert message =~ "the process that made it with Python.iterator/1 has ended"
      end

      test "is an error and no end: #{reason}, between two items" do
        {iterator, maker} = made_elsewhere(told(Stream.cycle([1])))
        object = Python.to_object!(iterator)
        assert Python.call!(object, :__next__) == 1
        end_of(maker, unquote(reason))

        assert {:error, %Python.Error{type: "Error"}} = Python.call(:builtins, :sum, [object])
        # As a generator that has raised.
        assert Python.call(:builtins, :list, [object]) == {:ok, []}
      end
    end

    test "is an end if the end had been read" do
      {iterator, maker} = made_elsewhere([1, 2])
      object = Python.to_object!(iterator)
      assert Python.call!(:builtins, :list, [object]) == [1, 2]
      end_of(maker, :normal)
      assert Python.call!(:builtins, :list, [object]) == []
    end

    test "is an error of a task's, of a map and of a stream" do
      task = Task.async(fn -> Python.iterator([1, 2]) end)
      iterator = Task.await(task)
      assert {:error, %{type: "Error"}} = Python.map(:builtins, :tuple, [[iterator]])

      assert_raise Python.Error, fn ->
        Enum.to_list(Python.stream(:builtins, :iter, [iterator]))
      end

      assert {:error, %{type: "Error"}} = Python.eval("max(x)", %{x: iterator})
    end
  end
end
