defmodule Python.Values.ErrorsTest do
  use Python.TestCase, async: true

  alias Python.{Bytes, DecodeError, EncodeError}

  defp there_and_back(term), do: Python.eval("x", %{x: term})

  describe "what cannot cross is an error with its path:" do
    test "to Python" do
      for {term, path, text} <- [
            {<<1::3>>, "[0]", "bitstring"},
            {[1 | 2], "[0]", "improper"},
            {[1, %{"rows" => [%URI{}]}], ~s([0][1]["rows"][0]), "URI"},
            {{1, {2, [<<1::1>>]}}, "[0][1][1][0]", "bitstring"},
            {%{[1] => 2}, "[0]", "hashable"},
            {%Bytes{data: 5}, "[0]", "Bytes"},
            {%{{1, [2]} => 3}, "[0]", "hashable"}
          ] do
        assert {:error, %EncodeError{} = error} = Python.call(:builtins, :len, [term])
        assert String.starts_with?(error.path, path), "#{error.path} is not #{path}"
        assert Exception.message(error) =~ text
      end

      assert {:error, %EncodeError{path: "[:x][1]"}} =
               Python.call(:builtins, :dict, [], kwargs: %{x: [1, <<1::1>>]})
    end

    test "nested deeper than the limit, both ways" do
      deep = fn wrap -> Enum.reduce(1..100_000, 1, fn _, inner -> wrap.(inner) end) end

      for wrap <- [&[&1], &{&1}, &%{"a" => &1}] do
        assert {:error, %EncodeError{} = error} = there_and_back(deep.(wrap))
        assert Exception.message(error) =~ "1000"
        assert byte_size(Exception.message(error)) < 2_000
      end

      name =
        define("""
        def NAME(kind):
            made = 1
            for _ in range(100_000):
                made = [made] if kind == 'list' else (made,) if kind == 'tuple' else {'a': made}
            return made
        """)

      for kind <- ["list", "tuple", "dict"] do
        assert {:error, %DecodeError{} = error} = Python.call(:__main__, name, [kind])
        assert Exception.message(error) =~ "1000"
        assert byte_size(Exception.message(error)) < 2_000
      end
    end

    test "not nested deeper than the limit" do
      nested = Enum.reduce(1..900, 1, fn _, inner -> [inner] end)
      assert there_and_back(nested) == {:ok, nested}
    end

    test "a collection inside of itself" do
      for code <- [
            "(lambda l: (l.append(l), l)[1])([])",
            "(lambda l: (l.extend([l, l]), l)[1])([])",
            "(lambda d: (d.update(a=[d]), d)[1])({})",
            "(lambda l: (l.append((1, l)), l)[1])([])"
          ] do
        assert {:error, %DecodeError{} = error} = Python.eval(code)
        assert Exception.message(error) =~ "contains itself"
      end
    end

    test "but a collection that is there twice is fine" do
      assert Python.eval("(lambda l: [l, l, {'a': l}])([1])") == {:ok, [[1], [1], %{"a" => [1]}]}
    end
  end

  describe "what changes while it is converted" do
    test "is an error or a value, never the end" do
      name =
        define("""
        class NAMEKey(str):
            pass
        class NAMEInt(int):
            def __index__(self):
                target.clear()
                return 5
            __abs__ = __lt__ = lambda self, *_: (target.clear(), 5)[1]
        target = []
        def NAME():
            target[:] = [NAMEInt(2 ** 70), 1, 2, 3]
            return target
        """)

      assert {kind, _} = Python.call(:__main__, name)
      assert kind in [:ok, :error]
      assert Python.eval("1") == {:ok, 1}
    end
  end
end
