defmodule Python.Calls.NestedTest do
  # A call that a function makes which Python calls, on the thread that waits for the function: it starts
  # clean of what the outer one is in the middle of.

  use Python.EngineCase, async: true

  @moduletag blocks: "plain functions wait for Elixir"

  setup_all do: Python.SupportModules.find()

  # Where: a pool of one worker, so that the thread is the same, and a context.
  defp places do
    context = start_context()
    [[pool: start_pool()], [context: context]]
  end

  defp nested(place, name, args \\ []), do: fn -> Python.call!(:variables, name, args, place) end

  test "no exception is being handled, and afterwards the outer's is again" do
    for place <- places() do
      call = &Python.call!(:variables, &1, [&2], place)
      assert call.(:handling, nested(place, :handled)) == [nil, true]
      assert call.(:raising, nested(place, :handled)) == "LookupError"

      # Deeper, each in the handler of the one before.
      deep = fn -> call.(:handling, fn -> call.(:handling, nested(place, :handled)) end) end
      assert call.(:handling, deep) == [[[nil, true], true], true]
    end
  end

  # The documented functions know the topmost exception only.
  @tag native: :layouts
  test "neither is one that the caller of a generator or coroutine handles" do
    for place <- places() do
      call = &Python.call!(:variables, &1, [&2], place)
      none = nested(place, :handled)

      assert call.(:generating, none) == [
               [nil, "LookupError", nil, "ValueError"],
               [nil, "ValueError"],
               "LookupError"
             ]

      assert call.(:in_a_handling_coroutine, none) ==
               [[[nil, "ValueError"], "LookupError"], "KeyError"]

      # With generators, exceptions and threads of its own.
      deep = fn -> call.(:generating, fn -> call.(:generating, none) end) end
      assert [[inner, "LookupError", inner, "ValueError"], _, "LookupError"] = deep.()
      assert inner == call.(:generating, none)
      fail = fn -> match?({:error, _}, Python.eval("next(iter([])) or 1 / 0", place)) end
      assert [[true, _, true, _], [true, "ValueError"], "LookupError"] = call.(:generating, fail)

      assert [[["thread", "thread"], _, _, _], _, _] =
               call.(:generating, fn ->
                 Python.call!(:variables, :in_a_thread, [fn -> "thread" end], place)
               end)
    end
  end

  test "an exception that it raises has no context of the outer's" do
    for place <- places() do
      fail = fn ->
        {:error, error} = Python.eval("1 / 0", place)
        error.cause == nil and error.message == "division by zero"
      end

      assert Python.call!(:variables, :handling, [fail], place) == [true, true]
    end
  end

  test "no event loop runs, and afterwards the outer's does again" do
    for place <- places() do
      call = &Python.call!(:variables, :in_a_coroutine, [&1], place)
      all = [true, true, true, true]
      assert call.(nested(place, :running)) == [false, all]
      assert call.(nested(place, :run_a_coroutine, [42])) == [42, all]
      twice = fn -> call.(nested(place, :run_a_coroutine, [1])) end
      assert [[1, ^all], ^all] = call.(twice)
      fail = fn -> match?({:error, _}, Python.eval("1 / 0", place)) end
      assert call.(fail) == [true, all]
    end
  end

  test "asynchronous streams can be read by what a coroutine calls" do
    for place <- places() do
      read = fn -> Python.stream(:variables, :acount, ["x"], place) |> Enum.take(2) end
      expected = [[["x", 0], ["x", 1]], [true, true, true, true]]
      assert Python.call!(:variables, :in_a_coroutine, [read], place) == expected
    end
  end

  test "when it ran past its timeout, the outer one has its own again" do
    for place <- places() do
      late = fn ->
        {:error, %Python.TimeoutError{}} =
          Python.eval("[0 for _ in iter(int, 1)]", [timeout: 50] ++ place)

        true
      end

      expected = [true, [true, true, true, true]]
      assert Python.call!(:variables, :in_a_coroutine, [late], place) == expected
      assert Python.call!(:variables, :handling, [late], place) == [true, true]
    end
  end
end
