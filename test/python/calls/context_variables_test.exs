defmodule Python.Calls.ContextVariablesTest do
  # Context variables: what calls see of each other, on the same thread.

  use Python.EngineCase, async: true

  setup_all do: Python.SupportModules.find()

  defp set_to(value, options), do: Python.call!(:variables, :set_to, [value], options)
  defp get(options), do: Python.call!(:variables, :get, [], options)

  describe "in a pool a call does not see what another has set" do
    for {name, timeout} <- [{"with a timeout", 30_000}, {"without a timeout", :infinity}] do
      test "#{name}" do
        options = [pool: start_pool(), timeout: unquote(timeout)]
        assert set_to("a", options) == "none"
        assert set_to("b", options) == "none"
        assert get(options) == "none"
        assert Python.exec("import variables; variables.VAR.set('c')", options) == :ok
        assert Python.eval!("__import__('variables').VAR.set('d') and 1", options) == 1
        assert get(options) == "none"
      end
    end

    test "from many processes, on the same workers" do
      pool = start_pool(size: 2)

      1..8
      |> Task.async_stream(
        fn n ->
          for m <- 1..25, do: assert(set_to([n, m], pool: pool) == "none")
        end,
        timeout: 60_000
      )
      |> Stream.run()
    end

    test "when it failed, or ran past its timeout" do
      pool = start_pool()

      fail =
        define("""
        def NAME(late):
            import variables, time
            variables.VAR.set('failed')
            while late: pass
            raise ValueError
        """)

      assert {:error, %Python.Error{}} = Python.call(:__main__, fail, [false], pool: pool)
      assert get(pool: pool) == "none"
      late = Python.call(:__main__, fail, [true], pool: pool, timeout: 50)
      assert {:error, %Python.TimeoutError{}} = late
      assert get(pool: pool) == "none"
    end

    test "which covers decimal's precision" do
      pool = start_pool()
      assert Python.call!(:variables, :precision, [4], pool: pool) == 28
      assert Python.call!(:variables, :precision, [5], pool: pool) == 28
      Python.exec!("import decimal; decimal.setcontext(decimal.Context(prec=2))", pool: pool)
      assert Python.eval!("str(decimal.Decimal(1) / 7)", pool: pool) =~ ~r/^0\.1428571428571/
    end

    test "while the calls of one map are one call" do
      pool = start_pool()
      list = [["a"], ["b"], ["c"]]
      assert Python.map(:variables, :set_to, list, pool: pool) == {:ok, ["none", "a", "b"]}
      assert get(pool: pool) == "none"
    end

    test "and an asynchronous one neither" do
      pool = start_pool()
      async = Python.call_async(:variables, :set_to, ["x"], pool: pool)
      assert Python.await(async) == {:ok, "none"}
      assert get(pool: pool) == "none"
    end
  end

  describe "what :init sets" do
    test "is what calls begin with" do
      pool = start_pool(size: 2, init: "import variables; variables.VAR.set('init')")

      for _ <- 1..10 do
        assert set_to("call", pool: pool) == "init"
        assert get(pool: pool, timeout: :infinity) == "init"
      end

      assert Python.stream(:variables, :count, ["x"], pool: pool) |> Enum.take(1) == [["x", 0]]
      assert get(pool: start_pool()) == "none"
    end

    test "covers decimal's precision, of which each call has its own" do
      pool = start_pool(init: "import decimal; decimal.getcontext().prec = 6")
      assert Python.call!(:variables, :precision, [4], pool: pool) == 6
      assert Python.call!(:variables, :precision, [], pool: pool) == 6
      assert Python.eval!("str(decimal.Decimal(1) / 7)", pool: pool) == "0.142857"
      assert Python.call!(:variables, :precision, [], pool: start_pool()) == 28
    end
  end

  describe "a stream" do
    for function <- [:count, :acount] do
      test "has variables of its own for all its chunks: #{function}" do
        pool = start_pool(size: 2)
        options = [pool: pool, max_chunk: 1, prefetch: 1]

        streams =
          for name <- ["a", "b"],
              do: Python.stream(:variables, unquote(function), [name], options)

        both = streams |> Stream.zip() |> Stream.each(fn _ -> set_to("other", pool: pool) end)

        assert Enum.take(both, 20) ==
                 for(n <- 0..19, do: {["a", n], ["b", n]})

        assert get(pool: pool) == "none"
      end
    end

    test "can give back at its end what it took at its begin" do
      options = [pool: start_pool(size: 2), max_chunk: 1]
      closed = Python.eval!("[]", return: :object, pool: options[:pool])
      stream = Python.stream(:variables, :tokens, [closed], options)
      assert Enum.take(stream, 3) == ["mine", "mine", "mine"]
      assert Python.to_term!(closed) == ["none"]
      assert Python.stream(:variables, :Tokens, [], options) |> Enum.to_list() == ["made"]
    end
  end

  test "a context keeps what its calls set" do
    context = start_context()
    assert set_to("a", context: context) == "none"
    assert set_to("b", context: context) == "a"
    assert get(context: context, timeout: :infinity) == "b"
    assert Python.call!(:variables, :precision, [4], context: context) == 28
    assert Python.call!(:variables, :precision, [], context: context) == 4
    nested = fn -> set_to("nested", context: context) end
    assert Python.eval!("f()", %{f: nested}, context: context) == "b"
    assert get(context: context) == "nested"
    assert get([]) == "none"
  end

  describe "a call that a function makes which Python calls" do
    @tag blocks: "a plain function waits for Elixir"
    test "does not see the outer one's, and the outer one keeps its own" do
      pool = start_pool()
      inner = fn -> set_to("inner", pool: pool) end

      code = "[variables.VAR.set('outer') and 0, f(), f(), variables.VAR.get()]"
      Python.exec!("import variables", pool: pool)
      assert Python.eval!(code, %{f: inner}, pool: pool) == [0, "none", "none", "outer"]
      assert get(pool: pool) == "none"
    end

    @tag blocks: "a plain function waits for Elixir"
    test "on a thread of Python's neither" do
      pool = start_pool()
      inner = fn -> set_to("inner", pool: pool) end
      assert Python.call!(:variables, :in_a_thread, [inner], pool: pool) == ["none", "thread"]
    end
  end
end
