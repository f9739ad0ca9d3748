defmodule Python.DocsTest do
  # Runs the code in README.md and guides/*.md, and holds their tables against the project.
  #
  # The blocks of a file are run in their order and share their variables, one set for Elixir and
  # one for Erlang. In Elixir, `#=> term` behind an expression is what it gives, and `#=> ** (Error)`
  # what it raises; `…` stands for anything. A block of `text` is what the block before it prints. A
  # block of `python` is a file, whose name its first line has. Settings are validated. Blocks in
  # other languages are not run.

  use ExUnit.Case, async: false

  import ExUnit.CaptureIO

  @root Path.expand("..", __DIR__)
  @guides Path.wildcard(Path.join(@root, "guides/*.md"))
  @documents Path.wildcard(Path.join(@root, "*.md")) ++ @guides

  for path <- [Path.join(@root, "README.md") | @guides] do
    @path path
    @tag :tmp_dir
    test "the code in #{Path.relative_to(path, @root)} does what it says", %{tmp_dir: folder} do
      Python.call!(:sys, "path.insert", [0, folder])
      on_exit(fn -> Python.call!(:sys, "path.remove", [folder]) end)

      start = %{folder: folder, elixir: [], erlang: :erl_eval.new_bindings(), output: ""}
      blocks = blocks(@path)
      assert Enum.any?(blocks, fn {language, _, _} -> language in ["elixir", "erlang"] end)
      Enum.reduce(blocks, start, &run/2)
    end
  end

  for path <- @documents do
    @path path
    test "the links in #{Path.relative_to(path, @root)} lead to files" do
      for [_, target] <- Regex.scan(~r/\]\(([^)#]+)(?:#[^)]*)?\)/, File.read!(@path)),
          not String.starts_with?(target, "http") do
        assert File.exists?(Path.expand(target, Path.dirname(@path))), target
      end
    end
  end

  test "the files that ARCHITECTURE.md names exist" do
    text = File.read!(Path.join(@root, "ARCHITECTURE.md"))

    for [_, path] <- Regex.scan(~r/`((?:lib|native|priv|src|test)\/[^`\s]+)`/, text) do
      assert Path.wildcard(Path.join(@root, path)) != [], path
    end
  end

  test "the table of types in README.md is right" do
    rows = table("## Types")
    assert length(rows) > 10

    for [elixir, erlang, python, back] <- rows, not (elixir =~ "%Python.Object{}") do
      types = codes(python)

      for source <- codes(elixir) do
        value = elixir!(source)
        assert python_type(value) in types, source

        case {back, Python.eval!("x", %{x: value})} do
          {"the same" <> _, returned} -> assert returned === value, source
          {"`%Python.Object{}`", returned} -> assert %Python.Object{} = returned
          {_, returned} -> assert returned === elixir!(code(back)), source
        end
      end

      for source <- codes(erlang) do
        value = erlang!(source)
        assert python_type(value) in types, source

        expected =
          if back == "the same", do: value, else: back |> codes() |> List.last() |> erlang!()

        assert :py.eval("x", %{x: value}) === {:ok, expected}, source
      end
    end
  end

  test "the table of settings in README.md has the names and the defaults of the schema" do
    rows = table("## Settings")
    schema = for [key, default | _] <- rows(Python.Settings.docs()), into: %{}, do: {key, default}
    assert length(rows) > 3

    for [key, default, _meaning] <- rows do
      assert schema[key] == default, "#{key} is #{schema[key]}, not #{default}"
    end
  end

  test "the table of errors in README.md names exceptions" do
    rows = table("## Errors")
    assert length(rows) > 5

    for [elixir | _] <- rows do
      [_, module] = Regex.run(~r/%?([\w.]+)/, code(elixir))
      assert Code.ensure_loaded?(Module.concat([module])), module
    end
  end

  ## Blocks

  defp blocks(path) do
    name = Path.relative_to(path, @root)

    ~r/^```(\w*)\n(.*?)^```$/ms
    |> Regex.scan(File.read!(path), return: :index)
    |> Enum.map(fn [_, language, {at, _} = text] ->
      content = File.read!(path)
      line = content |> binary_part(0, at) |> String.split("\n") |> length()
      {part(content, language), "#{name}:#{line}", part(content, text)}
    end)
  end

  defp part(text, {at, length}), do: binary_part(text, at, length)

  defp run({"elixir", place, text}, state) do
    if text =~ ~r/^(import Config|config )/ do
      settings = Config.Reader.eval!(place, "import Config\n" <> text)
      assert {:ok, _} = Python.Settings.validate(settings[:erlang_python])
      state
    else
      {bindings, output} =
        captured(place, fn -> text |> expressions(place) |> Enum.reduce(state.elixir, &step/2) end)

      %{state | elixir: bindings, output: output}
    end
  end

  defp run({"erlang", place, text}, state) do
    {bindings, output} =
      captured(place, fn -> text |> forms() |> Enum.reduce(state.erlang, &form/2) end)

    %{state | erlang: bindings, output: output}
  end

  defp run({"python", place, text}, state) do
    assert [_, file] = Regex.run(~r/\A# (\w+\.py)\n/, text), "#{place} has no file name"
    File.write!(Path.join(state.folder, file), text)
    Python.call!(:importlib, :invalidate_caches)
    state
  end

  defp run({"text", place, text}, state) do
    assert {place, comparable(state.output)} == {place, comparable(text)}
    state
  end

  defp run(_other, state), do: state

  defp captured(place, work) do
    with_io(work)
  rescue
    error ->
      flunk("#{place}: #{Exception.format(:error, error, __STACKTRACE__)}")
  end

  # Python 3.8 to 3.10 have no carets, and text that is run gets a number.
  defp comparable(text) do
    text
    |> String.split("\n")
    |> Enum.reject(&(&1 =~ ~r/^[\s~^]*$/))
    |> Enum.map_join("\n", &String.replace(&1, ~r/<(eval|exec) \d+>/, "<\\1>"))
  end

  ## Elixir

  # Each top-level expression, with what the comment behind it expects of it.
  defp expressions(text, place) do
    {quoted, comments} = Code.string_to_quoted_with_comments!(text, file: place)

    expressions =
      case quoted do
        {:__block__, _, expressions} -> expressions
        expression -> [expression]
      end

    starts = Enum.map(expressions, &first_line/1) ++ [:infinity]

    for {expression, [from, to]} <-
          Enum.zip(expressions, Enum.chunk_every(starts, 2, 1, :discard)) do
      lines = for comment <- comments, comment.line >= from, comment.line < to, do: comment.text
      {expression, expected(lines)}
    end
  end

  defp first_line(quoted) do
    {_, line} =
      Macro.prewalk(quoted, :infinity, fn
        {_, meta, _} = node, line -> {node, min(line, Keyword.get(meta, :line, :infinity))}
        node, line -> {node, line}
      end)

    line
  end

  defp expected(lines) do
    case Enum.drop_while(lines, &(not String.starts_with?(&1, "#=> "))) do
      [] -> nil
      ["#=> " <> first | rest] -> Enum.join([first | Enum.map(rest, &String.trim(&1, "#"))])
    end
  end

  defp step({expression, "** (" <> expected}, bindings) do
    [module, message] = String.split(expected, ")", parts: 2)
    error = catch_error(Code.eval_quoted(expression, bindings))
    assert inspect(error.__struct__) == module
    assert Exception.message(error) =~ pattern(String.trim(message))
    bindings
  end

  defp step({expression, expected}, bindings) do
    {value, bindings} = Code.eval_quoted(expression, bindings)
    if expected, do: assert(matches?(value, expected), unexpected(expression, value, expected))
    bindings
  end

  defp matches?(value, expected), do: inspect(value) =~ pattern(expected)

  defp pattern(expected) do
    expected = expected |> String.split("…") |> Enum.map_join(".*", &Regex.escape/1)
    Regex.compile!("\\A#{expected}\\z", "us")
  end

  defp unexpected(expression, value, expected) do
    "#{Macro.to_string(expression)} gives #{inspect(value)}, not #{expected}"
  end

  ## Erlang

  defp forms(text) do
    {:ok, tokens, _} = text |> String.to_charlist() |> :erl_scan.string()

    tokens
    |> Enum.chunk_while(
      [],
      fn
        {:dot, _} = dot, form -> {:cont, Enum.reverse([dot | form]), []}
        token, form -> {:cont, [token | form]}
      end,
      fn [] -> {:cont, []} end
    )
    |> Enum.map(fn tokens ->
      {:ok, expressions} = :erl_parse.parse_exprs(tokens)
      expressions
    end)
  end

  defp form(expressions, bindings) do
    {:value, value, bindings} = :erl_eval.exprs(expressions, bindings)

    with [{:erlang_python, settings} | _] <- value do
      assert {:ok, _} = Python.Settings.validate(settings)
    end

    bindings
  end

  ## Tables

  # The rows of the first table after a heading, without its head.
  defp table(heading) do
    [_, section] = File.read!(Path.join(@root, "README.md")) |> String.split("\n#{heading}\n")
    section |> String.split("\n## ") |> hd() |> rows()
  end

  defp rows(markdown) do
    markdown
    |> String.split("\n")
    |> Enum.drop_while(&(not String.starts_with?(&1, "|")))
    |> Enum.take_while(&String.starts_with?(&1, "|"))
    |> Enum.drop(2)
    |> Enum.map(fn row ->
      row |> String.trim("|") |> String.split(" | ") |> Enum.map(&String.trim/1)
    end)
  end

  defp codes(cell), do: for([_, code] <- Regex.scan(~r/`([^`]+)`/, cell), do: code)
  defp code(cell), do: cell |> codes() |> List.first()

  defp elixir!(source), do: source |> Code.eval_string() |> elem(0)

  defp erlang!(source) do
    [expressions] = forms(source <> ".")
    {:value, value, _} = :erl_eval.exprs(expressions, [])
    value
  end

  # As it is written in code: None, int, erlang.Pid.
  defp python_type(value) do
    type = "type(x).__name__"
    module = "'erlang.' * (type(x).__module__ == 'erlang')"
    Python.eval!("'None' if x is None else #{module} + #{type}", %{x: value})
  end
end
