defmodule Python.Calls.AtOnceTest do
  # Callers that wait for their answers on their schedulers, for a moment: no answer is lost, changed, or comes twice,
  # whatever its size, and whenever it comes.
  use Python.EngineCase, async: true

  @values [
    nil,
    true,
    1.5,
    -1,
    2 ** 63,
    -(2 ** 200),
    "",
    "short",
    String.duplicate("long", 1_000),
    [],
    [1, [2.0, ["three", [nil]]]],
    Enum.to_list(1..63),
    Enum.to_list(1..64),
    Enum.to_list(1..10_000),
    {},
    {1, {2, {3}}},
    List.to_tuple(Enum.to_list(1..100)),
    %{"a" => %{"b" => [1, 2]}},
    Map.new(1..100, &{&1, to_string(&1)}),
    List.duplicate(%{"x" => {1.0, "y"}}, 50)
  ]

  setup_all do
    Python.exec!("""
    import time as _at_once_time

    def at_once_after(seconds, value):
        end = _at_once_time.perf_counter() + seconds
        while _at_once_time.perf_counter() < end:
            pass
        return value

    def at_once_deep(depth):
        value = None
        for _ in range(depth):
            value = [value]
        return value
    """)

    :ok
  end

  # What a call leaves in the mailbox would come after its answer.
  defp assert_no_message do
    Python.call!(:math, :sqrt, [4])
    refute_received _
  end

  test "values of any size come back as they were, call after call" do
    for timeout <- [30_000, :infinity], _ <- 1..20, value <- @values do
      assert Python.call(:__main__, :at_once_after, [0, value], timeout: timeout) == {:ok, value}
    end

    assert_no_message()
  end

  test "so do deep ones, handles and errors" do
    for depth <- [1, 60, 64, 70, 500] do
      value = Enum.reduce(1..depth, nil, fn _, value -> [value] end)
      assert Python.call(:__main__, :at_once_deep, [depth]) == {:ok, value}
    end

    for number <- 1..200 do
      object = Python.call!(:builtins, :list, [[number]], return: :object)
      assert Python.call!(object, :pop) == number
      assert {:error, %Python.Error{type: "ValueError"}} = Python.call(:math, :sqrt, [-number])
    end

    assert_no_message()
  end

  test "an answer comes once, however long its call takes" do
    for us <- [0, 2, 5, 7, 8, 9, 10, 12, 20, 50, 100, 130, 140, 150, 160, 200, 500],
        number <- 1..30 do
      assert Python.call(:__main__, :at_once_after, [us / 1.0e6, number]) == {:ok, number}
    end

    assert_no_message()
  end

  test "an answer that comes with the deadline is the answer or a timeout" do
    for number <- 1..150 do
      us = 800 + rem(number, 10) * 50

      case Python.call(:__main__, :at_once_after, [us / 1.0e6, number], timeout: 1) do
        {:ok, ^number} -> :ok
        {:error, %Python.TimeoutError{}} -> :ok
      end
    end

    assert_no_message()
  end

  test "many callers get their own answers" do
    callers =
      for caller <- 1..16 do
        Task.async(fn ->
          for number <- 1..100 do
            us = rem(number * caller, 20)
            value = {caller, number}
            assert Python.call!(:__main__, :at_once_after, [us / 1.0e6, value]) == value
          end

          assert_no_message()
        end)
      end

    Task.await_many(callers, 60_000)
  end

  test "a caller that is killed while it waits leaves its worker free" do
    for number <- 1..100 do
      {pid, monitor} =
        spawn_monitor(fn ->
          for _ <- Stream.cycle([1]), do: Python.call(:__main__, :at_once_after, [5.0e-6, 1])
        end)

      for _ <- 1..(rem(number, 10) * 100), do: :erlang.yield()
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}, 5_000
    end

    assert Python.call(:math, :sqrt, [16]) == {:ok, 4.0}
  end

  test "other processes run while a caller waits" do
    parent = self()
    waits = spawn_link(fn -> send(parent, {self(), Python.call(:time, :sleep, [0.2])}) end)

    for number <- 1..1_000 do
      pid = spawn_link(fn -> send(parent, {:ran, number}) end)
      assert_receive {:ran, ^number}, 5_000
      assert pid != waits
    end

    assert_receive {^waits, {:ok, nil}}, 5_000
  end
end
