defmodule Python.Objects.GrowthTest do
  # Objects that grow after their handles were made, and handles that Python hands to callbacks. As in
  # `Python.Objects.WeightTest`, the memory of a VM of its own is watched, in which a process with much on
  # its heap drops what it gets.
  use Python.TestCase

  # In MB. All that is made for one kind is 1,000.
  @most 350

  @prelude ~S'''
  Python.exec!("""
  import erlang

  def big(size=10_000_000):
      return bytearray(b"x") * size

  class Lazy:
      def load(self):
          self.data = big()
      def fit(self):
          self.data = big()
          return self
      def broken(self):
          self.data = big()
          raise ValueError("no more")
      def add(self):
          self.__dict__.setdefault("rows", []).append(big(1_000_000))
      def __enter__(self):
          self.data = big()
          return 1
      def __exit__(self, *_):
          pass
      def __iter__(self):
          self.data = big()
          yield 1
          yield 2
      def __getattr__(self, name):
          if name != "late":
              raise AttributeError(name)
          self.data = big()
          return len(self.data)
      def __repr__(self):
          self.data = big()
          return "loaded"

  class Slots:
      __slots__ = ("data",)
      def load(self):
          self.data = big()

  def fill(object, other=None):
      (object or other).data = big()

  def lazily():
      local = big()
      yield 1
      yield local

  def growing():
      rows = []
      for n in range(10):
          rows.append(big(1_000_000))
          yield n

  def kept_items():
      for _ in range(100):
          item = Holder(big())
          yield item

  def hand_out(function, count):
      for _ in range(count):
          function(Holder(big()))

  def hand_out_kept(function, count):
      for _ in range(count):
          held = Holder(big())
          function(held)
          del held

  def hand_out_twice(function, count):
      for _ in range(count):
          held = Holder(big())
          function(held)
          function(held)

  def send_all(pid, count):
      for _ in range(count):
          held = Holder(big())
          erlang.send(pid, (erlang.Atom("object"), held))

  def hand_out_by_name(function, count):
      for _ in range(count):
          function(held=Holder(big()))

  def hand_out_in_a_list(function, count):
      for _ in range(count):
          function([Holder(big())])

  def hand_out_empty(function, count):
      for _ in range(count):
          held = Holder(None)
          function(held)
          held.data = big()

  class Holder:
      def __init__(self, data):
          self.data = data
  """)

  defmodule Work do
    def new(class \\ :Lazy), do: Python.call!(:__main__, class, [], return: :object)

    def dict, do: Python.call!(:builtins, :dict, [], return: :object)

    # What a function is called with goes to a process that does nothing else.
    def receiver do
      spawn_link(fn -> forget(Enum.to_list(1..300_000)) end)
    end

    defp forget(many) do
      receive do
        {:object, _} -> forget(many)
        :stop -> length(many)
      end
    end

    def hand_to_process(name) do
      receiver = receiver()
      {:ok, nil} = Python.call(:__main__, name, [fn held -> send(receiver, {:object, held}) && nil end, 100], timeout: 120_000)
      send(receiver, :stop)
    end

    def halfway(stream) do
      {:suspended, _, next} = Enumerable.reduce(stream, {:cont, []}, &{:suspend, [&1 | &2]})
      next
    end
  end
  '''

  @kinds [
    {"methods", "times.(100, fn -> Python.call!(Work.new(), :load) end)"},
    {"methods of objects with slots",
     "times.(100, fn -> Python.call!(Work.new(:Slots), :load) end)"},
    {"methods that return the object", "times.(100, fn -> Python.call!(Work.new(), :fit) end)"},
    {"objects that are had from a method again",
     "times.(100, fn -> object = Work.new() |> Python.call!(:fit); Python.call!(object, :__repr__) end)"},
    {"methods that fail",
     "times.(100, fn -> {:error, _} = Python.call(Work.new(), :broken) end)"},
    {"methods that are called often",
     "times.(100, fn -> object = Work.new(); times.(10, fn -> Python.call!(object, :add) end) end)"},
    {"methods without a timeout",
     "times.(100, fn -> Python.call!(Work.new(), :load, [], timeout: :infinity) end)"},
    {"asynchronous calls",
     "times.(100, fn -> {:ok, _} = Python.await(Python.call_async(Work.new(), :load)) end)"},
    {"arguments", "times.(100, fn -> Python.call!(:__main__, :fill, [Work.new()]) end)"},
    {"keyword arguments",
     "times.(100, fn -> Python.call!(:__main__, :fill, [nil], kwargs: %{other: Work.new()}) end)"},
    {"handles in containers",
     ~S|times.(100, fn -> Python.eval!("x['a'][0].load()", %{x: %{a: [Work.new()]}}) end)|},
    {"maps of calls",
     "times.(100, fn -> {:ok, _} = Python.map(:__main__, :fill, [[Work.new()]]) end)"},
    {"variables", ~S|times.(100, fn -> Python.eval!("x.load()", %{x: Work.new()}) end)|},
    {"attributes that are set",
     ~S|times.(100, fn -> Python.setattr!(Work.new(), :data, String.duplicate("é", 5_000_000)) end)|},
    {"attributes that are made when they are read",
     "times.(100, fn -> Python.getattr!(Work.new(), :late) end)"},
    {"items that are set",
     ~S|times.(100, fn -> Python.setitem!(Work.dict(), "a", String.duplicate("é", 5_000_000)) end)|},
    {"names of a namespace",
     ~S|times.(100, fn -> Python.call!(:builtins, :exec, ["data = bytearray(b'x') * 10_000_000", Work.dict()]) end)|},
    {"arrays of bytes",
     ~S|times.(100, fn -> Python.call!(Python.call!(:builtins, :bytearray, [], return: :object), :extend, [{:bytes, String.duplicate("x", 10_000_000)}]) end)|},
    {"files in memory",
     ~S|times.(100, fn -> Python.call!(Python.call!(:io, :BytesIO), :write, [{:bytes, String.duplicate("x", 10_000_000)}]) end)|},
    {"texts in memory",
     ~S|times.(100, fn -> Python.call!(Python.call!(:io, :StringIO), :write, [String.duplicate("x", 10_000_000)]) end)|},
    {"mapped memory",
     ~S|times.(100, fn -> Python.call!(:mmap, :mmap, [-1, 10_000_000]) \|> Python.call!(:write, [{:bytes, String.duplicate("x", 10_000_000)}]) end)|},
    {"generators that begin",
     "times.(100, fn -> Python.call!(:builtins, :next, [Python.call!(:__main__, :lazily)]) end)"},
    {"streams of objects",
     "times.(100, fn -> [1] = Work.new() |> Python.stream(:__iter__) |> Enum.take(1) end)"},
    {"streams that are left halfway",
     "times.(100, fn -> Work.halfway(Python.stream(:__main__, :lazily, [], max_chunk: 1, prefetch: 0)) end)"},
    {"streams that grow with each chunk",
     "times.(100, fn -> Work.halfway(Python.stream(:__main__, :growing, [], max_chunk: 5, prefetch: 1)) end)"},
    {"items that a generator has until it makes the next",
     "Python.stream(:__main__, :kept_items, [], max_chunk: 1) |> Enum.each(fn %Python.Object{} -> :ok end)"},
    {"managers", "times.(100, fn -> Python.with(Work.new(), fn 1 -> :ok end) end)"},
    {"inspected objects", "times.(100, fn -> inspect(Work.new()) end)"},
    {"objects that callbacks get",
     "Python.call!(:__main__, :hand_out, [fn _ -> nil end, 100], timeout: 120_000)"},
    {"objects that callbacks get by name",
     "Python.call!(:__main__, :hand_out_by_name, [fn %{\"held\" => _} -> nil end, 100], timeout: 120_000)"},
    {"objects that callbacks hand on", "Work.hand_to_process(:hand_out)"},
    {"objects that callbacks hand on and Python keeps for a while",
     "Work.hand_to_process(:hand_out_kept)"},
    {"objects that two callbacks hand on", "Work.hand_to_process(:hand_out_twice)"},
    {"messages",
     "receiver = Work.receiver(); Python.call!(:__main__, :send_all, [receiver, 100], timeout: 120_000); send(receiver, :stop)"},
    {"objects in lists that callbacks hand on", "Work.hand_to_process(:hand_out_in_a_list)"},
    {"objects that grow when a callback has got them", "Work.hand_to_process(:hand_out_empty)"},
    {"objects that callbacks use",
     "times.(100, fn -> Python.call!(:__main__, :hand_out, [fn held -> Python.call!(held, :__init__, [1]) end, 1]) end)"}
  ]

  @tag timeout: 600_000
  @tag skip: if(:os.type() != {:unix, :linux}, do: "reads /proc")
  test "what has grown since its handle was made is freed in time" do
    Python.Peaks.assert_below(@most, @prelude <> Python.Peaks.settling(), @kinds)
  end
end
