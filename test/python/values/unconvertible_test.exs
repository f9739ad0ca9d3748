defmodule Python.Values.UnconvertibleTest do
  # What cannot cross, in both directions: the right error, with the path to the element. And what
  # can, although it looks as if it could not. What Python code can do to a conversion is in
  # hostile_test.exs.

  use Python.EngineCase, async: true

  alias Python.{Bytes, DecodeError, EncodeError, Object}

  setup_all do: Python.SupportModules.find()

  defp there_and_back(term), do: Python.eval("x", %{x: term})

  defp assert_refused(term, path, text) do
    assert {:error, %EncodeError{} = error} = there_and_back(term)
    assert error.place == "variable x"
    assert error.path == path, "#{error.path} is not #{path}"
    assert error.message =~ text
    assert String.valid?(error.message)
    error
  end

  defp assert_not_given(code, path, text) do
    assert {:error, %DecodeError{} = error} = Python.eval(code)
    assert error.path == path, "#{error.path} is not #{path}"
    assert error.message =~ text
    assert String.valid?(error.message)
    # With a string for a reason through py, and without a loss for who keeps the object.
    assert {:error, {:decode_error, [_ | _]}} = :py.eval(code)
    assert {:ok, %Object{}} = Python.eval(code, %{}, return: :object)
    error
  end

  defp deep(levels, wrap), do: Enum.reduce(1..levels, 1, fn _, inner -> wrap.(inner) end)

  describe "the path leads" do
    test "through lists, tuples, maps, sets and keys" do
      bits = <<1::3>>

      for {term, path} <- [
            {bits, ""},
            {[bits], "[0]"},
            {[1, [2, bits]], "[1][1]"},
            {{1, {2, [bits]}}, "[1][1][0]"},
            {{1, {bits}}, "[1][0]"},
            {%{"rows" => [%{name: bits}]}, ~s(["rows"][0][:name])},
            {%{1 => bits}, "[1]"},
            {%{-1.5 => bits}, "[-1.5]"},
            {%{{1, 2} => bits}, "[{…}]"},
            {%{nil => bits}, "[:nil]"},
            {%{<<255>> => bits}, "[<<…>>]"},
            {%{bits => 1}, "[<<…>>]"},
            {%{{1, bits} => 1}, "[{…}][1]"},
            {MapSet.new([bits]), "[0]"},
            {[MapSet.new([{bits}])], "[0][0][0]"},
            {%{"größe 🐍" => bits}, ~s(["größe 🐍"])},
            {%{~s(a"b) => bits}, ~S(["a\"b"])}
          ] do
        assert_refused(term, path, "bitstring")
      end
    end

    test "to arguments and keywords" do
      assert {:error, %EncodeError{place: "arguments", path: "[1][0]"}} =
               Python.call(:builtins, :print, [1, [<<1::1>>]])

      assert {:error, %EncodeError{place: "keyword arguments", path: "[:a][0]"}} =
               Python.call(:builtins, :dict, [], kwargs: [a: [<<1::1>>]])

      assert {:error, %EncodeError{place: "keyword arguments", path: ~s(["a"])}} =
               Python.call(:builtins, :dict, [], kwargs: %{"a" => <<1::1>>})

      for {term, path} <- [{<<1::3>>, "[0]"}, {%{[1] => 2}, "[0]"}, {%{{1, [2]} => 3}, "[0]"}] do
        assert {:error, %EncodeError{place: "arguments"} = error} =
                 Python.call(:builtins, :len, [term])

        assert String.starts_with?(error.path, path)
      end

      assert {:error, %EncodeError{} = error} =
               Python.map(:builtins, :len, [["a"], [[1, <<1::1>>]]])

      assert error.path == "[0][1]"
      assert error.message =~ "index 1"
    end

    test "through what Python gives" do
      for {code, path} <- [
            {"'\\ud800'", ""},
            {"['\\ud800']", "[0]"},
            {"[1, ('a', {'rows': ['\\ud800']})]", ~s([1][1]["rows"][0])},
            {"{1: '\\ud800'}", "[1]"},
            {"{-7: ['\\ud800']}", "[-7][0]"},
            {"{(1, 2): '\\ud800'}", "[<tuple>]"},
            {"{None: '\\ud800'}", "[<NoneType>]"},
            {"{b'a': '\\ud800'}", "[<bytes>]"},
            {"{1.5: '\\ud800'}", "[<float>]"},
            {"{'\\ud800': 1}", "[<str>]"},
            {"{'\\udfff': 1}", "[<str>]"},
            {"{(1, '\\ud800'): 1}", "[<tuple>][1]"},
            {"{'größe 🐍': '\\ud800'}", ~s(["größe 🐍"])},
            {"{'a\\\"b': '\\ud800'}", ~S(["a\"b"])},
            {"{2 ** 70: '\\ud800'}", "[<int>]"},
            {"[{'\\ud800'}]", "[0][0]"}
          ] do
        assert_not_given(code, path, "surrogate")
      end
    end

    test "to an item of a stream" do
      assert_raise DecodeError, ~r/at \[2\]\[0\]/, fn ->
        Python.stream_eval("iter([1, 2, ['\\ud800']])") |> Enum.to_list()
      end
    end

    test "without the keys being repeated at length" do
      long = String.duplicate("ä", 20_000)
      short = ~s(["#{String.duplicate("ä", 60)}"…])
      error = assert_refused(%{long => <<1::3>>}, short, "bitstring")
      assert byte_size(error.message) < 1_000

      nested = Enum.reduce(1..900, <<1::3>>, fn _, inner -> %{long => inner} end)
      assert {:error, error} = there_and_back(nested)
      assert byte_size(error.message) < 10_000

      error = assert_not_given("{'ä' * 20_000: '\\ud800'}", short, "surrogate")
      assert byte_size(error.message) < 1_000
    end

    test "past numbers that take long to print" do
      term = %{(2 ** (2 ** 20)) => <<1::3>>}
      assert fastest(3, fn -> assert_refused(term, "[…]", "bitstring") end) < 2_000
      code = "{1 << 2 ** 21: '\\ud800'}"
      assert fastest(3, fn -> assert_not_given(code, "[<int>]", "surr") end) < 2_000
    end
  end

  describe "to Python" do
    test "a bitstring does not go" do
      for size <- [1, 3, 7, 9, 63, 801] do
        assert_refused([<<1::size(size)>>], "[0]", "not a multiple of 8 bits")
      end

      assert_refused({:bytes, <<1::3>>}, "[1]", "bitstring")
      assert_refused([%Bytes{data: <<1::3>>}], "[0]", "Python.Bytes")
      assert_refused([%Bytes{data: nil}], "[0]", "Python.Bytes")
      assert_refused(%Bytes{data: 5}, "", "Python.Bytes")
      assert_refused([%Python.Buffer{data: <<1::3>>}], "[0]", "its field :data is invalid")
    end

    test "an improper list does not go" do
      assert_refused([1 | 2], "", "improper")
      assert_refused([1, %{"rows" => [%URI{}]}], ~s([1]["rows"][0]), "URI")
      assert_refused([1, [2, 3 | %{}]], "[1]", "improper")
      assert_refused(%{"a" => [[] | :b]}, ~s(["a"]), "improper")
      assert_refused(Enum.to_list(1..100_000) ++ :end, "", "improper")
      assert_refused(deep(999, &[&1 | 2]), "", "improper")
      assert_refused(deep(100_000, &[1 | &1]), "", "improper")
    end

    test "what is nested deeper than the limit does not go" do
      for {wrap, step} <- [
            {&[&1], "[0]"},
            {&{&1}, "[0]"},
            {&%{"a" => &1}, ~s(["a"])},
            {&%{a: &1}, "[:a]"},
            {&MapSet.new([&1]), "[0]"}
          ] do
        assert {:ok, _} = there_and_back(deep(1_000, wrap))

        for levels <- [1_001, 2_000, 100_000] do
          assert {:error, %EncodeError{} = error} = there_and_back(deep(levels, wrap))
          assert error.message =~ "deeper than 1000 levels"
          assert String.starts_with?(error.path, String.duplicate(step, 10))
          assert byte_size(error.path) < 500
        end
      end

      mixed = &Enum.random([[&1], {&1}, %{"k" => &1}])
      assert {:error, %EncodeError{}} = there_and_back(deep(1_001, mixed))
      assert {:error, %EncodeError{}} = there_and_back(%{deep(1_000, &{&1}) => 1})
      assert {:ok, _} = there_and_back(%{deep(999, &{&1}) => 1})
    end

    test "what is as deep as the limit goes whole, whichever way" do
      nested = deep(1_000, &[&1])
      assert there_and_back(nested) == {:ok, nested}
      assert Python.call(:values, :identity, [nested]) == {:ok, nested}
      assert Python.to_object!(nested) |> Python.to_term() == {:ok, nested}
      assert {:ok, [^nested]} = Python.map(:values, :identity, [[nested]])
      assert Python.stream_eval("[x]", %{x: nested}) |> Enum.to_list() == [nested]
    end

    test "keys that are one in Python do not go, as a value would be lost" do
      for {map, paths} <- [
            {%{1 => :a, 1.0 => :b}, ["[1]", "[1.0]"]},
            {%{1 => :a, true => :b}, ["[1]", "[:true]"]},
            {%{0.0 => :a, false => :b}, ["[0.0]", "[:false]"]},
            {%{:a => 1, "a" => 2}, ["[:a]", ~s(["a"])]},
            {%{nil => 1, none: 2}, ["[:nil]", "[:none]"]},
            {%{:nan => 1, "nan" => 2}, ["[:nan]", ~s(["nan"])]},
            {%{{1, 2} => 1, {1.0, 2} => 2}, ["[{…}]"]},
            {%{(2 ** 53) => 1, 9_007_199_254_740_992.0 => 2},
             ["[9007199254740992]", "[9007199254740992.0]"]}
          ] do
        assert {:error, %EncodeError{} = error} = there_and_back([map])
        assert String.replace_prefix(error.path, "[0]", "") in paths
        assert error.message =~ "would be lost"
      end

      assert {:error, %EncodeError{}} =
               there_and_back(Map.put(Map.new(1..100, &{&1, &1}), 5.0, 1))

      # bytes and str are two keys to Python, but one term.
      assert {:error, %DecodeError{}} = there_and_back(%{"a" => 1, {:bytes, "a"} => 2})
    end

    test "a keyword that is given twice does not go" do
      for keywords <- [[a: 1, a: 2], [{:a, 1}, {"a", 2}], %{:a => 1, "a" => 2}] do
        assert {:error, %EncodeError{place: "keyword arguments"} = error} =
                 Python.call(:builtins, :dict, [], kwargs: keywords)

        assert error.message =~ "lost"
      end
    end

    test "a key that cannot be hashed does not go" do
      for {key, kind} <- [{[1], "list"}, {%{}, "dict"}, {{1, [2]}, "tuple"}, {{%{}}, "tuple"}] do
        assert {:error, %EncodeError{} = error} = there_and_back([%{key => 1}])
        assert String.starts_with?(error.path, "[0]")
        assert error.message =~ "hash"
        assert error.message =~ kind
      end

      list = Python.to_object!([1])
      assert {:error, %EncodeError{path: path}} = there_and_back([%{list => 1}])
      assert path == "[0][…]"
    end

    test "a handle to nothing does not go" do
      for reference <- [make_ref(), nil, 5, self(), "x"] do
        assert_refused([%Object{ref: reference}], "[0]", "is not a handle that Python returned")
      end

      assert_refused(
        %{"a" => %{__struct__: Object}},
        ~s(["a"]),
        "is not a handle that Python returned"
      )

      for reference <- [make_ref(), nil, 5] do
        object = %Object{ref: reference}
        assert {:error, _} = Python.getattr(object, :x)
        assert {:error, _} = Python.len(object)
        assert {:error, _} = Python.to_term(object)
        assert inspect(object) =~ "#Python.Object<"
      end
    end
  end

  describe "to Python goes" do
    test "any binary, whatever it is a part of" do
      bytes = :binary.copy(<<0, 1, 254, 255>>, 30_000)

      for at <- 0..9, size <- [0, 1, 63, 64, 65, 1_000, 65_536, 100_000] do
        part = part_at(bytes, at, size)
        assert there_and_back(%Bytes{data: part}) == {:ok, part}
        assert there_and_back(Python.buffer(part)) == {:ok, part}
      end

      text = String.duplicate("größe 🐍 ", 10_000)
      <<_::3, part::binary-size(100_000), _::bitstring>> = <<5::3, text::binary, 0::5>>
      assert there_and_back(part) == {:ok, binary_part(text, 0, 100_000)}
    end

    test "a map of any size, flat or hashed" do
      for size <- [0, 1, 31, 32, 33, 34, 1_000, 100_000] do
        map = if size == 0, do: %{}, else: Map.new(1..size, &{"key #{&1}", [&1]})
        assert there_and_back(map) == {:ok, map}
        set = MapSet.new(Map.keys(map))
        assert there_and_back(set) == {:ok, set}
      end
    end

    # Integers of newer VMs end soon after that.
    @largest 2 ** 22 - 65

    test "an integer of a million bits and more" do
      for bits <- [2 ** 20, 2 ** 20 + 1, @largest], sign <- [1, -1] do
        integer = sign * (Bitwise.bsl(1, bits) + 1)
        assert there_and_back(integer) == {:ok, integer}
      end

      large = Bitwise.bsl(1, @largest) + 1
      assert Python.eval!("x == -((1 << #{@largest}) + 1)", %{x: -large})
    end

    test "a long tuple" do
      tuple = Tuple.duplicate(0, 100_000)
      assert there_and_back(tuple) == {:ok, tuple}
    end

    test "processes and references of other nodes" do
      pid = <<131, 88, 100, 10::16, "other@host", 77::32, 1::32, 3::32>>
      reference = <<131, 90, 3::16, 100, 10::16, "other@host", 3::32, 258::32, 772::32, 1286::32>>
      port = <<131, 89, 100, 10::16, "other@host", 5::32, 3::32>>

      for {encoded, name} <- [{pid, "Pid"}, {reference, "Ref"}, {port, "Port"}] do
        term = :erlang.binary_to_term(encoded)
        assert node(term) == :other@host
        assert there_and_back([term]) == {:ok, [term]}
        assert Python.eval!("{x: type(x).__name__}", %{x: term}) == %{term => name}
        assert Python.eval!("repr(x)", %{x: term}) =~ "<erlang.#{name} "
      end
    end

    test "functions of every kind" do
      n = 5

      functions = [
        fn -> n end,
        fn x -> {n, x, self()} end,
        &String.upcase/1,
        &:lists.map/2,
        Function.capture(Elsewhere, :not_there, 3),
        &there_and_back/1
      ]

      assert there_and_back(functions) == {:ok, functions}

      for function <- functions do
        vars = %{x: function, y: function}
        assert Python.eval!("callable(x) and x == y and hash(x) == hash(y)", vars)
        assert Python.to_term(Python.to_object!(function)) == {:ok, function}
      end
    end

    test "a reference that is a handle to something else" do
      %Object{ref: reference} = Python.eval!("object()")
      assert there_and_back(reference) == {:ok, reference}
      table = :ets.new(:table, [])
      assert there_and_back(table) == {:ok, table}
    end
  end

  describe "from Python" do
    test "a text with a lone surrogate does not come" do
      for text <- [~S"'\ud800'", ~S"'\udfff'", ~S"'a' * 100_000 + '\udc80'", ~S"'\ud83d\ude00'"] do
        assert_not_given("[#{text}]", "[0]", "surrogate")
      end
    end

    test "a collection inside of itself does not come" do
      for {code, path, kind} <- [
            {"(lambda l: (l.append(l), l)[1])([])", "[0]", "list"},
            {"(lambda l: (l.extend([l, l]), l)[1])([1])", "[1]", "list"},
            {"(lambda d: (d.update(a=d), d)[1])({})", ~s(["a"]), "dict"},
            {"(lambda d: (d.update(a=[d]), d)[1])({})", ~s(["a"][0]), "dict"},
            {"(lambda l: (l.append((1, {'k': l})), l)[1])([])", ~s([0][1]["k"]), "list"},
            {"(lambda t: (t[0].append(t), t)[1])(([],))", "[0][0]", "tuple"}
          ] do
        error = assert_not_given(code, path, "contains itself")
        assert error.message =~ "a #{kind} that"
      end
    end

    test "a collection that is shared comes as often as it is there" do
      assert Python.eval("(lambda l: [l, l, {'a': l}, (l,)])([1])") ==
               {:ok, [[1], [1], %{"a" => [1]}, {[1]}]}

      double = "(lambda f, n: f(f, n))(lambda f, n: [n] if n == 0 else [f(f, n - 1)] * 2, 14)"
      assert {:ok, value} = Python.eval(double)
      assert value |> List.flatten() |> length() == 2 ** 14
    end

    test "what is nested deeper than the limit does not come" do
      name =
        define("""
        def NAME(levels, *kinds):
            made = 1
            for level in range(levels):
                kind = kinds[level % len(kinds)]
                made = {'list': lambda: [made], 'tuple': lambda: (made,),
                        'dict': lambda: {'a': made}, 'set': lambda: frozenset([made])}[kind]()
            return made
        """)

      for kinds <- [~w(list), ~w(tuple), ~w(dict), ~w(set), ~w(tuple set), ~w(list dict tuple)] do
        assert {:ok, _} = Python.call(:__main__, name, [999 | kinds])
        assert {:ok, _} = Python.call(:__main__, name, [1_000 | kinds])

        assert {:error, %DecodeError{} = error} = Python.call(:__main__, name, [1_001 | kinds])
        assert error.message =~ "deeper than 1000 levels"
        assert byte_size(error.message) < 1_000
      end

      # Sets of this depth are more than Python itself can hash.
      for kinds <- [~w(list), ~w(tuple), ~w(dict)] do
        assert {:error, %DecodeError{}} = Python.call(:__main__, name, [100_000 | kinds])
      end
    end

    test "an int beyond the integers of the VM does not come" do
      for code <- ["1 << 2 ** 28", "-(1 << 2 ** 28)"] do
        assert_not_given("[#{code}]", "[0]", "too large for the integers of the VM")
      end

      assert Python.eval!("10 ** 10 ** 5 - 1") == 10 ** 100_000 - 1
    end

    test "a tuple longer than those of the VM does not come" do
      assert_not_given("[(None,) * 2 ** 24]", "[0]", "16777215")
    end

    test "keys that are one term do not come, as a value would be lost" do
      for code <- [
            "{'a': 1, b'a': 2}",
            "{float('nan'): 1, float('nan'): 2}",
            "{('a',): 1, (b'a',): 2}",
            "{frozenset('a'): 1, frozenset([b'a']): 2}",
            # The VM has two ways to hold a map.
            "{**{i: i for i in range(30)}, 'a': 1, b'a': 2}",
            "{**{i: i for i in range(31)}, 'a': 1, b'a': 2}",
            "{**{i: i for i in range(40)}, 'a': 1, b'a': 2}",
            "{**{i: i for i in range(100_000)}, 'a': 1, b'a': 2}"
          ] do
        assert_not_given("[#{code}]", "[0]", "would be lost")
      end
    end

    test "a buffer that cannot be read does not come" do
      name = define("NAME = memoryview(b'abc')\nNAME.release()")
      assert_not_given("[1, {'a': #{name}}]", ~s([1]["a"]), "released")
    end
  end

  describe "what would fill the memory" do
    @tag :long
    test "is refused before it does, in either direction of growth" do
      code = """
      {:error, %Python.DecodeError{}} = Python.exec("v = []\\nfor _ in range(60): v = [v, v]") |> then(fn :ok -> Python.eval("v", timeout: :infinity) end)
      :ok = Python.exec("v = ['x' * 60_000] * 200_000")
      {:error, %Python.DecodeError{}} = Python.eval("v", timeout: :infinity)
      :ok = Python.exec("v = [1 << 1_000_000] * 100_000")
      {:error, %Python.DecodeError{}} = Python.eval("v", timeout: :infinity)
      IO.puts("alive")
      """

      assert {output, 0} = Python.FreshVM.run(code, timeout: 300_000)
      assert output =~ "alive"
    end
  end
end
