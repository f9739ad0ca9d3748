defmodule Python.Streams.MemoryTest do
  # What is streamed takes the memory of a few items, however many there are. By itself: it measures
  # the whole process.
  use Python.StreamCase, async: false

  @moduletag engine: :main

  @item 10_000_000

  defp collect_garbage do
    Enum.each(Process.list(), &:erlang.garbage_collect/1)
    Python.call!(:gc, :collect)
  end

  # The memory of the operating system's process, in bytes.
  defp resident do
    [pages | _] =
      File.read!("/proc/self/statm") |> String.split() |> tl() |> Enum.map(&String.to_integer/1)

    pages * 4096
  end

  test "strings of 10 MB: some in the usual run, a gigabyte in the long one", %{name: name} do
    count = times(20, 100)
    collect_garbage()
    before = resident()

    taken =
      for text <- stream(:texts, [name, count, @item]) do
        assert byte_size(text) == @item
        resident() - before
      end

    assert length(taken) == count
    assert events(name) == ["end", "finally"]

    # One is being made, one ready, one read, one garbage, each twice while it is converted; and what
    # the allocator keeps of threads that worked on it.
    {first, second} = Enum.split(taken, div(count, 2))
    assert Enum.max(second) - Enum.max(first) < 12 * @item
    assert Enum.max(taken) < 0.6 * count * @item
  end

  test "a consumer that stops reading stops the generator", %{name: name} do
    collect_garbage()
    before = resident()
    # Else a chunk has as many as are made in :max_wait.
    {[first], continue} = suspend(stream(:texts, [name, 1_000, @item], max_chunk: 1), 1)
    assert byte_size(first) == @item
    eventually_made(name, 2)
    assert resident() - before < 8 * @item
    halt(continue)
  end

  test "many small items without end" do
    collect_garbage()
    before = resident()
    numbers = Python.stream(:itertools, :count) |> Stream.take(times(300_000, 20_000_000))

    for _ <- Stream.chunk_every(numbers, 10_000) do
      assert resident() - before < 100_000_000
    end
  end

  test "ten thousand streams, ended in the middle, leave nothing behind" do
    run = fn count ->
      for n <- 1..count do
        items = Python.stream(:itertools, :count, [n], max_chunk: 10)
        # A quarter of them through the garbage collector.
        if rem(n, 4) == 0, do: suspend(items, 5), else: Enum.take(items, 5)
      end

      collect_garbage()
    end

    run.(2_000)
    before = resident()
    run.(times(10_000, 200_000))
    assert resident() - before < 40_000_000
  end
end
