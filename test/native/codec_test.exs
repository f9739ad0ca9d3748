defmodule Python.CodecTest do
  # What the VM writes for a Python process, and reads from one, which it does not trust.
  use ExUnit.Case, async: true

  import Python.TestCase, only: [times: 2]

  alias Python.{Codec, FreshVM}

  @handle 1
  @depth 2_100

  setup_all do
    Codec.load()
    on_exit(fn -> Codec.layouts(true) end)
  end

  describe "terms" do
    test "of every kind come back as they were" do
      for term <- terms(), do: assert_same(term)
    end

    test "that are random come back as they were" do
      for seed <- 1..times(50, 5_000) do
        :rand.seed(:exsss, seed)
        assert_same(for size <- [1, 3, 10, 30, 30, 100, 300], do: random(size))
      end
    end

    test "come back as they were where the memory of the VM is not read" do
      Codec.layouts(false)

      for term <- terms(), do: assert_same(term)

      :rand.seed(:exsss, 1)
      for _ <- 1..10, do: assert_same(for _ <- 1..10, do: random(100))
    after
      Codec.layouts(true)
    end

    test "that are integers are as large as the VM has them" do
      size = Codec.largest_integer()
      largest = :binary.decode_unsigned(String.duplicate(<<255>>, size))
      assert_same(largest)
      assert_same([-largest, "text"])
      larger = <<111, size + 8::32, 0>> <> String.duplicate(<<255>>, size + 8)
      assert {:error, _} = read(larger)
    end

    test "can be many, one behind the other" do
      terms = [1, "text", [], %{a: {1, 2}}, List.duplicate("long", 50), self()]
      {:ok, bytes, :none, kept} = Codec.encode(terms)
      assert read(bytes, kept) == {:ok, terms}
    end

    test "that are nested as deep as can be converted come back" do
      for nest <- [&[&1], &{&1}, &%{1 => &1}, &[0 | &1]] do
        assert_same(Enum.reduce(1..1_005, :end, fn _, inner -> nest.(inner) end))
      end
    end

    test "that are nested too deep are cut off where nobody can convert them any more" do
      deep = Enum.reduce(1..50_000, :end, fn _, inner -> [inner] end)
      {:ok, bytes, _, kept} = Codec.encode([deep])
      assert {:ok, [term]} = read(bytes, kept)
      assert depth(term, 0) in 1_010..@depth
    end

    test "that are large binaries are written in their place" do
      large = for size <- [65_535, 65_536, 65_537, 300_000], do: :rand.bytes(size)
      assert_same(large)
      assert_same(Enum.intersperse(large, :between))
      <<_, part::binary-size(100_000), _::binary>> = List.last(large)
      <<_::5, shifted::binary-size(100_000), _::bitstring>> = List.last(large)
      assert_same({part, shifted, part})
    end
  end

  describe "pids, references, ports and functions" do
    test "are the same to Python if they are to Elixir" do
      identity = fn term ->
        {:ok, <<203, kind, _number::64, size::little-32, identity::binary-size(size)>>, :none, _} =
          Codec.encode([term])

        {kind, identity}
      end

      value = :rand.uniform(1_000)
      one = fn -> value end
      again = fn value -> fn -> value end end

      assert identity.(one) == identity.(one)
      assert identity.(again.(1)) == identity.(again.(1))
      refute identity.(again.(1)) == identity.(again.(2))
      refute identity.(&String.length/1) == identity.(&String.split/1)

      assert {1, "fun 'Elixir.String':length/1" <> <<0, _hashes::binary-size(16)>>} =
               identity.(&String.length/1)

      reference = make_ref()
      assert {2, bytes} = identity.(reference)
      assert :erlang.binary_to_term(<<131, bytes::binary>>) == reference
      port = hd(Port.list())
      assert {3, bytes} = identity.(port)
      assert :erlang.binary_to_term(<<131, bytes::binary>>) == port
    end

    test "of a function that holds much are not large" do
      much = Enum.to_list(1..100_000)
      {:ok, bytes, _, kept} = Codec.encode([fn -> much end])
      assert byte_size(bytes) < 300
      assert {:ok, [function]} = read(bytes, kept)
      assert function.() == much
    end

    test "that are not kept for this worker are broken" do
      {:ok, bytes, _, _kept} = Codec.encode([{fn -> :ok end, 1}])
      assert read(bytes, nil) == {:error, "no such term is kept"}
      {:ok, _, _, others} = Codec.encode([fn -> :ok end])
      assert read(bytes, others) == {:error, "no such term is kept"}
    end

    test "are pids of this VM, whatever that is called meanwhile" do
      vm = FreshVM.start(start: false)
      beams = :code.get_path() |> Enum.filter(&String.contains?(to_string(&1), "erlang_python"))
      FreshVM.call(vm, :code, :add_paths, [beams])
      FreshVM.call(vm, Codec, :load, [Codec.build()])

      evaluate = fn source -> FreshVM.call(vm, Code, :eval_string, [source]) |> elem(0) end

      write = "{:ok, bytes, _, _} = Python.Codec.encode([:erlang.whereis(:init)]); bytes"
      read = "Python.Codec.read(bytes, 1, nil) == {:ok, [:erlang.whereis(:init)]}"
      reads? = fn bytes -> evaluate.("bytes = #{inspect(bytes, limit: :infinity)}; #{read}") end

      become = fn name ->
        options = "%{name_domain: :shortnames, dist_listen: false}"
        evaluate.("{:ok, _} = :net_kernel.start(:#{name}@localhost, #{options}); node()")
      end

      nameless = evaluate.(write)
      assert become.(:one) == :one@localhost
      assert reads?.(nameless)
      # The bytes of a pid are asked for again after a while.
      named = evaluate.("for _ <- 1..2_000 do #{write} end |> List.last()")
      assert named =~ "one@localhost"
      assert evaluate.(":net_kernel.stop(); node()") == :nonode@nohost
      for bytes <- [nameless, named], do: assert(reads?.(bytes))
      assert become.(:two) == :two@localhost
      for bytes <- [nameless, named], do: assert(reads?.(bytes))
    end
  end

  describe "objects of a worker" do
    test "are found wherever they are, and come back" do
      object = Codec.object(7, @handle, 12, 34)
      {:ok, bytes, 7, kept} = Codec.encode([%{"a" => [%{ref: object}, 1, "text"]}])
      assert {:ok, [%{"a" => [%{ref: read}, 1, "text"]}]} = Codec.read(bytes, 7, kept)
      assert Codec.describe(read) == {7, @handle, 12, 34}
    end

    test "of two workers do not go together" do
      objects = [Codec.object(1, @handle, 1, 0), Codec.object(2, @handle, 1, 0)]
      assert Codec.encode([objects]) == {:error, :two_workers}
      assert {:ok, _, 1, _} = Codec.encode([Codec.object(1, 1, 1, 0), Codec.object(1, 1, 2, 0)])
    end

    test "that the worker never had are broken" do
      for {kind, number} <- [{1, 1_000}, {0, 1}, {9, 1}, {1, 0xFFFFFFFFFFFFFFFF}] do
        bytes = <<202, kind, number::little-64, 0::64>>
        assert read(bytes) == {:error, "there is no such object"}
        assert read(list(bytes)) == {:error, "there is no such object"}
      end
    end
  end

  describe "what is broken" do
    test "is found wherever it is cut off" do
      for term <- terms() do
        {:ok, bytes, _, kept} = Codec.encode([term])

        for size <- cuts(byte_size(bytes)) do
          assert {:error, text} = read(binary_part(bytes, 0, size), kept)
          assert is_binary(text)
        end
      end
    end

    test "is what claims more than there is" do
      for tag <- [105, 108, 109, 111, 116, 77] do
        assert {:error, _} = read(<<tag, 0xFFFFFFFF::32, 1, 106, 106>>)
        assert {:error, _} = read(list(<<tag, 0x7FFFFFFF::32, 1, 106, 106>>))
      end
    end

    test "is a term that is nested too deep" do
      nested = fn depth ->
        String.duplicate(<<108, 1::32>>, depth) <> <<106>> <> String.duplicate(<<106>>, depth)
      end

      assert {:ok, [[_]]} = read(nested.(@depth))
      for depth <- [@depth + 1, 1_000_000], do: assert({:error, _} = read(nested.(depth)))
    end

    test "is a map with a key twice, however large it is" do
      for size <- [1, 31, 32, 33, 128, 129, 200, 3_000],
          value <- [<<97, 1>>, <<200, 1::little-64>>] do
        keys = for key <- 1..size, do: <<98, key::32, value::binary>>
        assert {:ok, [map]} = read(map(keys))
        assert map_size(map) == size
        assert {:error, _} = read(map([hd(keys) | keys]))
        assert {:error, _} = read(map(keys ++ [hd(keys)]))
      end
    end

    test "is an atom that there is not, or no text" do
      name = "no atom #{System.unique_integer()} of this name"

      for bytes <- [<<119, byte_size(name)>> <> name, <<118, byte_size(name)::16>> <> name] do
        assert {:error, _} = read(bytes)
        assert {:error, _} = read(list(bytes))
      end

      assert_raise ArgumentError, fn -> String.to_existing_atom(name) end

      for bytes <- [
            <<119, 2, 0xFF, 0xFE>>,
            <<119, 1, 0xC3>>,
            <<118, 300::16>> <> String.duplicate("a", 300)
          ] do
        assert {:error, _} = read(bytes)
        assert {:error, _} = read(list(bytes))
      end
    end

    test "is what Erlang does not have" do
      for bytes <- [
            # Not finite.
            <<70, 0x7FF0000000000000::64>>,
            <<70, 0x7FF8000000000000::64>>,
            # Bits beyond a byte, and of no byte.
            <<77, 1::32, 9, 0>>,
            <<77, 1::32, 0, 0>>,
            <<77, 0::32, 3>>,
            # Larger than memory.
            <<105, 0x01000000::32>> <> String.duplicate(<<106>>, 0x01000000),
            <<111, 8_000_000::32, 0>> <> String.duplicate(<<255>>, 8_000_000)
          ] do
        assert {:error, _} = read(bytes)
        assert {:error, _} = read(list(bytes))
      end
    end

    test "is what the format does not have, even if Erlang's has it" do
      external =
        [&String.length/1, fn -> 1 end] |> Enum.map(&(:erlang.term_to_binary(&1) |> tail()))

      fun = [
        <<112>>,
        <<113>>,
        <<100, 2::16, "ok">>,
        <<99>> <> String.duplicate("1", 31),
        <<204, 0::32>>
      ]

      for bytes <- external ++ fun ++ Enum.map([0, 1, 80, 131, 255], &<<&1, 0::64>>) do
        assert {:error, _} = read(bytes)
        assert {:error, _} = read(list(bytes))
      end
    end

    test "is a pid of a broken length, and one of a node that nobody knows" do
      <<88, node_and_more::binary>> = bytes = encoded(self())
      assert read(bytes) == {:ok, [self()]}

      for size <- 1..(byte_size(bytes) - 1),
          do: assert({:error, _} = read(binary_part(bytes, 0, size)))

      assert {:error, _} = read(<<88, 97>> <> node_and_more)
      assert {:error, _} = read(<<88, 119, 20, "no such node at all!", 1::32, 1::32, 1::32>>)
    end

    test "at random does no harm" do
      for {term, seed} <- Enum.with_index(terms() ++ random_terms()) do
        {:ok, bytes, _, _} = Codec.encode([term])

        if byte_size(bytes) < 20_000 do
          count = times(500, 20_000)
          {read, broken} = Codec.break_and_read(bytes, seed + 1, count)
          assert read + broken == 2 * count
        end
      end
    end
  end

  ## Terms

  defp assert_same(term) do
    {:ok, bytes, :none, kept} = Codec.encode([term])
    assert {:ok, [^term]} = read(bytes, kept)
  end

  defp encoded(term) do
    {:ok, bytes, :none, _} = Codec.encode([term])
    bytes
  end

  # On a scheduler and on another thread, which find the same.
  defp read(bytes, kept \\ nil) do
    here = Codec.read(bytes, 1, kept)
    :ok = Codec.read_elsewhere(bytes, 1, kept)
    assert_receive {result, _} = elsewhere when result in [:ok, :error], 10_000
    assert elem(elsewhere, 0) == elem(here, 0)

    if match?({:ok, _}, here) and not String.contains?(bytes, <<202>>),
      do: assert(here == elsewhere)

    here
  end

  # Among others, so that the VM is asked for all of them at once.
  defp list(bytes) do
    others = String.duplicate(<<109, 4::32, "text">>, 20)
    <<108, 21::32, others::binary, bytes::binary, 106>>
  end

  defp map(pairs), do: <<116, length(pairs)::32>> <> IO.iodata_to_binary(pairs)

  defp tail(<<131, rest::binary>>), do: rest

  defp depth([inner], depth), do: depth(inner, depth + 1)
  defp depth([[] | tail], depth) when not is_list(tail), do: depth

  defp cuts(size) when size <= 200, do: 1..(size - 1)//1

  defp cuts(size),
    do: Enum.uniq([1, 2, 5, size - 1, size - 2 | for(_ <- 1..50, do: :rand.uniform(size - 1))])

  defp terms do
    edges =
      for power <- [
            0,
            7,
            8,
            15,
            16,
            31,
            32,
            58,
            59,
            60,
            62,
            63,
            64,
            128,
            2_039,
            2_040,
            2_048,
            9_000
          ] do
        for near <- -2..2, sign <- [1, -1], do: sign * (2 ** power + near)
      end

    edges ++
      List.flatten(edges) ++
      [0.0, -0.0, 1.5, 5.0e-324, -1.7976931348623157e308] ++
      [
        :ok,
        nil,
        true,
        :"",
        :"with space",
        :größe,
        :ÿ,
        :日本語,
        String.to_atom(String.duplicate("ü", 200))
      ] ++
      [String.to_atom(String.duplicate("a", 255)), String.to_atom(String.duplicate("日", 255))] ++
      ["", "a", "größe", <<0, 255>>, String.duplicate("x", 64), String.duplicate("x", 65)] ++
      [String.duplicate("y", 70_000), <<1::1>>, <<5::3>>, <<1, 2, 3::7>>, <<0::800, 1::1>>] ++
      [[], [1], [1 | 2], [[] | :end], [1, 2.0, "three" | {4}], 'charlist', Enum.to_list(1..1_000)] ++
      [
        {},
        {1},
        {1, {2, {3}}},
        List.to_tuple(Enum.to_list(1..255)),
        List.to_tuple(Enum.to_list(1..256))
      ] ++
      [List.to_tuple(List.duplicate(:x, 70_000))] ++
      for size <- [0, 1, 2, 31, 32, 33, 34, 64, 128, 129, 200, 201, 1_000, 5_000] do
        Map.new(List.wrap(if(size > 0, do: Enum.to_list(1..size))), &{{&1, "key"}, &1})
      end ++
      [
        %{1 => 1, 1.0 => 2},
        %{%{} => []},
        %{[1 | 2] => %{a: %{b: %{}}}},
        MapSet.new(1..100),
        1..10
      ] ++
      [self(), make_ref(), hd(Port.list()), &String.length/1, fn -> :ok end, &terms/0] ++
      [{self(), self(), [Process.group_leader()]}, %{self() => make_ref()}] ++
      [{Enum.to_list(1..100), self(), Map.new(1..50, &{&1, make_ref()})}] ++
      [
        Map.new(1..300, &{&1, {&1, self()}}),
        Map.new(1..300, &{&1, Map.new(1..50, fn x -> {x, x} end)})
      ]
  end

  defp random_terms do
    for seed <- 1..times(20, 200) do
      :rand.seed(:exsss, seed)
      random(100)
    end
  end

  defp random(budget) when budget <= 1 do
    case :rand.uniform(12) do
      n when n <= 3 ->
        :rand.uniform(2_000) - 1_000

      4 ->
        Enum.random([1, -1]) * (2 ** (:rand.uniform(200) - 1) + :rand.uniform(9) - 5)

      5 ->
        (:rand.uniform() - 0.5) * :math.pow(2, :rand.uniform(200) - 100)

      6 ->
        Enum.random([:ok, nil, true, :größe, :日本語, [], {}, %{}])

      n when n <= 9 ->
        :rand.bytes(:rand.uniform(100) - 1)

      10 ->
        <<:rand.uniform(1_000)::size(Enum.random(1..30))>>

      11 ->
        Enum.random([
          self(),
          make_ref(),
          fn -> budget end,
          Process.group_leader(),
          hd(Port.list())
        ])

      12 ->
        "text " <> Integer.to_string(:rand.uniform(1_000_000))
    end
  end

  defp random(budget) do
    parts =
      for _ <- 1..Enum.random(1..min(budget, 60)), do: Enum.random(1..max(div(budget, 4), 1))

    case :rand.uniform(5) do
      n when n <= 2 -> for size <- parts, do: random(size)
      3 -> List.to_tuple(for size <- parts, do: random(size))
      4 -> Map.new(parts, &{random(div(&1, 3)), random(&1)})
      5 -> for(size <- parts, do: random(size)) ++ random(1)
    end
  end
end
