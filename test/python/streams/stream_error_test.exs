defmodule Python.Streams.StreamErrorTest do
  use Python.TestCase, async: true

  import Python.StreamHelpers

  alias Python.{DecodeError, Error, NotStartedError, TimeoutError}

  describe "an exception" do
    test "comes after the items before it" do
      for count <- [0, 1, 10, 5_000] do
        name = define("def NAME(n):\n    yield from range(n)\n    raise ValueError('end')")
        assert {items, error} = until_raise(Python.stream(:__main__, name, [count]))
        assert length(items) == count
        assert %Error{type: "ValueError", message: "end"} = error
        assert List.last(error.frames).code == "raise ValueError('end')"
      end

      assert messages() == []
    end

    test "of the call or the expression is raised when it is enumerated" do
      assert {[], %Error{type: "ZeroDivisionError"}} = until_raise(Python.stream_eval("1 / 0"))
      assert {[], %Error{type: "SyntaxError"}} = until_raise(Python.stream_eval("1 +"))
      assert {[], %Error{type: "ModuleNotFoundError"}} = until_raise(Python.stream(:no_such, :f))
      assert {[], %Error{type: "TypeError"}} = until_raise(Python.stream_eval("5"))

      assert {[], %Python.EncodeError{}} =
               until_raise(Python.stream(:builtins, :iter, [[<<1::1>>]]))

      stream = Python.stream_eval("[1]", %{}, pool: NoSuchPool)
      assert {[], %NotStartedError{}} = until_raise(stream)
    end

    test "of any kind ends the stream" do
      for kind <- ["SystemExit", "KeyboardInterrupt", "GeneratorExit"] do
        name = define("def NAME():\n    yield 1\n    raise #{kind}")
        assert {[1], %Error{type: ^kind}} = until_raise(Python.stream(:__main__, name))
      end

      name = define("def NAME():\n    yield 1\n    raise StopIteration")
      assert {[1], %Error{type: "RuntimeError"}} = until_raise(Python.stream(:__main__, name))
    end

    test "is raised for an item that cannot become a term, with its path" do
      name = define(~S"def NAME(): yield 1; yield {'a': '\ud800'}; yield 3")
      assert {[1], %DecodeError{} = error} = until_raise(Python.stream(:__main__, name))
      assert error.path =~ ~s(["a"])
      assert Exception.message(error) =~ "surrogate"
    end

    test "from closing the generator concerns nobody" do
      for ending <- ["raise ValueError", "yield 2", "raise SystemExit"] do
        name =
          define("def NAME():\n    try:\n        while True: yield 1\n    finally: #{ending}")

        assert :__main__ |> Python.stream(name) |> Enum.take(2) == [1, 1]
      end

      assert messages() == []
    end

    test "does not come of a generator that does not end when it is closed" do
      pool = start_pool()

      name =
        define("""
        NAME_stop = []
        def NAME():
            try:
                while True: yield 1
            finally:
                while not NAME_stop: pass
        """)

      stream = Python.stream(:__main__, name, [], pool: pool)
      {ms, items} = timed(fn -> Enum.take(stream, 2) end)
      assert items == [1, 1]
      assert ms < 20_000
      Python.exec!("#{name}_stop.append(1)")
      assert Python.call(:math, :sqrt, [4], pool: pool) == {:ok, 2.0}
      assert messages() == []
    end
  end

  describe "a timeout that ends at any moment" do
    test "loses no items without saying so, leaves no messages and ends the waiting" do
      pool = start_pool()

      name =
        define("""
        import time
        def NAME(count):
            for n in range(count):
                if n % 50 == 7: time.sleep(0.001)
                yield n
        """)

      1..8
      |> Enum.map(fn _ ->
        Task.async(fn ->
          for n <- 1..times(100, 2_000) do
            {count, timeout} = {rem(n * 37, 300) + 1, rem(n, 6)}
            stream = Python.stream(:__main__, name, [count], pool: pool, timeout: timeout)

            case until_raise(stream) do
              {items, :ok} -> assert items == Enum.to_list(0..(count - 1))
              {items, %TimeoutError{}} -> assert items == Enum.take(0..(count - 1), length(items))
            end

            assert messages() == []
          end
        end)
      end)
      |> Task.await_many(times(50_000, 1_000_000))
    end
  end
end
