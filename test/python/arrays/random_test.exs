defmodule Python.Arrays.RandomTest do
  # Arrays of all types, shapes, strides and orders of bytes, from all kinds of objects, both ways; numpy says what is right.
  #
  #     PROPERTY_SEED=7 PROPERTY_RUNS=50000 mix test test/python/arrays/random_test.exs

  use Python.EngineCase, async: true

  alias Python.{Array, Packages}

  unless match?({:ok, _}, Python.import(:numpy)) do
    @moduletag skip: Packages.skip(__ENV__)
    Packages.add_to_path()
  end

  @moduletag timeout: :infinity

  setup_all do
    Python.SupportModules.find()
    seed = System.get_env("PROPERTY_SEED") || "#{ExUnit.configuration()[:seed]}"
    runs = System.get_env("PROPERTY_RUNS") || "#{times(1_500, 50_000)}"
    %{seeds: Stream.map(1..String.to_integer(runs), &(String.to_integer(seed) * 1_000 + &1))}
  end

  test "come out as numpy has their items", %{seeds: seeds} do
    made = Python.eval!("__import__('arrays').made", %{}, return: :object)

    for seed <- seeds do
      seed = rem(seed, 4_294_967_296)
      parts = Python.apply!(made, [seed], return: :object)

      {kind, {letter, bits}, shape, items} =
        Python.eval!("parts[1:]", %{parts: parts}, return: :bytes)

      expected = %Array{data: items.data, dtype: {String.to_atom(letter), bits}, shape: shape}
      got = Array.from(Python.getitem!(parts, 0, return: :object))
      assert {seed, kind, got} == {seed, kind, {:ok, expected}}
    end
  end

  @dtypes [
            {{:f, 16}, "f"},
            {{:f, 32}, "f"},
            {{:f, 64}, "f"},
            {{:c, 64}, "c"},
            {{:c, 128}, "c"},
            {{:bool, 8}, "b"}
          ] ++
            for(
              {kind, letter} <- [s: "i", u: "u"],
              bits <- [8, 16, 32, 64],
              do: {{kind, bits}, letter}
            )

  test "are in Python what they were in Elixir", %{seeds: seeds} do
    seen = Python.eval!("__import__('arrays').seen", %{}, return: :object)

    for seed <- Enum.take_every(seeds, 3) do
      :rand.seed(:exsss, seed)
      {{_, bits} = dtype, letter} = Enum.random(@dtypes)
      dimensions = Enum.random(0..5)
      shape = for _ <- 1..dimensions//1, do: Enum.random(if(seed < 5, do: 0..5, else: 1..5))
      size = Enum.product(shape) * div(bits, 8)
      data = if letter == "b", do: :binary.copy(<<1>>, size), else: :rand.bytes(size)
      # Also one that is a part of another.
      <<_, part::binary>> = <<0, data::binary>>
      shape = List.to_tuple(shape)

      for data <- [data, part] do
        array = Array.new(data, dtype, shape)

        {true, ^letter, ^bits, true, ^shape, %Python.Bytes{data: ^data}} =
          Python.apply!(seen, [array], return: :bytes)

        assert {:ok, ^array} = Array.from(Python.to_object!(array))
        assert {:ok, ^array} = Array.from(Python.to_object!(array), copy: false)
      end
    end
  end
end
