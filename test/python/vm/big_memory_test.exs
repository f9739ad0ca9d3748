defmodule Python.VM.BigMemoryTest do
  # Big pieces of memory, which Python gets from a store of ours: whatever it does with them, what is in
  # one is what was put there, and no more than so much is kept.

  # Alone: it takes all the memory traffic there is.
  use Python.TestCase

  alias Python.FreshVM

  # Each of them checks what it has made. They grow, shrink, move and free pieces of 100 kB to 10 MB.
  @work """
  import random

  def NAME(seed, rounds):
      chance = random.Random(seed)
      kept = []
      for _ in range(rounds):
          size = chance.choice([100_000, 131_007, 131_008, 200_000, 1_000_000, 8_388_544, 9_000_000])
          size += chance.randrange(100)
          byte = chance.randrange(1, 256)
          kind = chance.randrange(5)
          if kind == 0:
              value = bytes([byte]) * size
              good = value.count(byte) == size
          elif kind == 1:
              value = bytearray()
              piece = bytes([byte]) * (size // 7)
              for _ in range(7):
                  value += piece
              del value[size // 2:]
              value.extend(piece)
              good = value.count(byte) == len(value) == size // 2 + len(piece)
          elif kind == 2:
              value = list(range(size // 8))
              while len(value) > 10 and chance.random() < 0.7:
                  del value[len(value) // 3:]
              good = value == list(range(len(value)))
          elif kind == 3:
              value = chr(byte) * size
              good = value.count(chr(byte)) == size and value.encode('latin-1') == bytes([byte]) * size
          else:
              value = {n: str(n) for n in range(size // 100)}
              good = all(v == str(k) for k, v in value.items())
          assert good, (kind, size)
          kept.append((kind, byte, value))
          while len(kept) > 4 or (kept and chance.random() < 0.4):
              kind, byte, value = kept.pop(chance.randrange(len(kept)))
              if kind in (0, 1):
                  assert value.count(byte) == len(value)
              elif kind == 3:
                  assert value.count(chr(byte)) == len(value)
      return rounds
  """

  test "every byte stays what it is, with many at it at once" do
    name = define(@work)
    rounds = times(15, 2_000)

    1..8
    |> Task.async_stream(&Python.call!(:__main__, name, [&1, rounds], timeout: :infinity),
      max_concurrency: 4,
      timeout: :infinity
    )
    |> Enum.each(&assert &1 == {:ok, rounds})
  end

  test "bytes that Elixir holds are its own until it lets go of them" do
    binaries =
      for number <- 1..40 do
        size = 130_000 + number * 50_000
        {number, size, Python.eval!("bytes([n]) * s", %{n: number, s: size})}
      end

    # Others come and go meanwhile.
    for _ <- 1..40, do: Python.eval!("len(bytes(1_000_000)) + len(bytearray(3_000_000))")

    for {number, size, binary} <- binaries do
      assert binary == :binary.copy(<<number>>, size)
    end
  end

  test "with tracemalloc on for a while, also when it was on from the start" do
    code = """
    Python.exec!(\"\"\"
    import tracemalloc
    kept = []
    def churn():
        for size in range(100_000, 3_000_000, 77_777):
            kept.append(bytearray(size))
            if len(kept) > 5: kept.pop(0)
        return sum(len(piece) for piece in kept)
    \"\"\")
    total = Python.call!(:__main__, :churn)
    for _ <- 1..3 do
      Python.exec!("tracemalloc.start()")
      ^total = Python.call!(:__main__, :churn)
      Python.exec!("tracemalloc.stop()")
      ^total = Python.call!(:__main__, :churn)
      Python.exec!("kept.clear()")
    end
    IO.puts("whole")
    """

    for env <- [
          [],
          [{"PYTHONTRACEMALLOC", "1"}],
          [{"PYTHONMALLOC", "debug"}],
          [{"PYTHONMALLOC", "malloc"}]
        ] do
      assert {output, 0} = FreshVM.run(code, env: env)
      assert output =~ "whole", inspect(env)
    end
  end

  test "what is kept has a limit" do
    code = """
    rss = fn ->
      [_, kb] = Regex.run(~r/VmRSS:\\s+(\\d+) kB/, File.read!("/proc/self/status"))
      div(String.to_integer(kb), 1024)
    end
    Python.exec!("def spread(): return [bytearray(1_000_000) for _ in range(300)] and None")
    Python.call!(:__main__, :spread)
    before = rss.()
    for _ <- 1..5, do: Python.call!(:__main__, :spread)
    Process.sleep(100)
    IO.inspect({before, rss.()}, label: "memory")
    """

    if File.exists?("/proc/self/status") do
      assert {output, 0} = FreshVM.run(code)
      [_, before, later] = Regex.run(~r/memory: \{(\d+), (\d+)\}/, output)
      assert String.to_integer(later) - String.to_integer(before) < 40
      # Not the 300 MB that were in use.
      assert String.to_integer(later) < 200
    end
  end
end
