defmodule Python.Environment.QueueTest do
  # Installations of one VM take turns.
  use ExUnit.Case, async: false

  alias Python.Environment.Queue

  test "one works at a time, and all have their results" do
    counter = :counters.new(1, [])

    work = fn number ->
      :counters.add(counter, 1, 1)
      Process.sleep(2)
      together = :counters.get(counter, 1)
      :counters.sub(counter, 1, 1)
      {number, together}
    end

    tasks = for number <- 1..30, do: Task.async(fn -> Queue.run(fn -> work.(number) end) end)
    assert Task.await_many(tasks, 30_000) == for(number <- 1..30, do: {number, 1})
    assert Process.whereis(Queue) == nil
  end

  test "who raises or is killed holds up nobody, and nothing stays in the mailbox" do
    assert_raise RuntimeError, fn -> Queue.run(fn -> raise "no" end) end
    assert catch_throw(Queue.run(fn -> throw(:no) end)) == :no
    test = self()

    [first, second] =
      for name <- [:first, :second] do
        pid =
          spawn(fn ->
            Queue.run(fn ->
              send(test, name)
              Process.sleep(:infinity)
            end)
          end)

        # The second one waits.
        if name == :first, do: assert_receive(:first, 5_000)
        pid
      end

    Process.exit(second, :kill)
    Process.exit(first, :kill)
    assert Queue.run(fn -> :done end) == :done
    refute_received _
  end
end
