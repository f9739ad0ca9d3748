defmodule Python.Values.BordersTest do
  # Values on both sides of every border that the native code knows: where the VM or Python goes over
  # to another representation, and where one path of the conversion ends and the next begins.

  use Python.EngineCase, async: true

  # Bits of Python's digits (15 or 30, and two and three of them), of the VM's small integers (59), of
  # words.
  @bits [0, 1, 7, 8, 14, 15, 16, 28, 29, 30, 31, 32, 44, 45, 46, 58, 59, 60, 61] ++
          [62, 63, 64, 65, 89, 90, 91, 119, 120, 128]

  defp integers do
    for bits <- @bits, near <- -2..2, sign <- [1, -1], uniq: true, do: sign * (2 ** bits + near)
  end

  test "integers cross in lists, alone, as keys and in tuples" do
    integers = integers()
    texts = Enum.map(integers, &Integer.to_string/1)

    assert Python.eval!("[str(x) for x in xs]", %{xs: integers}) == texts
    assert Python.eval!("[int(x) for x in xs]", %{xs: texts}) == integers
    assert Python.eval!("tuple(int(x) for x in xs)", %{xs: texts}) == List.to_tuple(integers)

    for {integer, text} <- Enum.zip(integers, texts) do
      assert Python.eval!("str(x)", %{x: integer}) == text
      assert Python.eval!("int(x)", %{x: text}) == integer
    end

    map = Map.new(integers, &{&1, -&1})
    assert Python.eval!("{k: -k for k in xs}", %{xs: integers}) == map
    assert Python.eval!("all(v == -k for k, v in m.items())", %{m: map})
  end

  test "what Python computes is what crosses, also where it has the number already" do
    for number <- -10..300 do
      assert Python.eval!("n + 0", %{n: number}) == number
      assert Python.eval!("[n * 1, n - 0]", %{n: number}) == [number, number]
    end

    assert Python.eval!("[True, False, 1, 0, True + 1, -True]") == [true, false, 1, 0, 2, -1]
    code = "type('Small', (int,), {})"

    assert Python.eval!("[#{code}(2 ** 29), #{code}(-5), #{code}(2 ** 70)]") == [
             2 ** 29,
             -5,
             2 ** 70
           ]
  end

  test "strings of every length, of ASCII and not, alone and as keys" do
    for length <- Enum.concat(0..80, [127, 128, 255, 256, 4_095, 4_096, 65_535, 65_536]),
        part <- ["a", "\0", "~", "é", "€", "😀"] do
      text = String.duplicate(part, length)
      size = String.length(text)

      assert Python.eval!(
               "(len(s), s == p * n, s.isascii() if hasattr(s, 'isascii') else None)",
               %{s: text, p: part, n: length}
             ) ==
               {size, true, byte_size(part) == 1 or length == 0}

      assert Python.eval!("p * n", %{p: part, n: length}) == text
      assert Python.eval!("list(m) == [p * n]", %{m: %{text => 1}, p: part, n: length})
      # As good as one that Python has made: found in a dict, and interned.
      assert Python.eval!("{p * n: 7}[s]", %{s: text, p: part, n: length}) == 7
      assert Python.eval!("__import__('sys').intern(s) == p * n", %{s: text, p: part, n: length})
    end
  end

  test "strings that end in something else are whole" do
    for tail <- ["é", "\u{10FFFF}", <<255>>, <<0xC3>>],
        length <- [0, 1, 7, 8, 15, 16, 31, 32, 63] do
      binary = String.duplicate("a", length) <> tail
      assert Python.eval!("x", %{x: binary}) == binary
      kind = if String.valid?(binary), do: "str", else: "bytes"
      assert Python.eval!("type(x).__name__", %{x: binary}) == kind
      assert Python.eval!("[type(k).__name__ for k in m]", %{m: %{binary => 1}}) == [kind]
    end
  end

  test "lists of every length cross as they are, and through py" do
    for length <- Enum.concat(0..40, [255, 256, 257, 1_023, 1_024, 1_025, 70_000, 140_000]) do
      list = Enum.to_list(1..length//1)
      assert Python.eval!("(len(x), sum(x))", %{x: list}) == {length, Enum.sum(list)}
      assert Python.eval!("list(range(1, n + 1))", %{n: length}) == list
      assert :py.eval("x", %{x: list}) == {:ok, list}
    end
  end

  test "a list that changes while it is converted is an error, and nothing else happens" do
    # The name of a time zone is asked for during the conversion: there the list is changed.
    for change <- ["clear()", "append(1)", "pop()", "extend(range(100_000))"] do
      code = """
      import datetime
      class NAME(datetime.tzinfo):
          def utcoffset(self, _when):
              self.values.#{change}
              return datetime.timedelta(0)
          def dst(self, _when):
              return None
      def NAME_values():
          zone = NAME()
          zone.values = [1, datetime.datetime(2024, 1, 1, tzinfo=zone), 2, 3]
          return zone.values
      """

      name = define(code)
      assert {:error, %Python.DecodeError{} = error} = Python.call(:__main__, name <> "_values")
      assert Exception.message(error) =~ "changed while it was being converted"
    end

    assert Python.eval!("[1, 2]") == [1, 2]
  end

  test "improper lists are refused wherever their end is" do
    for length <- [1, 2, 3, 100] do
      list = Enum.reduce(1..length, :end, &[&1 | &2])
      assert {:error, %Python.EncodeError{} = error} = Python.call(:builtins, :len, [list])
      assert Exception.message(error) =~ "improper list"
    end
  end
end
