defmodule Python.Values.PickleTest do
  # `copy` and `pickle` of what only Elixir and Erlang can look into.
  use Python.EngineCase, async: true

  @dumps "[__import__('pickle').dumps(x, n) for n in range(__import__('pickle').HIGHEST_PROTOCOL + 1)]"
  @load "__import__('pickle').loads(b)"

  defp port do
    port = Port.open({:spawn, "cat"}, [])
    on_exit(fn -> send(port, {self(), :close}) end)
    port
  end

  defp values, do: [self(), make_ref(), port(), :erlang.list_to_pid(~c"<0.0.0>")]

  defp pickled(value), do: Python.eval!(@dumps, %{x: value}, return: :bytes)

  test "pids, references and ports are the same afterwards, and equal and hashed alike" do
    for value <- values() do
      pickles = pickled(value)
      assert [_, _, _, _, _ | _] = pickles

      for pickle <- pickles do
        assert Python.eval(@load, %{b: pickle}) == {:ok, value}

        assert Python.eval(
                 "(lambda y: (x == y, hash(x) == hash(y), type(x) is type(y), {x: 1}[y]))(#{@load})",
                 %{x: value, b: pickle}
               ) == {:ok, {true, true, true, 1}}
      end

      assert Python.eval(
               "c.copy(x) is x, c.deepcopy(x) is x, c.deepcopy([x, {'a': (x,)}]) == [x, {'a': (x,)}]",
               %{x: value, c: Python.import!(:copy)}
             ) == {:ok, {true, true, true}}
    end
  end

  test "so they are elsewhere: in another pool, a context, and where Erlang wrote them" do
    values = values()
    pickle = Python.eval!("__import__('pickle').dumps(x)", %{x: values}, return: :bytes)

    for place <- [[pool: start_pool()], [pool: start_pool(size: 2)], [context: start_context()]] do
      assert Python.eval(@load, %{b: pickle}, place) == {:ok, values}

      assert Python.eval(
               "[a == b and {a: 1}[b] for a, b in zip(#{@load}, x)]",
               %{b: pickle, x: values},
               place
             ) == {:ok, [1, 1, 1, 1]}

      for value <- values do
        written = %Python.Bytes{data: :erlang.term_to_binary(value)}
        vars = %{b: written, x: value}
        assert Python.eval("erlang._load_term(b)", vars, place) == {:ok, value}
        assert Python.eval("erlang._load_term(b) == x", vars, place) == {:ok, true}
      end
    end
  end

  test "atoms too, by their names" do
    atoms = [:ok, Python, :"with blank", :äö, :"", nil]

    for name <- Enum.map(atoms, &Atom.to_string/1) do
      assert Python.eval(
               """
               (lambda pickle, copy, a: (
                   copy.copy(a) is a, copy.deepcopy(a) is a, copy.deepcopy({a: [a]}) == {a: [a]},
                   [(lambda b: (a == b, hash(a) == hash(b), str(a) == str(b), repr(a) == repr(b), {a: 1}[b]))(
                       pickle.loads(pickle.dumps(a, n))) for n in range(pickle.HIGHEST_PROTOCOL + 1)],
               ))(__import__('pickle'), __import__('copy'), erlang.Atom(name))
               """
               |> String.trim(),
               %{name: name}
             )
             |> then(fn {:ok, {true, true, true, all}} -> all end)
             |> Enum.uniq() == [{true, true, true, true, 1}]
    end

    atom =
      Python.eval!("#{@load}", %{
        b:
          hd(
            Python.eval!(String.replace(@dumps, "(x,", "(erlang.Atom('ok'),"), %{}, return: :bytes)
          )
      })

    assert atom == :ok
  end

  test "an atom that there is not is a ValueError" do
    name = "no_such_atom_of_pickle_test"
    # A pickle from elsewhere.
    bytes = "cerlang\nAtom\n(X" <> <<byte_size(name) + 2::little-32>> <> name <> "_x" <> "tR."

    assert {:error, %{type: "ValueError", message: message}} =
             Python.eval(@load, %{b: %Python.Bytes{data: bytes}})

    assert message =~ "there is no atom"
  end

  test "a pickle of something else is refused" do
    for term <- [1, "x", [self()], {self()}, %{}, &String.length/1, fn -> 1 end, :ok] do
      assert {:error, %{type: "ValueError", message: message}} =
               Python.eval("erlang._load_term(b)", %{
                 b: %Python.Bytes{data: :erlang.term_to_binary(term)}
               })

      assert message =~ "expected a pid, reference or port of this VM"
    end

    for bytes <- [
          "",
          "x",
          <<131>>,
          <<131, 255>>,
          binary_part(:erlang.term_to_binary(self()), 0, 10)
        ] do
      assert {:error, %{type: "ValueError"}} =
               Python.eval("erlang._load_term(b)", %{b: %Python.Bytes{data: bytes}})
    end
  end

  test "registered functions are pickled by their names, others say what to do" do
    name = unique("pickled")
    Python.register(name, fn x -> x + 1 end)

    for pickle <-
          Python.eval!(String.replace(@dumps, "(x,", "(erlang.#{name},"), %{}, return: :bytes) do
      assert Python.eval("#{@load}(1)", %{b: pickle}) == {:ok, 2}
      assert Python.eval("#{@load} == erlang.#{name}", %{b: pickle}) == {:ok, true}
    end

    Python.unregister(name)

    for function <- [fn x -> x end, &String.length/1, Python.function(fn x -> x end, name: "f")] do
      assert {:error, %{type: "TypeError", message: message}} =
               Python.eval(@dumps, %{x: function})

      assert message =~ "Register it with Python.register"

      assert Python.eval("c.copy(x) is x, c.deepcopy([x])[0] is x", %{
               x: function,
               c: Python.import!(:copy)
             }) ==
               {:ok, {true, true}}
    end
  end

  @tag blocks: "a plain function waits for Elixir"
  test "erlang.Error is pickled without what was raised, and copied with it" do
    code = """
    import copy, pickle
    def FUNCTION(fail, how):
        try:
            fail()
        except erlang.Error as error:
            error.more = [1]
            other = how(error)
            assert type(other) is erlang.Error and other is not error
            for name in ("kind", "reason", "stacktrace", "type", "args", "more"):
                assert getattr(other, name) == getattr(error, name), name
            assert str(other) == str(error)
            raise other from None
    """

    name = define(String.replace(code, "FUNCTION", "NAME"))
    raise_it = fn -> raise ArgumentError, "from here" end

    for n <- 0..4 do
      how =
        Python.eval!(
          "lambda e: __import__('pickle').loads(__import__('pickle').dumps(e, #{n}))",
          %{},
          return: :object
        )

      assert {:error, error} = Python.call(:__main__, name, [raise_it, how])
      assert error.type == "Error" or error.type == "erlang.Error"
      assert error.message =~ "from here"
      assert error.cause == nil
    end

    for copy <- [:copy, :deepcopy] do
      how = Python.getattr!(Python.import!(:copy), copy)
      assert {:error, error} = Python.call(:__main__, name, [raise_it, how])
      assert %ArgumentError{message: "from here"} = error.cause
    end
  end

  test "Interrupt can be pickled, and what cannot says so" do
    assert Python.eval("type(#{@load}).__name__", %{
             b:
               hd(
                 Python.eval!(String.replace(@dumps, "(x,", "(erlang.Interrupt(),"), %{},
                   return: :bytes
                 )
               )
           }) == {:ok, "Interrupt"}

    for value <- [Python.iterator([1]), Python.buffer("abc")] do
      assert {:error, %{type: "TypeError", message: message}} = Python.eval(@dumps, %{x: value})
      assert message =~ "pickle"
    end
  end
end
