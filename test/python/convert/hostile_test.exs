defmodule Python.Convert.HostileTest do
  # Python values that are out to harm whoever converts them: a value or an error must come of each,
  # soon, and the next call works. They are in test/support/python/hostile.py. They are tried in VMs
  # of their own, as the worst of them would end one.

  use Python.TestCase, async: true

  alias Python.FreshVM

  @moduletag timeout: :infinity

  # For each value a line: its name, before it is tried, and behind it what has come of it in Elixir
  # and through py, and how many ms both took.
  @script """
  Python.SupportModules.find()

  defmodule Hostile do
    def try(label, function, arguments) do
      IO.write([label, "\\t"])
      work = fn -> [elixir(function, arguments), erlang(function, arguments)] end
      {micros, kinds} = :timer.tc(work)
      {:ok, 2} = Python.eval("1 + 1", timeout: 10_000)
      IO.puts([Enum.join(kinds, " "), "\\t", Integer.to_string(div(micros, 1000))])
    end

    defp elixir(function, arguments) do
      case Python.call(:hostile, function, arguments) do
        {:ok, value} ->
          give_back(value)
          value |> objects() |> Enum.take(10) |> Enum.each(&show/1)
          "value"

        {:error, %Python.DecodeError{} = error} ->
          true = String.valid?(error.message) and byte_size(error.message) < 20_000
          "refused"

        {:error, %Python.Error{} = error} ->
          true = String.valid?(Exception.message(error))
          error.type
      end
    end

    defp erlang(function, arguments) do
      case :py.call(:hostile, function, arguments) do
        {:ok, value} ->
          give_back(value)
          "value"

        {:error, {:decode_error, text}} when is_list(text) -> "refused"
        {:error, {class, text}} when is_list(text) -> to_string(class)
      end
    end

    # Keys can be one in Python, and objects refuse to be hashed.
    defp give_back(value) do
      case Python.call(:hostile, :identity, [value]) do
        {:ok, _} -> :ok
        {:error, %error{}} when error in [Python.EncodeError, Python.DecodeError] -> :ok
        {:error, %Python.Error{}} -> :ok
      end
    end

    # To be shown, it is asked: its answer may be anything.
    defp show(object) do
      "#Python.Object<" <> _ = shown = inspect(object)
      true = String.valid?(shown)
    end

    defp objects(%Python.Object{} = object), do: [object]
    defp objects(list) when is_list(list), do: Stream.flat_map(list, &objects/1)
    defp objects(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> objects()
    defp objects(%MapSet{} = set), do: Stream.flat_map(set, &objects/1)
    defp objects(%_{}), do: []
    defp objects(map) when is_map(map), do: Stream.flat_map(map, fn {k, v} -> objects([k, v]) end)
    defp objects(_), do: []

    def finish do
      true = Python.call!(:hostile, :healthy, [], timeout: 60_000)
      IO.puts("finished")
    end
  end

  """

  # What comes of the values whose names begin like this, in Elixir and through py.
  @outcomes %{
    "cycle" => "refused refused",
    "deep: 999" => "value value",
    "deep: 1000" => "value value",
    "deep: 1001" => "refused refused",
    "deep: sets" => "refused refused",
    "deep: 100,000" => "refused refused",
    "dag" => "value value",
    "wide" => "value value",
    "list: cleared" => "refused refused",
    "list: grows" => "refused refused",
    "list: shrinks" => "refused refused",
    "dict: cleared" => "refused refused",
    "dict: grows" => "refused refused",
    "dict: shrinks" => "refused refused",
    "set: cleared" => "refused refused",
    "set: grows" => "refused refused",
    "set: shrinks" => "refused refused",
    "key: nan" => "refused refused",
    "key: nan and" => "value value",
    "key: the same" => "refused refused",
    "key: surrogate" => "refused refused",
    "int: beyond" => "refused refused",
    "int: a million" => "value value",
    "range" => "value value",
    "memoryview: released" => "refused refused",
    "str: surrogates" => "refused refused",
    "str: large surrogates" => "refused refused",
    "zone: raises" => "ValueError ValueError",
    "zone: leaves" => "SystemExit SystemExit",
    "zone: recursion" => "RecursionError RecursionError",
    "class" => "value value",
    "meta" => "value value",
    "module" => "value value"
  }

  test "each of them gives a value or an error, soon, and the VM lives" do
    tried =
      run("""
      for name <- Python.call!(:hostile, :names), do: Hostile.try(name, :make, [name])
      Hostile.finish()
      """)

    assert map_size(tried) > 150

    for {name, {outcome, ms}} <- tried do
      assert ms < 15_000, "#{name} took #{ms} ms"
      assert {name, outcome} == {name, expected(name) || outcome}
    end
  end

  defp expected(name) do
    @outcomes
    |> Enum.filter(fn {beginning, _} -> String.starts_with?(name, beginning) end)
    |> Enum.max_by(fn {beginning, _} -> byte_size(beginning) end, fn -> {nil, nil} end)
    |> elem(1)
  end

  test "so do any of them in one another, and no atom is made of what they say" do
    count = times(150, 20_000)
    seed = ExUnit.configuration()[:seed]

    tried =
      run("""
      try = &Hostile.try("number \#{&1}", :mixture, [#{seed}, &1])
      # Once before: modules are loaded when they are first used.
      for number <- 1..#{count}, do: try.(number)
      atoms = :erlang.system_info(:atom_count)
      for number <- 1..#{count}, do: try.(number + #{count})
      IO.puts("atoms\\t\\t\#{:erlang.system_info(:atom_count) - atoms}")
      Hostile.finish()
      """)

    {{_, atoms}, tried} = Map.pop!(tried, "atoms")
    assert atoms < 10
    assert map_size(tried) == 2 * count
    outcomes = Enum.frequencies_by(tried, fn {_, {outcome, _}} -> outcome end)
    assert outcomes["value value"] > count / 4
    assert outcomes["refused refused"] > count / 20
  end

  defp run(code) do
    {output, status} = FreshVM.run(@script <> code, timeout: :timer.hours(2))
    lines = String.split(output, "\n", trim: true)

    if status != 0 or List.last(lines) != "finished" do
      last = lines |> Enum.take(-20) |> Enum.map_join("\n", &String.slice(&1, 0, 500))
      flunk("the VM ended with status #{inspect(status)}. It said last:\n#{last}")
    end

    for line <- lines, [name, outcome, ms] <- [String.split(line, "\t")], into: %{} do
      {name, {outcome, String.to_integer(ms)}}
    end
  end
end
