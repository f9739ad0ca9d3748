defmodule Python.Leaks do
  @moduledoc false

  # Conversions of every kind, and what they leave behind. To be used in a VM of its own: everything
  # in it is counted. The Python side is test/support/python/leaks.py.

  alias Python.TestStructs.{Point, Unknown}

  @elsewhere <<131, 88, 100, 10::16, "other@host", 77::32, 1::32, 3::32>>

  @doc "The kinds: a name, and a function of a number that does it once."
  def kinds do
    text = String.duplicate("größe", 20)

    there(text) ++
      back() ++
      there_and_back() ++
      refused_there(text) ++
      refused_back() ++ objects()
  end

  defp there(text) do
    [
      {"scalars there", take([1, 2 ** 70, 1.5, :nan, nil, true, :abc, text, <<255>>])},
      {"collections there", take([[1, [2]], {1, {2}}, %{"a" => %{2 => 3}}, MapSet.new([1])])},
      {"structs there", take([~D[2024-01-01], ~T[01:00:00], ~U[2024-01-01 00:00:00Z], 1..3])},
      {"zones there", take(%{~U[2024-01-01 00:00:00Z] | utc_offset: 3600})},
      {"decimals there", take([%Decimal{coef: 15, exp: -1}, %Decimal{coef: :inf}])},
      {"terms there", take([self(), make_ref(), &String.upcase/1, fn -> text end])},
      {"terms of other nodes there", take(:erlang.binary_to_term(@elsewhere))},
      {"buffers there", take([Python.buffer(text), Python.buffer(:binary.copy("x", 100_000))])},
      {"encoded structs there", take(%Point{x: 1, y: 2})},
      {"new keys there", fn n -> Python.call!(:leaks, :take, [%{"key #{n}" => n}]) end},
      {"keywords there", fn n -> Python.call!(:leaks, :take, [], kwargs: [a: n, b: text]) end}
    ]
  end

  defp back do
    dates = "datetime.datetime(2024, 1, 1), datetime.date(2024, 1, 1), datetime.time(1)"
    zone = "datetime.timezone(datetime.timedelta(1 / 24))"
    Python.exec!("import datetime, decimal, leaks")

    [
      {"scalars back", give("[1, 2 ** 70, 1.5, float('nan'), None, True, 'ü' * 100, b'\\xff']")},
      {"collections back", give("[[1, [2]], (1, (2,)), {'a': {2: 3}}, {1}, frozenset('a')]")},
      {"dates back", give("[#{dates}]")},
      {"zones back", give("datetime.datetime(2024, 1, 1, tzinfo=#{zone})")},
      {"decimals back", give("[decimal.Decimal('1.5'), decimal.Decimal('NaN')]")},
      {"buffers back", give("[bytearray(100), memoryview(bytes(100))[::2]]")},
      {"shared data back", give("[bytes(100_000), 'x' * 100_000, 'ü' * 100_000]")},
      {"objects back", give("[leaks.Counted(1), (x for x in [1]), range(5)]")},
      {"classes back", give("[int, leaks.Counted, len]")},
      {"watched back",
       &Python.call!(:leaks, :give, [Enum.at(~w(text document number), rem(&1, 3))])}
    ]
  end

  defp there_and_back do
    [
      {"kept terms", fn n -> {:ok, [^n]} = Python.to_term(Python.to_object!([n])) end},
      {"terms", fn n -> {:ok, {_, ^n}} = Python.eval("x", %{x: {fn -> n end, n}}) end},
      {"objects", fn n -> {:ok, [_]} = Python.eval("[x]", %{x: counted(n)}) end},
      {"many at once", fn n -> {:ok, [1, ^n]} = Python.map(:builtins, :abs, [[1], [n]]) end}
    ]
  end

  defp refused_there(text) do
    [
      {"bitstrings refused", refused([[1, %{"a" => <<1::3>>}], text])},
      {"improper lists refused", refused([text, [1 | 2]])},
      {"keys refused", refused([text, %{[1] => 2}])},
      {"elements refused", refused([MapSet.new([%{}, text])])},
      {"lost keys refused", refused([%{:a => text, "a" => text}])},
      {"structs refused", refused([[text], %Unknown{}])},
      {"forged structs refused", refused([%{__struct__: Range, first: 1, last: "x", step: 1}])},
      {"impossible dates refused", refused([~D[0000-01-01]])},
      {"depth refused", refused(Enum.reduce(1..1_100, 1, fn _, inner -> [inner] end))}
    ]
  end

  defp refused_back do
    [
      {"surrogates back refused", failing("[[1, 'a' * 100], {'k': ('b' * 100, '\\ud800')}]")},
      {"cycles back refused", failing("(lambda l: (l.append([l, 'x' * 100]), l)[1])([1])")},
      {"lost keys back refused", failing("[{'a': 1, b'a': 2}, 'x' * 100]")},
      {"exceptions", failing("[1 / 0]")},
      {"hostile values", fn n -> Python.call(:leaks, :harm, [n]) end}
    ]
  end

  defp objects do
    lock = Python.call!(:threading, :Lock)

    [
      {"iterators", fn _ -> [0, 1] = Enum.take(Python.eval!("iter(range(100))"), 2) end},
      {"generators", fn _ -> [0, 1] = Enum.take(Python.eval!("(n for n in range(100))"), 2) end},
      {"with", fn n -> ^n = Python.with(lock, fn true -> n end) end},
      {"attributes", fn n -> ^n = Python.getattr!(counted(n), :value) end}
    ]
  end

  defp counted(n), do: Python.call!(:leaks, :Counted, [n])
  defp take(term), do: fn _ -> {:ok, nil} = Python.call(:leaks, :take, [term]) end
  defp refused(term), do: fn _ -> {:error, %{}} = Python.call(:leaks, :take, [term]) end
  defp give(code), do: fn _ -> {:ok, _} = Python.eval(code) end
  defp failing(code), do: fn _ -> {:error, %{}} = Python.eval(code) end

  # How long handles may take to be given up, in ms: that happens soon, not at once.
  @patience 15_000

  @doc "Does it so often, and prints a line for each number that grew with it."
  def measure({name, work}, count) do
    # What fills up once: caches, pools of free objects.
    for n <- 1..300, do: work.(n)

    # What leaks grows each time; a table of the interpreter's that became larger does not.
    with [_ | _] <- growth(work, 301..(300 + count)) do
      for {what, grown} <- growth(work, (301 + count)..(300 + 2 * count)),
          do: IO.puts("leak: #{name}: #{what} grew by #{grown}")
    end
  end

  defp growth(work, numbers) do
    before = settled()
    Enum.each(numbers, work)
    grown(before, Range.size(numbers), System.monotonic_time(:millisecond) + @patience)
  end

  defp grown(before, count, deadline) do
    case differences(before, snapshot(), count) do
      [] ->
        []

      grown ->
        if System.monotonic_time(:millisecond) > deadline do
          grown
        else
          Process.sleep(50)
          grown(before, count, deadline)
        end
    end
  end

  # What is left of every fifth time is no accident any more.
  defp differences(before, last, count) do
    references =
      for {watched, count} <- last["references"],
          do: {"references to #{watched}", count - before["references"][watched]}

    counts = for key <- ["objects", "living"], do: {key, last[key] - before[key]}
    bytes = last["bytes"] - before["bytes"]

    Enum.filter(counts ++ references, fn {_, grown} -> grown > div(count, 5) end) ++
      if(bytes > 40 * count, do: [{"bytes", bytes}], else: [])
  end

  defp settled do
    first = snapshot()
    Process.sleep(30)
    second = snapshot()
    if second["objects"] < first["objects"], do: settled(), else: second
  end

  defp snapshot do
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    Python.call!(:leaks, :snapshot)
  end

  @doc "Random terms and data, there and back, with these numbers."
  def run(numbers) do
    for number <- numbers do
      :rand.seed(:exsss, {1, 2, number})
      term = Python.Generator.term(rem(number, 80))
      {:ok, _} = Python.eval("x", %{x: term})
      {:error, _} = Python.eval("x", %{x: [term, <<1::3>>]})
      # A part of what is Python's, kept for a while.
      Process.put(rem(number, 10), binary_part(Python.eval!("bytes(100_000)"), 5, 10))
    end

    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
  end

  @doc "The MB that the BEAM says it has, and that the process has."
  def memory do
    {kb, 0} = System.cmd("ps", ["-o", "rss=", "-p", System.pid()])
    {div(:erlang.memory(:total), 1_000_000), div(String.to_integer(String.trim(kb)), 1_000)}
  end
end
