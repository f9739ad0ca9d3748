defmodule Python.Generator do
  @moduledoc false

  # Random terms of every row of the table of types, and what they have to come back as.
  #
  # `term/2` draws from `:rand` in the calling process, so that a seed gives the same term again.
  # Its `budget` bounds the number of leaves. `expected/2` is the model of what is lossy, written
  # independently of the native code; `same?/3` compares with it.

  alias Python.{Bytes, Object}

  @typedoc "`:elixir`, or `:erlang` for what comes back through `py`."
  @type manner :: :elixir | :erlang

  ## Terms

  @doc "A random term. The option `:objects` has handles that may be in it, `:manner` is a manner."
  def term(budget, options \\ []) do
    value(budget, Map.merge(%{objects: [], manner: :elixir}, Map.new(options)))
  end

  defp value(budget, options) when budget <= 1, do: leaf(options)

  defp value(budget, options) do
    case uniform(12) do
      n when n <= 4 -> for size <- split(budget), do: value(size, options)
      n when n <= 6 -> List.to_tuple(for size <- split(budget), do: value(size, options))
      n when n <= 9 -> map(budget, options)
      10 -> set(budget, options)
      _ -> leaf(options)
    end
  end

  defp map(budget, options) do
    pairs = for size <- split(budget), do: {key(2, options), value(size, options)}
    pairs |> Enum.uniq_by(fn {key, _} -> identity(key, :key) end) |> Map.new()
  end

  defp set(budget, options) do
    elements = for _ <- split(budget), do: key(2, options)
    elements |> Enum.uniq_by(&identity(&1, :element)) |> MapSet.new()
  end

  # What Python can hash. Through py sets and dates are lists and tuples, and no longer that key.
  defp key(depth, options) do
    case uniform(if depth > 0, do: 14, else: 12) do
      n when n <= 4 -> text()
      n when n <= 6 -> integer()
      7 -> float()
      8 -> atom()
      9 -> Enum.random([true, false, nil, :none, :undefined, :nan, :infinity])
      10 -> binary()
      11 -> opaque()
      12 -> if options.manner == :elixir, do: moment(), else: integer()
      13 -> List.to_tuple(for _ <- split(3), do: key(depth - 1, options))
      14 -> if options.manner == :elixir, do: set(3, options), else: text()
    end
  end

  defp leaf(options) do
    case uniform(40) do
      n when n <= 8 -> integer()
      n when n <= 14 -> text()
      n when n <= 18 -> float()
      n when n <= 21 -> atom()
      n when n <= 24 -> Enum.random([true, false, nil, :none, :undefined])
      n when n <= 26 -> Enum.random([:nan, :infinity, :neg_infinity])
      n when n <= 28 -> binary()
      29 -> %Bytes{data: binary()}
      30 -> {:bytes, text()}
      n when n <= 32 -> opaque()
      n when n <= 34 -> moment()
      35 -> decimal()
      36 -> range()
      37 -> if options.objects == [], do: nil, else: Enum.random(options.objects)
      38 -> Enum.random([[], {}, %{}, MapSet.new()])
      n -> if n == 39, do: [[]], else: {%{}}
    end
  end

  defp integer do
    case uniform(10) do
      n when n <= 5 -> uniform(2_000) - 1_000
      6 -> near(Enum.random([2 ** 31, 2 ** 32, 2 ** 53, 2 ** 59, 2 ** 62, 2 ** 63, 2 ** 64]))
      7 -> near(-Enum.random([2 ** 31, 2 ** 59, 2 ** 63, 2 ** 64]))
      8 -> bits(64)
      9 -> Enum.random([1, -1]) * bits(uniform(300))
      10 -> Enum.random([1, -1]) * bits(if uniform(20) == 1, do: 20_000, else: 70)
    end
  end

  defp near(n), do: n + uniform(7) - 4

  defp bits(count) do
    bytes = :rand.bytes(div(count, 8) + 1)
    Bitwise.band(:binary.decode_unsigned(bytes), Bitwise.bsl(1, count) - 1)
  end

  @floats [0.0, -0.0, 1.0, 5.0e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1.0e22]

  defp float do
    case uniform(4) do
      1 -> Enum.random(@floats) * Enum.random([1, -1])
      2 -> (uniform(2_001) - 1_001) / 8
      3 -> (:rand.uniform() - 0.5) * :math.pow(2, uniform(200) - 100)
      4 -> any_float()
    end
  end

  # All bit patterns but those that are no numbers.
  defp any_float do
    case :rand.bytes(8) do
      <<float::float>> -> float
      _ -> any_float()
    end
  end

  @texts ["", "a", "name", "größe", "日本語", "🐍 und 🦀", "a\0b", "\u0301", "\uFEFF", "a\nb", "nil"]

  defp text do
    case uniform(12) do
      n when n <= 5 -> Enum.random(@texts)
      n when n <= 9 -> for _ <- split(uniform(12)), into: "", do: <<codepoint()::utf8>>
      10 -> String.duplicate(Enum.random(@texts), uniform(40))
      11 -> Integer.to_string(uniform(1_000_000))
      12 -> large_text()
    end
  end

  # From 64 KiB on they share memory with Python.
  defp large_text do
    if uniform(50) == 1 do
      String.duplicate("größe 🐍 ", 6_000)
    else
      String.duplicate("x", uniform(300))
    end
  end

  defp codepoint do
    case uniform(5) do
      1 -> uniform(128) - 1
      2 -> uniform(0x7FF)
      3 -> 0x800 + uniform(0xCFFF)
      4 -> 0xE000 + uniform(0x1FFF) - 1
      5 -> 0x10000 + uniform(0xFFFFF)
    end
  end

  defp binary do
    case uniform(6) do
      1 -> <<255, 0>>
      2 -> <<0xED, 0xA0, 0x80>>
      3 -> :rand.bytes(uniform(400))
      4 -> "text"
      # Parts of others, one of which does not begin at a byte.
      5 -> binary_part(:rand.bytes(100), 13, uniform(80))
      6 -> unaligned(:rand.bytes(uniform(100)))
    end
  end

  defp unaligned(bytes) do
    # The size is in the match itself: Elixir 1.20 wants one from outside pinned, 1.14 knows no such pin.
    <<size::32, _::3, part::binary-size(size), _::5>> =
      <<byte_size(bytes)::32, 1::3, bytes::binary, 0::5>>

    part
  end

  @atoms [:a, :name, :größe, :"日本 🐍", :"", :"with space", Enum, :ok, :error, :bytes] ++
           [String.to_atom(String.duplicate("ä", 255))]

  defp atom, do: Enum.random(@atoms)

  # Of a node that does not exist.
  @elsewhere_pid <<131, 88, 100, 10::16, "other@host", 77::32, 1::32, 3::32>>
  @elsewhere_ref <<131, 90, 3::16, 100, 10::16, "other@host", 3::32, 258::32, 772::32, 1286::32>>

  defp opaque do
    case uniform(9) do
      1 -> self()
      2 -> :erlang.binary_to_term(@elsewhere_pid)
      3 -> make_ref()
      4 -> :erlang.binary_to_term(@elsewhere_ref)
      5 -> hd(:erlang.ports())
      6 -> &String.upcase/1
      7 -> &:lists.map/2
      8 -> fn -> :ok end
      9 -> closure(uniform(1_000), "captured")
    end
  end

  defp closure(n, text), do: fn x -> {n, text, x} end

  defp moment do
    case uniform(5) do
      1 -> Date.new!(uniform(9_999), uniform(12), uniform(28))
      2 -> time()
      3 -> naive()
      4 -> DateTime.from_naive!(naive(), "Etc/UTC")
      5 -> elsewhere(DateTime.from_naive!(naive(), "Etc/UTC"))
    end
  end

  defp naive, do: NaiveDateTime.new!(Date.new!(1 + uniform(9_997), uniform(12), 2), time())

  defp time do
    precision = uniform(7) - 1
    unit = 10 ** (6 - precision)
    micro = if precision == 0, do: 0, else: (uniform(10 ** precision) - 1) * unit
    Time.new!(uniform(24) - 1, uniform(60) - 1, uniform(60) - 1, {micro, precision})
  end

  # The same wall clock in a zone of any offset.
  defp elsewhere(datetime) do
    offset = uniform(2 * 50_400) - 50_400
    standard = Enum.random([0, 3_600])
    zone = %{time_zone: "Some/Where", zone_abbr: "SW"}
    Map.merge(datetime, Map.merge(zone, %{utc_offset: offset - standard, std_offset: standard}))
  end

  defp decimal do
    sign = Enum.random([1, -1])

    case uniform(8) do
      1 -> %Decimal{sign: sign, coef: :inf}
      2 -> %Decimal{sign: sign, coef: :NaN}
      3 -> %Decimal{sign: sign, coef: 0, exp: uniform(9) - 5}
      4 -> %Decimal{sign: sign, coef: bits(400), exp: uniform(1_000) - 500}
      5 -> %Decimal{sign: sign, coef: 1, exp: Enum.random([1, -1]) * 999_999_999_999_999_900}
      _ -> %Decimal{sign: sign, coef: uniform(100_000), exp: uniform(9) - 5}
    end
  end

  defp range do
    case uniform(4) do
      1 -> 1..0//1
      2 -> Range.new(integer(), integer(), Enum.random([1, -1, 7]))
      3 -> Range.new(0, 2 ** 100, 2 ** 70 + uniform(100))
      4 -> uniform(10)..uniform(10)//-1
    end
  end

  # A few parts of the budget.
  defp split(budget) do
    case uniform(5) do
      1 -> []
      2 -> [budget - 1]
      3 -> List.duplicate(div(budget, 2), 2)
      4 -> List.duplicate(1, min(budget, 40))
      5 -> for _ <- 1..uniform(6), do: div(budget, 4)
    end
  end

  defp uniform(n), do: :rand.uniform(n)

  ## What is the same as a key

  # Two keys are one in Python if they are equal there, and one again when they come back if they
  # are the same term then: either way one of two is lost, and the conversion refuses both.
  defp identity(true, _place), do: {:number, {1, 1}}
  defp identity(false, _place), do: {:number, {0, 1}}
  defp identity(none, _place) when none in [nil, :none, :undefined], do: nil

  defp identity(float, :element) when float in [:nan, :infinity, :neg_infinity],
    do: {:float, float}

  defp identity(atom, _place) when is_atom(atom), do: {:text, Atom.to_string(atom)}
  defp identity(binary, _place) when is_binary(binary), do: {:text, binary}
  defp identity({:bytes, binary}, _place) when is_binary(binary), do: {:text, binary}
  defp identity(integer, _place) when is_integer(integer), do: {:number, {integer, 1}}
  defp identity(float, _place) when is_float(float), do: {:number, Float.ratio(float)}

  defp identity(tuple, _place) when is_tuple(tuple),
    do: {:tuple, tuple |> Tuple.to_list() |> Enum.map(&identity(&1, :element))}

  defp identity(%MapSet{} = set, _place),
    do: {:set, set |> Enum.map(&identity(&1, :element)) |> Enum.sort()}

  defp identity(%DateTime{} = datetime, _place),
    do: {:instant, DateTime.to_unix(datetime, :microsecond)}

  defp identity(%struct{} = moment, _place) when struct in [Time, NaiveDateTime],
    do: {struct, %{moment | microsecond: elem(moment.microsecond, 0)}}

  defp identity(other, _place), do: other

  ## What comes back

  @doc "The term that comes back for `term`, but for what stays in Python."
  @spec expected(term, manner) :: term
  def expected(none, :elixir) when none in [nil, :none, :undefined], do: nil
  def expected(none, :erlang) when none in [nil, :none, :undefined], do: :none
  def expected(same, _) when same in [true, false, :nan, :infinity, :neg_infinity], do: same
  def expected(atom, _) when is_atom(atom), do: Atom.to_string(atom)
  def expected(%Bytes{data: data}, _), do: data
  def expected({:bytes, data}, _) when is_binary(data), do: data
  def expected(list, manner) when is_list(list), do: Enum.map(list, &expected(&1, manner))

  def expected(tuple, manner) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> expected(manner) |> List.to_tuple()

  def expected(%MapSet{} = set, :elixir), do: MapSet.new(set, &expected(&1, :elixir))

  # In an order of its own, which `same?/3` leaves alone.
  def expected(%MapSet{} = set, :erlang), do: Enum.map(set, &expected(&1, :erlang))

  def expected(%DateTime{} = datetime, :elixir) do
    utc = utc(datetime)
    %{utc | microsecond: microsecond(utc)}
  end

  def expected(%struct{} = moment, :elixir) when struct in [Time, NaiveDateTime],
    do: %{moment | microsecond: microsecond(moment)}

  def expected(%Date{} = date, :erlang), do: Date.to_erl(date)

  def expected(%Time{} = time, :erlang) do
    case time.microsecond do
      {0, _} -> {time.hour, time.minute, time.second}
      {micro, _} -> {time.hour, time.minute, time.second + micro / 1.0e6}
    end
  end

  def expected(%NaiveDateTime{} = naive, :erlang) do
    {Date.to_erl(NaiveDateTime.to_date(naive)), expected(NaiveDateTime.to_time(naive), :erlang)}
  end

  def expected(%DateTime{} = datetime, :erlang) do
    datetime |> utc() |> DateTime.to_naive() |> expected(:erlang)
  end

  def expected(%_{} = struct, _), do: struct

  def expected(map, manner) when is_map(map) do
    Map.new(map, fn {key, value} -> {expected_key(key, manner), expected(value, manner)} end)
  end

  def expected(other, _), do: other

  # As keys these are names.
  defp expected_key(name, _) when name in [:nan, :infinity, :neg_infinity],
    do: Atom.to_string(name)

  defp expected_key(key, manner), do: expected(key, manner)

  defp utc(datetime) do
    {:ok, utc} = DateTime.shift_zone(datetime, "Etc/UTC")
    utc
  end

  defp microsecond(%{microsecond: {0, _}}), do: {0, 0}
  defp microsecond(%{microsecond: {micro, _}}), do: {micro, 6}

  @doc "Whether `back` is what has to come back for `term`."
  @spec same?(term, term, manner) :: boolean
  def same?(term, back, manner) when is_list(term) do
    is_list(back) and length(term) == length(back) and
      term |> Enum.zip(back) |> Enum.all?(fn {term, back} -> same?(term, back, manner) end)
  end

  def same?({:bytes, data}, back, _) when is_binary(data), do: back === data

  def same?(term, back, manner) when is_tuple(term) do
    is_tuple(back) and same?(Tuple.to_list(term), Tuple.to_list(back), manner)
  end

  def same?(%Range{} = range, %Object{} = back, _) do
    stop = range.last + if(range.step > 0, do: 1, else: -1)
    Python.eval!("x == range(a, b, c)", %{x: back, a: range.first, b: stop, c: range.step})
  end

  def same?(%Object{} = object, %Object{} = back, _),
    do: Python.eval!("a is b", %{a: object, b: back})

  def same?(%MapSet{} = set, back, :erlang) do
    is_list(back) and Enum.sort(expected(set, :erlang)) === Enum.sort(back)
  end

  def same?(term, back, manner) when is_map(term) and not is_struct(term) do
    is_map(back) and map_size(term) == map_size(back) and
      Enum.all?(term, fn {key, value} ->
        case Map.fetch(back, expected_key(key, manner)) do
          {:ok, found} -> same?(value, found, manner)
          :error -> false
        end
      end)
  end

  def same?(term, back, manner), do: expected(term, manner) === back

  ## The smallest part of a term that fails

  @doc "The smallest part of a term for which `fails?` still is true."
  def shrink(term, fails?) do
    case Enum.find(parts(term), fails?) do
      nil -> term
      part -> shrink(part, fails?)
    end
  end

  defp parts(list) when is_list(list), do: list ++ for(item <- list, do: list -- [item])
  defp parts(tuple) when is_tuple(tuple), do: Tuple.to_list(tuple)

  defp parts(%MapSet{} = set),
    do: Enum.to_list(set) ++ for(item <- set, do: MapSet.delete(set, item))

  defp parts(%_{}), do: []

  defp parts(map) when is_map(map),
    do: Map.values(map) ++ for({key, _} <- map, do: Map.delete(map, key))

  defp parts(_), do: []
end
