defmodule Python.Values.HostileTest do
  # Python values that are out to harm whoever converts them: a value or an error must come of each,
  # soon, and the next call works. They are in test/support/python/hostile.py, and are tried in VMs of
  # their own (test/support/hostile.ex), as the worst of them would end one.

  # Alone: it keeps the processors busy, which others measure their times by.
  use Python.TestCase

  alias Python.FreshVM

  @moduletag timeout: :infinity

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
      for name <- Python.call!(:hostile, :names), do: Python.Hostile.try(name, :make, [name])
      Python.Hostile.finish()
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
      try = &Python.Hostile.try("number \#{&1}", :mixture, [#{seed}, &1])
      # Once before: modules are loaded when they are first used.
      for number <- 1..#{count}, do: try.(number)
      atoms = :erlang.system_info(:atom_count)
      for number <- 1..#{count}, do: try.(number + #{count})
      IO.puts("atoms\\t\\t\#{:erlang.system_info(:atom_count) - atoms}")
      Python.Hostile.finish()
      """)

    {{_, atoms}, tried} = Map.pop!(tried, "atoms")
    assert atoms < 10
    assert map_size(tried) == 2 * count
    outcomes = Enum.frequencies_by(tried, fn {_, {outcome, _}} -> outcome end)
    assert outcomes["value value"] > count / 4
    assert outcomes["refused refused"] > count / 20
  end

  test "conversions within conversions are an error before they are too many for the stack" do
    code = """
    Python.SupportModules.find()
    {:error, %Python.Error{}} = Python.call(:hostile, :within, [fn _ -> 1 end])
    true = Python.call!(:hostile, :healthy)
    IO.puts("finished")
    """

    assert {"finished\n", 0} = FreshVM.run(code, settings: [thread_stack_size: 8_388_608])
  end

  defp run(code) do
    code = "Python.SupportModules.find()\n" <> code
    {output, status} = FreshVM.run(code, timeout: :timer.hours(2))
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
