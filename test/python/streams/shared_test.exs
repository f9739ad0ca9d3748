defmodule Python.Streams.SharedTest do
  # In a VM of its own: what Python says of an exception that nobody is told of is read there.
  use Python.TestCase, async: true

  alias Python.FreshVM

  test "a stream that meets its generator at work for another leaves it to that one" do
    code = ~S'''
    Python.exec!("""
    import threading
    entered, gate = threading.Event(), threading.Event()

    def numbers():
        yield 0
        entered.set()
        while not gate.wait(0.01):
            pass
        yield 1
        yield 2

    def fails():
        try:
            while True:
                yield 0
        finally:
            raise ValueError("raised by the generator")
    """)

    generator = Python.call!(:__main__, :numbers, [], return: :object)
    streams = for _ <- 1..2, do: Python.stream(:builtins, :iter, [generator], max_chunk: 1, max_wait: 1)
    [first, second] = streams
    reader = Task.async(fn -> Enum.to_list(first) end)
    true = Python.eval!("entered.wait(20)")

    try do
      Enum.to_list(second)
      raise "it was not in use"
    rescue
      error in Python.Error -> IO.puts("told: " <> error.message)
    end

    Python.exec!("gate.set()")
    IO.inspect(Task.await(reader), label: "read")
    [0] = Python.stream(:__main__, :fails) |> Enum.take(1)
    '''

    assert {output, 0} = FreshVM.run(code)
    assert output =~ "told: generator already executing"
    assert output =~ "read: [0, 1, 2]"
    refute output =~ "Exception ignored in: <generator object numbers"
    # What the generator itself raises is not lost.
    assert output =~ "ValueError: raised by the generator"
  end
end
