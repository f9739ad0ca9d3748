defmodule Python.Arrays.NxTest do
  # Tensors of Nx, in a VM of their own: with the real one, where NX_PATH has the folders of its compiled modules and of
  # those that it needs, separated by colons; else with the few functions that are used of it.

  use Python.EngineCase, async: true

  alias Python.{FreshVM, Packages}

  unless match?({:ok, _}, Python.import(:numpy)) do
    @moduletag skip: Packages.skip(__ENV__)
  end

  @moduletag timeout: 300_000

  setup_all do
    settings =
      case Packages.venv() do
        {:ok, venv} -> [python_path: venv]
        {:error, _} -> []
      end

    vm = FreshVM.start(settings: settings)

    case System.get_env("NX_PATH", "") do
      "" ->
        FreshVM.call(vm, Code, :require_file, [Path.expand("test/support/fake_nx.exs")])

      paths ->
        for path <- String.split(paths, ":") do
          FreshVM.call(vm, :code, :add_pathz, [String.to_charlist(path)])
        end

        # As its application has them, which only its own build makes.
        for {key, value} <- [default_backend: {Nx.BinaryBackend, []}, default_defn_options: []] do
          FreshVM.call(vm, Application, :put_env, [:nx, key, value])
        end
    end

    # Numpy is imported before anything is timed.
    FreshVM.call(vm, Python, :exec!, ["import numpy as np", [timeout: 60_000]])
    %{eval: fn code -> elem(FreshVM.call(vm, Code, :eval_string, [code], 60_000), 0) end}
  end

  test "a tensor is an argument", %{eval: eval} do
    assert eval.("""
           tensor = Nx.tensor([[1.5, 2], [3, 4]], type: {:f, 32}, names: [:x, :y])
           Python.eval!("(type(t).__name__, t.dtype.name, t.shape, t.tolist(), t.flags.writeable)", %{t: tensor})
           """) == {"ndarray", "float32", {2, 2}, [[1.5, 2.0], [3.0, 4.0]], false}

    assert eval.("""
           tensor = Nx.tensor([[1, 2]], type: {:f, 32}, names: [nil, nil])
           Python.call!(:builtins, :len, [%{"a" => [tensor]}])
           """) == 1
  end

  test "axes that are vectorized come first", %{eval: eval} do
    assert eval.("""
           tensor = Nx.tensor([[1, 2, 3], [4, 5, 6]], type: {:f, 32}, names: [nil, nil])
           tensor = %{tensor | shape: {3}, names: [nil], vectorized_axes: [batch: 2]}
           Python.eval!("t.shape", %{t: tensor})
           """) == {2, 3}
  end

  test "an array becomes a tensor", %{eval: eval} do
    assert eval.("""
           object = Python.eval!("np.arange(6, dtype='i2').reshape(2, 3).T", %{}, return: :object)
           {:ok, tensor} = Python.Nx.from(object)
           {tensor.type, tensor.shape, tensor.names, Nx.to_binary(tensor)}
           """) ==
             {{:s, 16}, {3, 2}, [nil, nil],
              for(n <- [0, 3, 1, 4, 2, 5], into: <<>>, do: <<n::16-native>>)}

    assert eval.("""
           object = Python.eval!("np.array([[True], [False]])", %{}, return: :object)
           tensor = Python.Nx.from!(object, names: [:row, :column], timeout: 5_000)
           {tensor.type, tensor.shape, tensor.names, Nx.to_binary(tensor)}
           """) == {{:u, 8}, {2, 1}, [:row, :column], <<1, 0>>}

    assert eval.("""
           tensor = Python.Nx.from!(Python.Array.new(<<2.5::float-native>>, {:f, 64}, {}))
           {tensor.type, tensor.shape, tensor.names, Nx.to_binary(tensor)}
           """) == {{:f, 64}, {}, [], <<2.5::float-native>>}
  end

  test "what cannot be one says so", %{eval: eval} do
    assert {:error, %Python.DecodeError{}} =
             eval.("Python.Nx.from(Python.eval!(\"np.array(['a'])\", %{}, return: :object))")

    assert eval.("""
           object = Python.eval!("np.zeros((0, 2))", %{}, return: :object)
           try do
             Python.Nx.from(object)
           rescue
             error in ArgumentError -> Exception.message(error)
           end
           """) =~ "expected an array with items, got: one of the shape {0, 2}"
  end

  test "the examples are right", %{eval: eval} do
    assert %{failures: 0, total: 2} =
             eval.("""
             ExUnit.start(autorun: false)

             defmodule Python.NxExamples do
               use ExUnit.Case
               doctest Python.Nx
             end

             ExUnit.run()
             """)
  end

  test "without Nx it says what to do" do
    assert_raise ArgumentError, ~r/add {:nx, /, fn ->
      Python.Nx.from(Python.Array.new("a", {:u, 8}, {1}))
    end
  end
end
