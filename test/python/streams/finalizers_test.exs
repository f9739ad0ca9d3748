defmodule Python.Streams.FinalizersTest do
  # Items whose `__del__` methods run while a stream is filled. In VMs of their own: should they hold up
  # a scheduler, nothing goes on there.
  use Python.EngineCase, async: true

  alias Python.FreshVM

  @define ~S'''
  Python.exec!("""
  import threading, time, erlang
  gate = threading.Event()
  finalized = []

  class Waits(str):
      def __del__(self):
          while not gate.wait(0.01):
              pass

  class Calls(str):
      def __del__(self):
          finalized.append(erlang.call("seen", str(self)))

  class Computes(str):
      def __del__(self):
          for _ in range(2_000):
              pass

  class Streams(int):
      def __del__(self):
          for _ in range(50):
              Computes("x")

  def items(cls, count):
      for n in range(count):
          yield cls(n)
  """)
  '''

  defp run(code), do: FreshVM.run(@define <> code, timeout: 90_000)

  test "a finalizer that waits holds up no consumer" do
    code = ~S'''
    for options <- [[max_wait: 1], [max_wait: 1, max_chunk: 1], [max_wait: 500]] do
      stream = Python.stream(:__main__, :items, [Python.eval!("Waits"), 5], [timeout: 300] ++ options)

      try do
        Enum.to_list(stream)
      rescue
        error in Python.TimeoutError -> error
      end
    end

    # The finalizers still wait; schedulers are free.
    true = Enum.all?(1..50, fn _ -> Task.await(Task.async(fn -> :ok end)) == :ok end)
    Python.exec!("gate.set()")
    IO.puts("free")
    '''

    assert {output, 0} = run(code)
    assert output =~ "free"
  end

  @tag blocks: "a finalizer waits for Elixir"
  test "a finalizer may call Elixir" do
    code = ~S'''
    Python.register("seen", fn text -> text end)
    items = Python.stream(:__main__, :items, [Python.eval!("Calls"), 300]) |> Enum.to_list()
    true = items == Enum.map(0..299, &to_string/1)
    300 = Python.eval!("len(set(finalized))")
    IO.puts("called")
    '''

    assert {output, 0} = run(code)
    assert output =~ "called"
  end

  test "many streams with finalizers end, whatever becomes of their consumers" do
    code = ~S'''
    consumers =
      for n <- 1..150 do
        class = Python.eval!(Enum.at(["Computes", "Streams"], rem(n, 2)))
        options = [timeout: Enum.at([20, 60, 5_000], rem(n, 3)), max_wait: rem(n, 4), max_chunk: 1 + rem(n, 7)]
        stream = Python.stream(:__main__, :items, [class, 300], options)

        consume =
          case rem(n, 4) do
            0 -> fn -> Enum.take(stream, 5) end
            1 -> fn -> Enum.each(stream, fn _ -> :erlang.yield() end) end
            _ -> fn -> Enum.to_list(stream) end
          end

        {pid, monitor} =
          spawn_monitor(fn ->
            try do
              consume.()
            rescue
              Python.TimeoutError -> :ok
            end
          end)

        if rem(n, 5) == 0, do: Process.send_after(self(), {:kill, pid}, 10 + n)
        {pid, monitor}
      end

    for {pid, monitor} <- consumers do
      receive do
        {:kill, other} -> Process.exit(other, :kill)
      after
        0 -> :ok
      end

      receive do
        {:DOWN, ^monitor, _, ^pid, reason} when reason in [:normal, :killed] -> :ok
      end
    end

    # Whoever waits for something that never comes would not let this be answered.
    {:ok, 2} = Python.eval("1 + 1", timeout: 20_000)
    {:error, %Python.TimeoutError{}} = Python.exec("while True: pass", timeout: 500)
    IO.puts("ended")
    '''

    assert {output, 0} = run(code)
    assert output =~ "ended"
  end
end
