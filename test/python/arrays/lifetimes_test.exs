defmodule Python.Arrays.LifetimesTest do
  # Who has the memory of an array, and for how long.

  use Python.EngineCase, async: true

  alias Python.{Array, FreshVM, Packages}

  unless match?({:ok, _}, Python.import(:numpy)) do
    @moduletag skip: Packages.skip(__ENV__)
    Packages.add_to_path()
  end

  setup_all do: Python.SupportModules.find()

  test "an array that goes in has the bytes of the binary, as long as Python has it" do
    count = 100_000
    data = for n <- 1..count, into: <<>>, do: <<n::64-native>>
    seen = Python.call!(:arrays, :seen, [Array.new(data, {:s, 64}, {count})], return: :bytes)
    assert {true, "i", 64, true, {^count}, %Python.Bytes{data: ^data}} = seen

    handle =
      Task.async(fn ->
        data = for n <- 1..count, into: <<>>, do: <<n::64-native>>
        # A view of a view: the array itself is given up.
        Python.eval!("a[::2][1:]", %{a: Array.new(data, {:s, 64}, {count})}, return: :object)
      end)
      |> Task.await()

    for _ <- 1..20 do
      :erlang.garbage_collect()
      assert byte_size(:binary.copy(<<255>>, 8 * count)) == 8 * count
      assert Python.call!(handle, :sum) == Enum.sum(Enum.take_every(1..count, 2)) - 1
    end
  end

  test "it cannot be written to" do
    array = Array.new(<<1, 2, 3>>, {:u, 8}, {3})

    assert {:error, %Python.Error{type: "ValueError"}} =
             Python.call(:operator, :setitem, [array, 0, 9])

    assert {:error, %Python.Error{type: "ValueError"}} =
             Python.call(array_of(array), :setflags, [], kwargs: [write: true])

    assert array.data == <<1, 2, 3>>
  end

  defp array_of(array), do: Python.to_object!(array)

  test "an array that comes out is the BEAM's: a change of the source is not seen" do
    for size <- [10, 100_000, 1_000_000] do
      source = Python.call!(:numpy, :zeros, [size], return: :object)
      {:ok, %Array{data: data}} = Array.from(source)
      before = :binary.copy(<<0>>, 8 * size)
      assert data == before
      Python.call!(source, :fill, [1.0])
      assert data == before
      assert {:ok, %Array{data: changed}} = Array.from(source)
      assert changed == :binary.copy(<<1.0::float-native>>, size)
    end
  end

  test "memory that is shared is there as long as the binary, whatever becomes of the object" do
    data =
      Task.async(fn ->
        object =
          Python.eval!("__import__('numpy').frombuffer(bytes(range(256)) * 4_000, 'u1')", %{},
            return: :object
          )

        Array.from!(object, copy: false).data
      end)
      |> Task.await()

    for _ <- 1..10 do
      :erlang.garbage_collect()
      Python.exec!("__import__('gc').collect()")
      Python.eval!("len(bytes(1_000_000))")
      assert data == :binary.copy(for(n <- 0..255, into: <<>>, do: <<n>>), 4_000)
    end
  end

  test "what is only said to be read-only is not shared" do
    for code <- [
          "np.arange(100_000)",
          "np.broadcast_to(np.arange(100_000), (1, 100_000))",
          "np.frombuffer(bytearray(800_000))",
          "np.frombuffer(memoryview(bytearray(800_000)).toreadonly())"
        ] do
      source = Python.eval!("(lambda np: #{code})(__import__('numpy'))", %{}, return: :object)
      Python.call(source, :setflags, [], kwargs: [write: false])
      assert {:error, %Python.DecodeError{reason: reason}} = Array.from(source, copy: false)
      assert reason =~ "may change"
    end
  end

  test "many at once, from arrays that others change, are whole" do
    Python.exec!("import numpy; shared_by_many = numpy.zeros(300_000)")
    source = Python.eval!("shared_by_many", %{}, return: :object)

    1..8
    |> Task.async_stream(
      fn number ->
        for _ <- 1..5 do
          Python.call!(source, :fill, [number * 1.0])
          data = Array.from!(source).data
          assert byte_size(data) == 2_400_000
          # Each item is one of those that were written.
          items = for <<item::binary-8 <- data>>, uniq: true, do: item
          assert items -- for(number <- 0..8, do: <<number * 1.0::float-native>>) == []
        end
      end,
      timeout: 120_000
    )
    |> Stream.run()
  end

  @tag engine: :main
  test "no memory is lost" do
    vm = FreshVM.start(settings: [python_path: Python.Engines.python()])
    folder = Python.call!(:os, "path.dirname", [Python.eval!("__import__('numpy').__path__[0]")])
    FreshVM.call(vm, Python, :call!, [:sys, "path.append", [folder]])

    round = """
    data = :binary.copy(<<1>>, 4_000_000)
    for _ <- 1..50 do
      array = Python.Array.new(data, {:f, 32}, {1_000, 1_000})
      object = Python.to_object!(array)
      Python.Array.from!(object)
      Python.Array.from!(Python.eval!("x.T", %{x: object}, return: :object))
      Python.Array.from!(Python.eval!("x.tobytes()", %{x: object}, return: :object), copy: false)
    end
    for {pid, _} <- [{self(), 0}], do: :erlang.garbage_collect(pid)
    Python.exec!("import gc; gc.collect()")
    Process.sleep(200)
    [pages] = Regex.run(~r/VmRSS:\\s+(\\d+)/, File.read!("/proc/self/status"), capture: :all_but_first)
    String.to_integer(pages)
    """

    [_, first, _, _, last] =
      for _ <- 1..5, do: elem(FreshVM.call(vm, Code, :eval_string, [round], 120_000), 0)

    # 200 MB went each way each time; in kB.
    assert last - first < 60_000
  end
end
