defmodule Python.Values.BufferFormatsTest do
  # What buffers hold, and what of it can be a binary.

  use Python.EngineCase, async: true

  alias Python.{DecodeError, Packages}

  defp eval(code, vars \\ %{}), do: Python.eval(code, Map.merge(modules(), vars))

  defp modules do
    for name <- [:array, :ctypes, :struct], into: %{}, do: {name, Python.import!(name)}
  end

  # In both directions of a call, at any depth, for Erlang too.
  defp refused(code, format, vars \\ %{}) do
    vars = Map.merge(modules(), vars)

    assert {:error, %DecodeError{message: message, path: "[0][\"k\"]"}} =
             Python.eval("[{'k': #{code}}]", vars)

    assert message =~ inspect(format)
    assert message =~ ".tolist()"
    assert {:error, {:decode_error, _}} = :py.eval(code, vars)

    assert {:error, %Python.Error{type: "TypeError"}} =
             Python.eval("f(#{code})", Map.put(vars, :f, & &1))

    assert_raise DecodeError, fn -> Enum.to_list(Python.stream_eval("iter([#{code}])", vars)) end
    assert {:ok, %Python.Object{}} = Python.eval(code, vars, return: :object)
  end

  test "numbers are binaries, whatever their size and byte order" do
    for code <- ~w(b B h H i I l L q Q f d) do
      assert {:ok, binary} = eval("memoryview(array.array('#{code}', [1, 2, 3]))")
      assert {:ok, ^binary} = eval("array.array('#{code}', [1, 2, 3]).tobytes()")
    end

    assert eval("memoryview((ctypes.c_int16.__ctype_be__ * 2)(1, 2))") == {:ok, <<1::16, 2::16>>}
    assert eval("memoryview((ctypes.c_bool * 2)(True, False))") == {:ok, <<1, 0>>}
    assert eval("memoryview(b'abcd').cast('c')") == {:ok, "abcd"}
    assert eval("memoryview((ctypes.c_double * 2 * 2)())") == {:ok, <<0::256>>}
    assert eval("memoryview(b'')") == {:ok, ""}
  end

  test "bytes of any shape are laid out in C order" do
    view = "memoryview(bytes(range(24))).cast('B', [2, 3, 4])"
    assert eval(view) == {:ok, :binary.list_to_bin(Enum.to_list(0..23))}
    assert eval("memoryview(bytes(range(10)))[::-3]") == {:ok, <<9, 6, 3, 0>>}

    for {code, size} <- [{"H", 2}, {"I", 4}, {"Q", 8}] do
      items = for n <- [4, 2, 0], into: <<>>, do: <<n::native-size(size)-unit(8)>>
      assert eval("memoryview(array.array('#{code}', range(5)))[::-2]") == {:ok, items}
    end
  end

  test "pointers are refused by their format" do
    refused("memoryview((ctypes.py_object * 2)(1, 2))", "<O")
    refused("memoryview((ctypes.c_void_p * 2)())", "<P")
    refused("memoryview((ctypes.c_char_p * 2)())", "<z")
    refused("memoryview((ctypes.POINTER(ctypes.c_int) * 2)())", "&<i")
    refused("memoryview((ctypes.CFUNCTYPE(None) * 2)())", "X{}")
  end

  test "structs are refused by their format" do
    struct =
      Python.eval!(
        "type('S', (ctypes.Structure,), {'_fields_': [('x', ctypes.c_int8), ('p', ctypes.c_void_p)]})",
        modules()
      )

    assert {:error, %DecodeError{message: message}} = eval("memoryview(s())", %{s: struct})
    assert message =~ "T{"
  end

  test "unions and packed structs, which say that they are bytes, are refused all the same" do
    for {base, pack} <- [{"Union", ""}, {"Structure", ", '_pack_': 1, '_layout_': 'ms'"}] do
      fields = "{'_fields_': [('a', ctypes.c_int), ('p', ctypes.c_void_p)]#{pack}}"

      for code <- [
            "type('T', (ctypes.#{base},), #{fields})()",
            "(type('T', (ctypes.#{base},), #{fields}) * 2)()"
          ] do
        assert {:error, %DecodeError{message: message}} = eval("memoryview(#{code})")
        assert message =~ "expected a buffer of numbers or bytes"
      end
    end
  end

  test "characters are refused by their format" do
    format = Python.eval!("memoryview(array.array('u', 'ab')).format", modules())
    assert format in ["u", "w"]
    refused("memoryview(array.array('u', 'ab'))", format)
  end

  describe "of numpy" do
    @describetag skip: Packages.skip(__ENV__)
    setup :find_numpy

    defp find_numpy(_) do
      with false <- match?({:ok, _}, Python.import(:numpy)),
           {:ok, venv} <- Packages.venv(),
           [folder] <- Path.wildcard(Path.join(venv, "lib/python*/site-packages")) do
        Python.call!(:sys, "path.append", [folder])
      end

      :ok
    end

    defp numpy(code), do: Python.eval(code, %{np: Python.import!(:numpy)})

    test "numbers, complex ones and bytes are binaries" do
      assert numpy("memoryview(np.array([1, 2], dtype='>i4'))") == {:ok, <<1::32, 2::32>>}

      assert numpy("memoryview(np.array([1], dtype='float16'))") ==
               {:ok, <<1.0::16-native-float>>}

      assert numpy("memoryview(np.array([1j], dtype='complex128'))") ==
               {:ok, <<0.0::native-float, 1.0::native-float>>}

      assert numpy("memoryview(np.array([b'ab', b'c']))") == {:ok, "abc" <> <<0>>}

      assert numpy("memoryview(np.arange(6, dtype='u1').reshape(2, 3).T)") ==
               {:ok, <<0, 3, 1, 4, 2, 5>>}

      assert numpy("memoryview(np.arange(6, dtype='u1').reshape(2, 3)[:, ::-2])") ==
               {:ok, <<2, 0, 5, 3>>}
    end

    test "objects, characters and structs are refused by their format" do
      for {dtype, format} <- [{"object", "O"}, {"U3", "3w"}] do
        assert {:error, %DecodeError{message: message}} =
                 numpy("memoryview(np.array(['a', 'b'], dtype='#{dtype}'))")

        assert message =~ inspect(format)
      end

      assert {:error, %DecodeError{message: message}} =
               numpy("memoryview(np.zeros(2, dtype=[('x', 'i4'), ('o', 'O')]))")

      assert message =~ "T{"
    end
  end
end
