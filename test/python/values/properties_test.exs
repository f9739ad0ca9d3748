defmodule Python.Values.PropertiesTest do
  # Any value goes over and comes back, but for what is documented as lossy.
  #
  #     PROPERTY_SEED=7 mix test test/python/values/properties_test.exs    # the cases of a failure
  #     PROPERTY_RUNS=50000 mix test test/python/values/properties_test.exs
  #     LONG=1 mix test test/python/values/properties_test.exs             # 100,000 of each
  #
  # A failure says which seed it was. Without one it is that of `mix test --seed`.

  use Python.EngineCase

  alias Python.{DecodeError, EncodeError, Generator}

  @moduletag timeout: :infinity

  # Values grow with their number, and begin small again.
  @largest 80

  setup_all do
    Python.SupportModules.find()
    objects = [Python.eval!("object()"), Python.eval!("len"), Python.import!(:math)]
    %{objects: objects, seed: seed(), runs: runs()}
  end

  defp seed do
    case System.get_env("PROPERTY_SEED") do
      nil -> ExUnit.configuration()[:seed]
      seed -> String.to_integer(seed)
    end
  end

  defp runs do
    case System.get_env("PROPERTY_RUNS") do
      nil -> times(3_000, 100_000)
      runs -> String.to_integer(runs)
    end
  end

  describe "any term" do
    test "comes back from Python as it was", context do
      terms(context, :elixir, fn number, term ->
        case rem(number, 4) do
          0 -> Python.call(:values, :identity, [term])
          1 -> Python.eval("x", %{x: term})
          2 -> Python.call(:values, :keyword, [], kwargs: [value: term])
          3 -> kept(term)
        end
      end)
    end

    test "comes back through py as it was", context do
      terms(context, :erlang, fn number, term ->
        case rem(number, 2) do
          0 -> :py.call(:values, :identity, [term])
          1 -> :py.eval("x", %{x: term})
        end
      end)
    end

    test "is one of many that cross at once", %{seed: seed, objects: objects} do
      terms = for number <- 1..500, do: term(seed, number, :elixir, objects)
      assert {:ok, mapped} = Python.map(:values, :identity, Enum.map(terms, &[&1]))
      streamed = Python.stream(:builtins, :iter, [terms])

      for {term, mapped, streamed} <- Enum.zip([terms, mapped, streamed]),
          back <- [mapped, streamed] do
        assert Generator.same?(term, back, :elixir), "PROPERTY_SEED=#{seed}: #{inspect(term)}"
      end
    end
  end

  describe "any Python value" do
    test "comes back from Elixir as it was", context do
      refused? = &match?({:error, %error{}} when error in [DecodeError, EncodeError], &1)
      values(context, false, &Python.call(:values, :make, [&1, &2]), refused?)
    end

    test "comes back from Erlang as it was", context do
      refused? = &match?({:error, {:decode_error, _}}, &1)
      values(context, true, &:py.call(:values, :make, [&1, &2]), refused?)
    end
  end

  ## Terms

  defp terms(%{seed: seed, runs: runs, objects: objects}, manner, there_and_back) do
    for number <- 1..runs do
      term = term(seed, number, manner, objects)
      result = there_and_back.(number, term)

      unless back?(term, result, manner) do
        smallest = Generator.shrink(term, &(not back?(&1, there_and_back.(number, &1), manner)))

        flunk("""
        PROPERTY_SEED=#{seed}, number #{number}: the smallest part that fails is
          #{inspect(smallest, limit: 50)}
        of which came
          #{inspect(there_and_back.(number, smallest), limit: 50)}
        """)
      end
    end
  end

  defp term(seed, number, manner, objects) do
    :rand.seed(:exsss, {seed, number, 0})
    Generator.term(rem(number, @largest), manner: manner, objects: objects)
  end

  defp back?(term, {:ok, back}, manner), do: Generator.same?(term, back, manner)
  defp back?(_term, _error, _manner), do: false

  defp kept(term) do
    with {:ok, object} <- Python.to_object([term]),
         {:ok, [back]} <- Python.to_term(object) do
      {:ok, back}
    end
  end

  ## Python values

  defp values(%{seed: seed, runs: runs}, erlang, make, refused?) do
    refused =
      Enum.count(1..runs, fn number ->
        case make.(seed, number) do
          {:ok, term} ->
            case Python.call(:values, :check, [seed, number, term, erlang]) do
              {:ok, nil} ->
                false

              # Keys that are two terms, but one in Python, or cannot be hashed any more.
              {:error, %EncodeError{}} = error ->
                may_fail?(seed, number, erlang) || wrong(seed, number, error)

              wrong ->
                wrong(seed, number, wrong)
            end

          error ->
            (refused?.(error) and may_fail?(seed, number, erlang)) || wrong(seed, number, error)
        end
      end)

    # Else this would show nothing.
    assert refused < runs / 4
  end

  defp may_fail?(seed, number, erlang),
    do: Python.call!(:values, :may_fail, [seed, number, erlang])

  defp wrong(seed, number, {:ok, text}),
    do: flunk("PROPERTY_SEED=#{seed}, number #{number}: #{text}")

  defp wrong(seed, number, error), do: wrong(seed, number, {:ok, inspect(error)})
end
