defmodule Python.VM.ExitStatusTest do
  # The end of the VM's process, whatever the libraries in it do and want to be done.
  use Python.TestCase, async: false

  alias Python.FreshVM

  # What a library's code at the exit may be: a wait for a thread that never ends, and a crash.
  @prepare """
  Python.exec!(\"\"\"
  import ctypes, threading, time
  libc = ctypes.CDLL(None)
  def at_exit(name):
      libc.__cxa_atexit(ctypes.cast(getattr(libc, name), ctypes.c_void_p), None, None)
  def spin():
      while True:
          pass
  def buffered(text):
      libc.printf(text.encode())
  \"\"\")
  """

  @endings [
    {"System.stop(3)", 3},
    {"System.halt(3)", 3},
    {"System.halt(0)", 0},
    {":erlang.halt(137)", 137},
    {":erlang.halt(3, flush: false)", 3},
    {":init.stop(3)", 3},
    {"exit({:shutdown, 3})", 3},
    {"raise ArgumentError", 1},
    {":ok", 0},
    {~S|System.cmd("kill", ["-TERM", System.pid()])|, 0}
  ]

  # Where this is known before the libraries' own code runs. Elsewhere an exit is what it was.
  @moduletag timeout: 180_000
  @moduletag skip:
               not File.exists?("/lib64/ld-linux-x86-64.so.2") and
                 Path.wildcard("/lib/ld-linux-*") == []

  defp run(code, ending, options \\ []) do
    # Those that return at once.
    wait = if ending =~ ~r/stop|kill/, do: "\nProcess.sleep(:infinity)", else: ""
    FreshVM.run(@prepare <> code <> "\n" <> ending <> wait <> "\n", [timeout: 60_000] ++ options)
  end

  for {ending, status} <- @endings do
    test "#{ending} ends the VM with #{status}, whatever is registered for the exit" do
      code = fn name ->
        """
        Python.call!(:__main__, :at_exit, ["#{name}"])
        # It is put first from time to time; what is registered in that very moment is a library's luck.
        Process.sleep(300)
        Python.call(:__main__, :spin, [], timeout: 50)
        Python.call_async(:__main__, :spin, [], timeout: :infinity)
        IO.puts("seen")
        """
      end

      for {output, status} <- together(["pause", "abort"], &run(code.(&1), unquote(ending))) do
        assert status == unquote(status)
        assert output =~ "seen" or unquote(ending) =~ "flush: false"
      end
    end
  end

  test "what is registered while a call runs is not run either" do
    code = """
    Python.exec!(\"\"\"
    def register_and_spin():
        at_exit("pause")
        spin()
    \"\"\")
    Python.call(:__main__, :register_and_spin, [], timeout: 300)
    """

    assert [{_, 3}, {_, 3}] = together(["System.halt(3)", "System.stop(3)"], &run(code, &1))
  end

  test "in a context and by a caller in a worker's place as well" do
    code = """
    {:ok, context} = Python.Context.start_link()
    Python.exec!("import ctypes; libc = ctypes.CDLL(None)", context: context)
    Python.exec!("libc.__cxa_atexit(ctypes.cast(libc.pause, ctypes.c_void_p), None, None)", context: context)
    Python.call!(:__main__, :at_exit, ["abort"], timeout: :infinity)
    Process.sleep(300)
    """

    assert {_, 3} = run(code, "System.halt(3)")
  end

  test "what C code has buffered, and what the VM prints, is written" do
    code = """
    Python.call!(:__main__, :at_exit, ["pause"])
    Python.call!(:__main__, :buffered, ["from C"])
    IO.puts(String.duplicate("from Elixir\\n", 5_000))
    Python.exec!("print('from Python')")
    Process.sleep(300)
    """

    for {output, _} <- together(["System.stop(3)", "System.halt(3)", ":ok"], &run(code, &1)) do
      assert output =~ "from C"
      assert output =~ "from Python"
      assert length(String.split(output, "from Elixir")) == 5_001
    end
  end

  test "a thread of C in the middle of writing does not hold up the end" do
    code = """
    Python.exec!(\"\"\"
    libc.fdopen.restype = ctypes.c_void_p
    mine, its = __import__('os').pipe()
    file = ctypes.c_void_p(libc.fdopen(its, b'w'))
    def fill():
        while True:
            libc.fputs(b'x' * 10000, file)
    threading.Thread(target=fill, daemon=True).start()
    time.sleep(0.3)
    \"\"\")
    """

    assert [{_, 3}, {_, 3}] = together(["System.halt(3)", "System.stop(3)"], &run(code, &1))
  end

  test "it ends so again and again" do
    code = """
    Python.call!(:__main__, :at_exit, ["pause"])
    Process.sleep(200)
    Python.call(:__main__, :spin, [], timeout: 20)
    """

    endings = Stream.cycle(["System.stop(3)", "System.halt(3)", "exit({:shutdown, 3})"])
    ends = together(Enum.take(endings, times(5, 20)), &run(code, &1))
    assert Enum.uniq(for {_output, status} <- ends, do: status) == [3]
  end
end
