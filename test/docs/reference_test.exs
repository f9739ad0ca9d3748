defmodule Python.Docs.ReferenceTest do
  # The documentation in the code: each public function of a documented module has one, with an
  # example. Those in Elixir are run by test/docs/doctests_test.exs, those in Erlang here.

  use Python.TestCase, async: true

  {:ok, modules} = :application.get_key(:erlang_python, :modules)

  documented =
    for module <- Enum.sort(modules),
        # Those in test/support and the implementations of protocols are nobody's to read about.
        source = to_string(module.module_info(:compile)[:source]),
        String.starts_with?(source, Path.expand("../../lib", __DIR__)),
        not function_exported?(module, :__impl__, 1),
        {:docs_v1, _, language, _, moduledoc, _, docs} <- [Code.fetch_docs(module)],
        language == :elixir and moduledoc != :hidden do
      {module, moduledoc, docs}
    end

  @documented documented

  # Mix calls these; their documentation is that of the module, with its examples.
  @tasks for {module, _, _} <- documented, inspect(module) =~ ~r/^Mix\./, do: module

  test "what is public is documented" do
    modules = Enum.map(@documented, &elem(&1, 0))

    for module <- [
          Python,
          Python.Async,
          Python.Context,
          Python.DecodeError,
          Python.EncodeError,
          Python.Encoder,
          Python.Erlang,
          Python.Error,
          Python.NotStartedError,
          Python.Object,
          Python.OverloadedError,
          Python.Pool,
          Python.StoppedError,
          Python.Telemetry,
          Python.TimeoutError,
          Mix.Tasks.Python.Doctor
        ] do
      assert module in modules, "#{inspect(module)} has no documentation"
    end
  end

  for {module, moduledoc, docs} <- documented do
    @module module
    @moduledoc_of moduledoc
    @functions for {{kind, name, arity}, _, _, doc, _} <- docs,
                   kind in [:function, :macro],
                   doc != :hidden,
                   do: {name, arity, doc}

    test "#{inspect(module)} and its functions have documentation with examples" do
      assert %{"en" => text} = @moduledoc_of
      assert first_paragraph(text) =~ ~r/[.:]\z/

      if @module in @tasks do
        assert text =~ "mix "
      else
        for {name, arity, doc} <- @functions do
          function = "#{inspect(@module)}.#{name}/#{arity}"
          assert %{"en" => text} = doc, "#{function} has no documentation"
          assert first_paragraph(text) =~ ~r/\.\z/, "#{function}: a sentence comes first"
          assert text =~ example(@module), "#{function} has no example"
          assert text =~ ~r/\b(returns?|gives|raises)\b/i, "#{function}: what comes back?"
        end
      end
    end
  end

  test "the functions of Python are in the groups that mix.exs has" do
    groups = Enum.map(Mix.Project.config()[:docs].()[:groups_for_docs], &to_string(elem(&1, 0)))

    {_, _, docs} = List.keyfind(@documented, Python, 0)

    used =
      for {{:function, name, arity}, _, _, %{}, metadata} <- docs do
        assert metadata[:group] in groups, "#{name}/#{arity} is in no group"
        metadata.group
      end

    assert Enum.sort(Enum.uniq(used)) == Enum.sort(groups)
  end

  # `py` has the documentation of Python.Erlang.
  for {Python.Erlang, moduledoc, docs} <- documented,
      {label, %{"en" => text}} <- [
        {"module", moduledoc} | for({{_, name, _}, _, _, doc, _} <- docs, do: {name, doc})
      ],
      block <- Regex.scan(~r/(?:^    .*\n?)+/m, text) do
    @block hd(block)
    test "the example of py, #{label}: #{hd(block) |> String.trim() |> String.slice(0, 60)}" do
      {:ok, tokens, _} = @block |> String.to_charlist() |> :erl_scan.string()

      tokens
      |> Enum.chunk_while([], &form/2, fn [] -> {:cont, []} end)
      |> Enum.reduce(:erl_eval.new_bindings(), fn tokens, bindings ->
        {:ok, expressions} = :erl_parse.parse_exprs(tokens)
        {:value, _value, bindings} = :erl_eval.exprs(expressions, bindings)
        bindings
      end)
    end
  end

  defp form({:dot, _} = dot, form), do: {:cont, Enum.reverse([dot | form]), []}
  defp form(token, form), do: {:cont, [token | form]}

  defp first_paragraph(text), do: text |> String.split("\n\n") |> hd() |> String.trim()

  defp example(Python.Erlang), do: "    "
  defp example(_module), do: "iex>"
end
