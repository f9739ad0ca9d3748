defmodule Python.Objects.WeightTest do
  # Handles keep Python's memory, of which the VM sees nothing by itself: it collects a process by what
  # lies in its heap. A process that has much there, and drops what it gets from Python, is tried in a VM
  # of its own, whose memory is watched.
  use Python.TestCase

  alias Python.FreshVM

  # In MB. All that is made for one kind is 600.
  @most 300

  @prelude ~S'''
  Python.exec!("""
  import array, collections, ctypes, io, mmap

  def big():
      return bytearray(b"x") * 6_000_000

  def failing():
      local = big()
      return inner(len(local))

  def inner(size):
      other = [bytearray(b"y") * 200_000 for _ in range(10)]
      raise ValueError(size)

  def caught():
      try:
          failing()
      except ValueError:
          raise KeyError(1)

  def failing_generator():
      local = big()
      yield 1
      failing()

  def mapped():
      memory = mmap.mmap(-1, 6_000_000)
      memory.write(big())
      return memory

  class Holder:
      def __init__(self):
          self.inner = {"rows": [bytearray(b"x") * 600_000 for _ in range(10)]}

  class Slots:
      __slots__ = ("data",)
      def __init__(self):
          self.data = big()

  def items():
      for _ in range(100):
          yield Holder()

  def suspended():
      local = big()
      yield len(local)
  """)

  # Compiled, so that processes do not take along what they do not need.
  defmodule Work do
    def hand_on(count) do
      parent = self()
      receiver = spawn_link(fn -> receive_all(parent, Enum.to_list(1..300_000)) end)

      for _ <- 1..count do
        send(receiver, {:object, big()})
        receive(do: (:next -> :ok))
      end

      Process.unlink(receiver)
      Process.exit(receiver, :kill)
    end

    defp receive_all(parent, many) do
      receive(do: ({:object, %Python.Object{}} -> send(parent, :next)))
      receive_all(parent, many)
    end

    def leave_idle(count) do
      for _ <- 1..count do
        parent = self()
        pid = spawn_link(fn -> idle(parent) end)
        receive(do: (:next -> pid))
      end
      |> Enum.each(&send(&1, :stop))
    end

    defp idle(parent) do
      %Python.Object{} = big()
      send(parent, :next)
      receive(do: (:stop -> :ok))
    end

    defp big, do: Python.call!(:__main__, :big, [], return: :object)
  end

  object = [return: :object]
  eval = &Python.eval!(&1, %{}, object)
  '''

  @kinds [
    {"big objects", "times.(100, fn -> eval.(\"bytearray(b'x') * 6_000_000\") end)"},
    {"containers of big objects",
     ~S|times.(100, fn -> eval.("{1: ([big()],), 2: collections.deque([3])}") end)|},
    {"many objects in a list",
     ~S|times.(100, fn -> eval.("[b'x' * 3_000 for _ in range(2_000)]") end)|},
    {"arrays", ~S|times.(100, fn -> eval.("array.array('b', big())") end)|},
    {"views", ~S|times.(100, fn -> eval.("memoryview(big())[1:2]") end)|},
    {"files in memory", ~S|times.(100, fn -> eval.("io.BytesIO(big())") end)|},
    {"texts in memory", ~S|times.(100, fn -> eval.("io.StringIO('x' * 6_000_000)") end)|},
    {"arrays of C",
     ~S|times.(100, fn -> eval.("ctypes.create_string_buffer(bytes(big()))") end)|},
    {"mapped memory", "times.(100, fn -> Python.call!(:__main__, :mapped) end)"},
    {"objects that hold what C has taken",
     ~S|times.(100, fn -> eval.("[{'of': io.StringIO('x' * 6_000_000)}]") end)|},
    {"objects that hold big ones", "times.(100, fn -> Python.call!(:__main__, :Holder) end)"},
    {"objects with slots", "times.(100, fn -> Python.call!(:__main__, :Slots) end)"},
    {"generators", ~S|times.(100, fn -> eval.("(lambda g: (next(g), g)[1])(suspended())") end)|},
    {"handles in values", ~S|times.(100, fn -> Python.eval!("{'a': [Holder()]}") end)|},
    {"errors", "times.(100, fn -> {:error, %{}} = Python.call(:__main__, :failing) end)"},
    {"errors that follow from others",
     "times.(100, fn -> {:error, %{}} = Python.call(:__main__, :caught) end)"},
    {"errors in generators",
     ~S|times.(100, fn -> {:error, %{}} = Python.eval("list(failing_generator())") end)|},
    {"errors that keep what their frames hold",
     "times.(100, fn -> {:error, %{}} = Python.call(:__main__, :failing, [], keep_locals: true) end)"},
    {"streams",
     "Python.stream(:__main__, :items, [], max_chunk: 1) |> Enum.each(fn %Python.Object{} -> :ok end)"},
    {"maps of calls",
     "times.(25, fn -> {:ok, _} = Python.map(:__main__, :Holder, [[], [], [], []]) end)"},
    {"calls without a timeout",
     ~S|times.(100, fn -> Python.eval!("big()", %{}, return: :object, timeout: :infinity) end)|},
    {"asynchronous calls",
     "times.(100, fn -> {:ok, _} = Python.await(Python.call_async(:__main__, :Holder)) end)"},
    {"handles that another process gets", "Work.hand_on(100)"},
    {"handles that idle processes had", "Work.leave_idle(100)"}
  ]

  @tag timeout: 600_000
  @tag skip: if(:os.type() != {:unix, :linux}, do: "reads /proc")
  test "what a process with a heap of some size drops is freed in time" do
    Python.Peaks.assert_below(@most, @prelude, @kinds)
  end

  test "what is in use stays, however much it is" do
    code = ~S"""
    handles = for n <- 1..60, do: {n, Python.eval!("bytearray(b'x') * 6_000_000", %{}, return: :object)}
    for {n, handle} <- handles, do: {6_000_000, _} = {Python.len!(handle), n}
    IO.puts("all there")
    """

    assert {"all there\n", 0} = FreshVM.run(code, timeout: 120_000)
  end

  test "handles to what others hold too cost nothing" do
    Python.exec!("weight_test_shared = bytearray(50_000_000)")

    handles = for _ <- 1..1_000, do: Python.eval!("weight_test_shared", %{}, return: :object)

    # A handle of an object that weighs something takes memory of the VM's.
    {:binary_vheap, size} =
      {:binary_vheap,
       Process.info(self(), :garbage_collection_info) |> elem(1) |> Keyword.get(:bin_vheap_size)}

    assert size * 8 < 1_000_000
    assert length(handles) == 1_000
    Python.exec!("del weight_test_shared")
  end

  test "to weigh an object runs none of its code" do
    Python.exec!("""
    class WeightTestHostile:
        asked = []
        data = bytearray(100_000)
        def __sizeof__(self):
            self.asked.append("__sizeof__")
            return 1_000_000
        @property
        def nbytes(self):
            self.asked.append("nbytes")
            return 1_000_000
        def __getattribute__(self, name):
            if name != "asked":
                WeightTestHostile.asked.append(name)
            return object.__getattribute__(self, name)
        def __len__(self):
            self.asked.append("__len__")
            return 5
    """)

    assert {:ok, [%Python.Object{}]} = Python.eval("[WeightTestHostile()]")
    assert {:ok, []} = Python.eval("WeightTestHostile.asked")
  end
end
