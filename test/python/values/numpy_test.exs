defmodule Python.Values.NumpyTest do
  # Scalars and arrays of numpy, and what else is made with it. A Python that has no numpy is given that
  # of the packages for the tests; where there are none, these tests are skipped, and say so.

  use Python.EngineCase, async: true

  alias Python.{FreshVM, Object, Packages}

  unless match?({:ok, _}, Python.import(:numpy)) do
    @moduletag skip: Packages.skip(__ENV__)

    Packages.add_to_path()
  end

  setup_all do: Python.SupportModules.find()

  defp numpy(code, vars \\ %{}) do
    vars = Map.put_new_lazy(vars, :np, fn -> Python.import!(:numpy) end)
    value = Python.eval(code, vars)
    # Erlang is given the same.
    {kind, _} = value
    assert {^kind, _} = :py.eval(code, vars)
    value
  end

  describe "a scalar" do
    test "that is a number is a number" do
      for {code, number} <- [
            {"np.int8(-128)", -128},
            {"np.uint8(255)", 255},
            {"np.int64(2 ** 63 - 1)", 2 ** 63 - 1},
            {"np.uint64(2 ** 64 - 1)", 2 ** 64 - 1},
            {"np.float64(1.5)", 1.5},
            {"np.float32(0.1)", 0.10000000149011612},
            {"np.float16(-0.0)", -0.0},
            {"np.float64('nan')", :nan},
            {"np.float32('nan')", :nan},
            {"np.float16('inf')", :infinity},
            {"-np.float32('inf')", :neg_infinity},
            {"np.bool_(True)", true},
            {"np.bool_(False)", false}
          ] do
        assert numpy(code) === {:ok, number}
        assert numpy("[{'k': (#{code},)}]") === {:ok, [%{"k" => {number}}]}
      end

      assert <<1::1, _::bits>> = <<elem(numpy("np.float32(-0.0)"), 1)::float>>
    end

    test "is a number where it comes from, too" do
      assert numpy("np.arange(3).sum()") == {:ok, 3}
      assert numpy("np.array([1.5, 2.5]).mean()") == {:ok, 2.0}
      assert numpy("list(np.arange(3, dtype='i2'))") == {:ok, [0, 1, 2]}
      assert numpy("np.arange(6).reshape(2, 3).tolist()") == {:ok, [[0, 1, 2], [3, 4, 5]]}
      assert numpy("np.array([1, 2]) .max() > 1") == {:ok, true}

      assert numpy("dict(zip(np.array([1, 2]), np.array(['a', 'b'])))") ==
               {:ok, %{1 => "a", 2 => "b"}}

      assert numpy("{np.float64(1.5)}") |> elem(1) |> Enum.to_list() == [1.5]
    end

    test "that is text or data is text or data" do
      assert numpy("np.str_('größe')") == {:ok, "größe"}
      assert numpy("np.bytes_(b'\\xff')") == {:ok, <<255>>}
    end

    test "that is more than a number is an object" do
      for code <- [
            "np.complex64(1 + 2j)",
            "np.complex128(1)",
            "np.longdouble(1)",
            "np.datetime64('2024-01-01')",
            # A number, but of what?
            "np.timedelta64(5, 's')",
            "np.timedelta64(5, 'ns')",
            "np.void(b'abc')",
            "np.ma.masked"
          ] do
        assert {:ok, %Object{}} = numpy(code)
      end
    end

    test "of a class that lies is what it is" do
      assert Python.call(:arrays, :hostile) == {:ok, [1.5, 2.5]}
    end
  end

  describe "an array" do
    test "is an object, whatever its shape" do
      for code <- [
            "np.arange(3)",
            "np.array(5)",
            "np.zeros((0, 3))",
            "np.array([None])",
            "np.matrix([[1]])"
          ] do
        assert {:ok, %Object{}} = numpy(code)
        assert {:ok, [%Object{}]} = numpy("[#{code}]")
      end
    end

    test "can be used as one" do
      {:ok, array} = numpy("np.arange(6.0).reshape(2, 3)")
      assert Python.len(array) == {:ok, 2}
      assert Python.getattr(array, :shape) == {:ok, {2, 3}}
      assert Python.call(array, :sum) == {:ok, 15.0}
      assert Python.call(array, :tolist) == {:ok, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]}
      assert %Object{} = array[1]
      assert array[{1, 2}] == 5.0
      assert array[{5, 5}] == nil
      assert [%Object{}, %Object{}] = Enum.to_list(array)
      assert array |> Python.getattr!(:flat) |> Enum.sum() == 15.0
      assert inspect(array) =~ "numpy.ndarray"
    end

    test "gives its bytes in one copy, in rows whatever its strides" do
      assert numpy("memoryview(np.arange(6, dtype='u1').reshape(2, 3))") ==
               {:ok, <<0, 1, 2, 3, 4, 5>>}

      assert numpy("memoryview(np.arange(6, dtype='u1').reshape(2, 3).T)") ==
               {:ok, <<0, 3, 1, 4, 2, 5>>}

      assert numpy("memoryview(np.arange(6, dtype='u1')[::-2])") == {:ok, <<5, 3, 1>>}
      assert numpy("memoryview(np.zeros((0, 3)))") == {:ok, ""}
      assert numpy("np.arange(3, dtype='>u2').tobytes()") == {:ok, <<0::16, 1::16, 2::16>>}
    end
  end

  describe "Python.buffer" do
    test "is what frombuffer takes, without a copy" do
      data = for n <- 0..99_999, into: <<>>, do: <<n::float-little>>
      buffer = Python.buffer(data)
      assert Python.call!(:arrays, :shares, [buffer, byte_size(data)])
      assert numpy("np.frombuffer(x).sum()", %{x: buffer}) == {:ok, 4_999_950_000.0}

      assert numpy("np.frombuffer(x, dtype='<f8', count=3, offset=16).tolist()", %{x: buffer}) ==
               {:ok, [2.0, 3.0, 4.0]}
    end

    test "lives as long as the array over it" do
      array =
        fn ->
          data = for n <- 0..99_999, into: <<>>, do: <<n::float-little>>
          Python.call!(:numpy, :frombuffer, [Python.buffer(data)])
        end
        |> Task.async()
        |> Task.await()

      for _ <- 1..20 do
        :erlang.garbage_collect()
        assert byte_size(:binary.copy(<<255>>, 800_000)) == 800_000
        assert Python.call!(array, :sum) == 4_999_950_000.0
      end
    end
  end

  test "numpy that nobody has imported is not imported for a class of its name" do
    # That import holds up a loop for so long that there is a warning.
    code = """
    Logger.configure(level: :error)
    Python.exec!("class Fake: pass\\nFake.__module__ = 'numpy'")
    {:ok, %Python.Object{}} = Python.eval("Fake()")
    IO.inspect(Python.eval!("'numpy' in __import__('sys').modules"))
    {:ok, 5} = Python.eval("__import__('numpy').int32(5)")
    {:ok, %Python.Object{}} = Python.eval("Fake()")
    """

    folder =
      Python.import!(:numpy) |> Python.getattr!(:__file__) |> Path.dirname() |> Path.dirname()

    assert {"false\n", 0} = FreshVM.run(code, env: [{"PYTHONPATH", folder}])
  end

  describe "pandas" do
    unless match?({:ok, _}, Python.import(:pandas)) do
      @describetag skip: "there is no pandas in #{Python.info().executable}"
    end

    test "gives and takes records" do
      pandas = Python.import!(:pandas)
      frame = Python.call!(pandas, :DataFrame, [%{"a" => [1, 2], "b" => ["x", "y"]}])
      assert %Object{} = frame

      assert Python.call!(frame, :to_dict, ["records"]) == [
               %{"a" => 1, "b" => "x"},
               %{"a" => 2, "b" => "y"}
             ]

      assert Python.call!(frame["a"], :sum) == 3
      assert Python.call!(pandas, :Timestamp, ["2024-01-01"]) == ~N[2024-01-01 00:00:00]
      assert Python.getattr!(pandas, :NaT) == nil
      stamp = Python.call!(pandas, :Timestamp, ["2024-01-01"], return: :object)
      assert Python.call!(stamp, :to_pydatetime) == ~N[2024-01-01 00:00:00]
      assert frame["nope"] == nil
    end
  end
end
