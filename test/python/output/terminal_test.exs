defmodule Python.Output.TerminalTest do
  # What programs see of a terminal, and what is seen of them there.
  use Python.EngineCase, async: true

  alias Python.FakeTerminal

  setup_all do: Python.SupportModules.find()

  # Calls in a process whose group leader is a terminal of that size, or none.
  defp in_front_of(size, call) do
    leader = FakeTerminal.start(size)

    Task.async(fn ->
      Process.group_leader(self(), leader)
      call.()
    end)
  end

  defp seen(size, code) do
    size
    |> in_front_of(fn ->
      Python.eval!(code, %{
        m: &Python.import!/1,
        sys: Python.import!(:sys),
        os: Python.import!(:os),
        shutil: Python.import!(:shutil)
      })
    end)
    |> Task.await(30_000)
  end

  test "a group leader that is a terminal is one to Python, with its size" do
    assert seen(
             {100, 30},
             "[sys.stdout.isatty(), sys.__stdout__.isatty(), sys.stdin.isatty(), sys.stdout.buffer.isatty(), sys.stdout.buffer.raw.isatty()]"
           ) ==
             [true, true, true, true, true]

    assert seen(
             {100, 30},
             "tuple(os.get_terminal_size()), tuple(os.get_terminal_size(sys.stdout.fileno())), os.get_terminal_size(1).columns"
           ) ==
             {{100, 30}, {100, 30}, 100}

    assert seen({123, 7}, "tuple(shutil.get_terminal_size())") == {123, 7}
  end

  test "for code that asks the system for the size too" do
    code =
      "__import__('struct').unpack('HHHH', __import__('fcntl').ioctl(sys.stdout, __import__('termios').TIOCGWINSZ, '\\0' * 8))[:2]"

    assert seen({100, 30}, code) == {30, 100}

    assert seen(
             nil,
             "[isinstance(e, OSError) for e in [f()]]" |> String.replace("f()", "OSError()")
           ) == [true]
  end

  test "any other group leader is none" do
    for size <- [nil, :silent, {0, 0}] do
      assert seen(
               size,
               "[sys.stdout.isatty(), sys.stdin.isatty(), tuple(shutil.get_terminal_size((91, 11)))]"
             ) ==
               [false, false, {91, 11}]
    end

    {:ok, device} = StringIO.open("")

    assert Task.async(fn ->
             Process.group_leader(self(), device)

             assert {:error, %Python.Error{type: "OSError", message: text}} =
                      Python.call(:os, :get_terminal_size)

             assert text =~ ~r/[Ii]nappropriate ioctl/
             Python.eval!("__import__('sys').stdout.isatty()")
           end)
           |> Task.await() == false
  end

  test "each caller has its own" do
    one =
      in_front_of({80, 24}, fn ->
        for _ <- 1..50, do: Python.eval!("__import__('os').get_terminal_size().columns")
      end)

    other =
      in_front_of({132, 43}, fn ->
        for _ <- 1..50, do: Python.eval!("__import__('os').get_terminal_size().columns")
      end)

    assert Enum.uniq(Task.await(one, 30_000)) == [80]
    assert Enum.uniq(Task.await(other, 30_000)) == [132]
  end

  test "threads that a call starts see the terminal of the call" do
    code = """
    import os, sys, threading
    def NAME():
        seen = []
        thread = threading.Thread(target=lambda: seen.append((sys.stdout.isatty(), os.get_terminal_size().columns)))
        thread.start()
        thread.join()
        return seen
    """

    name = define(code)

    assert Task.await(in_front_of({99, 9}, fn -> Python.call!(:__main__, name) end)) == [
             {true, 99}
           ]
  end

  test "a terminal shows each step at once, and each line" do
    test = self()

    name =
      define("""
      def NAME(step):
          for n in range(5):
              print('\\r\\x1b[2K%d' % n, end='')
              step(n)
          for n in range(5):
              print('line', n)
              step(n)
      """)

    # Each step waits until its text has been seen.
    step = fn n ->
      send(test, {:step, n, self()})

      receive do
        :go_on -> :ok
      end
    end

    running = in_front_of({80, 24}, fn -> Python.call!(:__main__, name, [step]) end)

    for text <- Enum.map(0..4, &"\r\e[2K#{&1}") ++ Enum.map(0..4, &"line #{&1}\n") do
      assert_receive {:written, ^text}, 15_000
      assert_receive {:step, _, pid}, 15_000
      send(pid, :go_on)
    end

    Task.await(running)
  end

  test "also what comes right after other text, while Python goes on by itself" do
    gate = Python.Notes.new_name()

    name =
      define(
        "import notes\ndef NAME(gate):\n    for n in range(20): print('\\r%d' % n, end='')\n    print('\\nlast')\n    notes.wait(gate)"
      )

    running = in_front_of({80, 24}, fn -> Python.call!(:__main__, name, [gate]) end)
    assert collect("") == Enum.map_join(0..19, &"\r#{&1}") <> "\nlast\n"
    Python.Notes.open_gate(gate)
    Task.await(running)
  end

  defp collect(text) do
    if String.ends_with?(text, "last\n") do
      text
    else
      receive do
        {:written, more} -> collect(text <> more)
      after
        15_000 -> flunk("only this was written: #{inspect(text)}")
      end
    end
  end
end
