defmodule Python.Arrays.LibrariesTest do
  # Arrays of other libraries, in VMs that have them.

  use Python.EngineCase, async: true

  alias Python.{Array, FreshVM, Packages}

  @packages ~w(numpy pillow pandas ml_dtypes)

  @moduletag skip: Packages.skip(__ENV__, @packages)
  @moduletag timeout: 300_000

  setup_all do
    {:ok, venv} = Packages.venv(@packages)
    vm = FreshVM.start(settings: [python_path: venv])

    from = """
    fn code, options ->
      case Python.eval(code, %{}, return: :object, timeout: 60_000) do
        {:ok, object} -> Python.Array.from(object, options)
        error -> error
      end
    end
    """

    {from, _} = FreshVM.call(vm, Code, :eval_string, [from])

    FreshVM.call(vm, Python, :exec!, [
      "import numpy as np, pandas as pd, ml_dtypes\nfrom PIL import Image",
      [timeout: 60_000]
    ])

    %{vm: vm, from: fn code -> FreshVM.call(vm, :erlang, :apply, [from, [code, []]]) end}
  end

  test "images of PIL", %{from: from} do
    for {mode, shape} <- [{"L", {2, 3}}, {"RGB", {2, 3, 3}}, {"RGBA", {2, 3, 4}}] do
      assert {:ok, %Array{dtype: {:u, 8}, shape: ^shape, data: data}} =
               from.("Image.new('#{mode}', (3, 2), 7)")

      assert byte_size(data) == Enum.product(Tuple.to_list(shape))
      assert :binary.first(data) == 7
    end

    assert {:ok, %Array{dtype: {:f, 32}}} = from.("Image.new('F', (3, 2), 0.5)")
  end

  test "what pandas has of numbers", %{from: from} do
    assert from.("pd.Series([1, 2, 3], dtype='int16')") ==
             {:ok,
              %Array{
                data: <<1::16-native, 2::16-native, 3::16-native>>,
                dtype: {:s, 16},
                shape: {3}
              }}

    assert {:ok, %Array{dtype: {:f, 64}, shape: {2, 2}}} =
             from.("pd.DataFrame({'a': [1, 2], 'b': [0.5, 1]})")

    assert {:error, %Python.DecodeError{reason: reason}} = from.("pd.Series(['a'])")
    assert reason =~ "got: one of the dtype object"
  end

  test "bfloat16, both ways", %{vm: vm, from: from} do
    assert {:ok, %Array{dtype: {:bf, 16}, shape: {2}, data: data} = array} =
             from.("np.array([1.0, -2.0]).astype(ml_dtypes.bfloat16)")

    assert data == <<0x3F80::16-native, 0xC000::16-native>>

    assert {:ok, {"bfloat16", [1.0, -2.0]}} ==
             FreshVM.call(vm, Python, :eval, [
               "(a.dtype.name, a.astype(float).tolist())",
               %{a: array}
             ])

    assert {:ok, %Array{data: ^data, shape: {2, 1}}} =
             from.("np.array([[1.0, 9, -2.0, 9]]).astype(ml_dtypes.bfloat16)[:, ::2].T")

    assert {:error, %Python.DecodeError{reason: reason}} =
             from.("np.zeros(2, ml_dtypes.float8_e5m2)")

    assert reason =~ "float8_e5m2"
  end
end
