defmodule Python.DocBlock do
  @moduledoc false

  # The blocks of code in README.md, the guides and the cheatsheet, and what is done with each.
  #
  # The blocks of a file are run in their order and share their variables, one set for Elixir and one
  # for Erlang.
  #
  #   elixir      run. `#=> term` behind an expression is what it gives, and `#=> ** (Error)` what it
  #               raises; `…` stands for anything. Settings (`config …`) are validated. A block that
  #               implements a protocol is run in a VM whose protocols are not consolidated. A block
  #               whose first line is the name of a file is that file: settings and all other code
  #               are compiled, and what depends on a project is run by the tests of that project.
  #   erlang      run; settings are validated.
  #   python      a file, whose name its first line has.
  #   text        what the block before it prints.
  #   sh          run if its output follows. The others need another machine, the network or
  #               minutes: they are parsed, and the Mix tasks, make targets and files of this
  #               repository that they name have to exist.
  #   dockerfile  not run: stages, instructions and the shell in them are checked.
  #   ini         a unit of systemd, not run: its sections and lines are checked, by systemd-analyze too
  #               where that is installed.
  #
  # There are no others: neither other languages nor blocks that are only indented.

  import ExUnit.Assertions
  import ExUnit.CaptureIO

  alias Python.FreshVM

  @languages ~w(elixir erlang python text sh dockerfile ini)

  @type t :: {language :: String.t(), place :: String.t(), text :: String.t()}

  @doc "The blocks of a document."
  @spec read(Path.t()) :: [t]
  def read(path) do
    content = File.read!(path)
    name = Path.relative_to(path, Python.Checkout.path("."))

    ~r/^```([^\n]*)\n(.*?)^```$/ms
    |> Regex.scan(content, return: :index)
    |> Enum.map(fn [_, language, {at, _} = text] ->
      line = content |> binary_part(0, at) |> String.split("\n") |> length()
      {part(content, language), "#{name}:#{line}", part(content, text)}
    end)
  end

  defp part(text, {at, length}), do: binary_part(text, at, length)

  @doc "The text of the block that is the file of that name."
  @spec file!(Path.t(), String.t()) :: String.t()
  def file!(path, file) do
    assert [text] = for({_, _, "# " <> text} <- read(path), file(text) == file, do: text)
    "# " <> text
  end

  defp file(text), do: text |> String.split("\n") |> hd()

  @doc "Lines that are code by their indentation alone, which nothing would run."
  @spec indented(Path.t()) :: [String.t()]
  def indented(path) do
    path
    |> File.read!()
    |> String.replace(~r/^```.*?^```$/ms, "")
    |> String.split("\n")
    |> Enum.chunk_every(2, 1, :discard)
    |> Enum.flat_map(fn [before, line] ->
      if String.trim(before) == "" and line =~ ~r/^(    |\t)\S/, do: [line], else: []
    end)
  end

  @doc "Runs all blocks of a document; `folder` is on `sys.path`, for the files in Python."
  @spec run_all([t], Path.t()) :: :ok
  def run_all(blocks, folder) do
    start = %{folder: folder, elixir: [], erlang: :erl_eval.new_bindings(), output: ""}

    blocks
    |> Enum.chunk_every(2, 1)
    |> Enum.reduce(start, fn
      [{"sh", _, _} = block, {"text", _, _} = text], state -> run_shell(block, text, state)
      [{"text", _, _} | _], %{output: :compared} = state -> %{state | output: ""}
      [block | _], state -> run(block, state)
    end)

    :ok
  end

  @doc "As `run_all/2`, in a VM that is called from another one: what fails is text."
  @spec outcome([t], Path.t()) :: :ok | {:error, String.t()}
  def outcome(blocks, folder) do
    run_all(blocks, folder)
  rescue
    error -> {:error, Exception.format(:error, error, __STACKTRACE__)}
  end

  defp run({"elixir", place, "# " <> _ = text} = block, state) do
    file = file(String.trim_leading(text, "# "))

    cond do
      file =~ ~r/^config\/\w+\.exs$/ -> settings(block)
      file =~ ~r/^[\w\/]+\.exs?$/ -> Code.string_to_quoted!(text, file: place)
      true -> flunk("#{place}: the first comment is no name of a file")
    end

    state
  end

  defp run({"elixir", place, text} = block, state) do
    cond do
      text =~ ~r/^(import Config|config )/ ->
        settings(block)
        state

      text =~ ~r/defimpl|@derive/ ->
        in_fresh_vm(place, text, state.folder)
        state

      true ->
        {bindings, output} = captured(place, fn -> elixir(text, place, state.elixir) end)
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
    assert comparable(state.output) =~ pattern(comparable(text)),
           "#{place} should be what was printed:\n#{state.output}"

    state
  end

  defp run({"sh", place, text}, state) do
    parse_shell(place, text)
    check_names(place, text)
    state
  end

  defp run({"dockerfile", place, text}, state) do
    Enum.reduce(instructions(text), [], &instruction(place, &1, &2))
    state
  end

  defp run({"ini", place, text}, state) do
    unit(place, text, state.folder)
    state
  end

  defp run({language, place, _text}, _state) do
    flunk(
      "#{place} is #{inspect(language)}, of which nothing is known; #{inspect(@languages)} are"
    )
  end

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
    |> Enum.map(&String.trim_trailing/1)
    |> Enum.reject(&(&1 =~ ~r/^[\s~^]*$/))
    |> Enum.map_join("\n", &String.replace(&1, ~r/<(eval|exec) \d+>/, "<\\1>"))
  end

  ## Elixir

  defp settings({_, place, text}) do
    settings = Config.Reader.eval!(place, "import Config\n" <> text)
    assert {:ok, _} = Python.Settings.validate(settings[:erlang_python] || [])
  end

  @doc "Runs code and compares what its comments expect. Returns its variables."
  def elixir(text, place, bindings) do
    text |> expressions(place) |> Enum.reduce(bindings, &step(&1, &2, place))
  end

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

  defp step({expression, "** (" <> expected}, bindings, place) do
    [module, message] = String.split(expected, ")", parts: 2)

    error = catch_error(Code.eval_quoted(expression, bindings))
    assert inspect(error.__struct__) == module, "#{place}: #{Exception.message(error)}"
    assert Exception.message(error) =~ pattern(String.trim(message)), place
    bindings
  end

  defp step({expression, expected}, bindings, _place) do
    {value, bindings} = Code.eval_quoted(expression, bindings)

    if expected do
      # From OTP 26 on maps have no order, unless they are asked for one.
      given = inspect(value, custom_options: [sort_maps: true])

      assert given =~ pattern(expected),
             "#{Macro.to_string(expression)} gives #{given}, not #{expected}"
    end

    bindings
  end

  @doc "What an expected text means, in which `…` stands for anything."
  def pattern(expected) do
    expected = expected |> String.split("…") |> Enum.map_join(".*", &Regex.escape/1)
    Regex.compile!("\\A#{expected}\\z", "us")
  end

  # Where protocols are consolidated, an implementation comes too late.
  defp in_fresh_vm(place, text, folder) do
    vm = FreshVM.start(start: false)

    for path <- FreshVM.call(vm, :code, :get_path, []), Path.basename(path) == "consolidated" do
      FreshVM.call(vm, :code, :del_path, [path])
    end

    assert {:ok, _} = FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])
    FreshVM.call(vm, Python, :call!, [:sys, "path.insert", [0, folder]])
    FreshVM.call(vm, __MODULE__, :elixir, [text, place, []])
    FreshVM.stop(vm)
  end

  ## Erlang

  @doc "The forms of Erlang code, each a list of expressions."
  def forms(text) do
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

  ## The shell

  @timeout 120_000

  # A project of its own is not here, so `mix` runs in this one.
  defp run_shell({"sh", place, text}, {"text", _, _} = expected, state) do
    # A VM that is to crash leaves no core behind.
    script = "set -euo pipefail\nulimit -c 0\ncd '#{Python.Checkout.path(".")}'\n" <> text
    env = [{"MIX_ENV", "test"}, {"FOLDER", state.folder}]

    bash = System.find_executable("bash")
    {output, status} = FreshVM.execute(bash, ["-c", script], env, @timeout)
    assert is_integer(status), place
    compare_shell(expected, output)
    %{state | output: :compared}
  end

  # Mix may have compiled something, and warned, before it did what it was asked for.
  defp compare_shell({"text", place, text}, output) do
    assert "\n" <> comparable(output) =~ pattern("…\n" <> comparable(text)),
           "#{place} should be what was printed:\n#{output}"
  end

  defp parse_shell(place, text) do
    {output, status} =
      FreshVM.execute(System.find_executable("bash"), ["-n", "-c", text], [], @timeout)

    assert {place, status, output} == {place, 0, ""}
  end

  defp check_names(place, text) do
    for [_, task] <- Regex.scan(~r/\bmix ([a-z][\w.]*)/, text) do
      # Hex is not installed everywhere.
      assert Mix.Task.get(task) || task =~ ~r/^(local|hex)\./, "#{place}: mix #{task}"
    end

    makefile = File.read!(Python.Checkout.path("Makefile"))

    for [_, target] <- Regex.scan(~r/^make ([a-z-]+)/m, text) do
      assert makefile =~ ~r/^#{target}:/m, "#{place}: make #{target}"
    end

    for [path] <- Regex.scan(~r/\b(?:scripts|examples|bench|native)\/[\w.\/-]+/, text) do
      assert File.exists?(Python.Checkout.path(path)), "#{place}: #{path}"
    end
  end

  ## Dockerfile

  @instructions ~w(ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM RUN USER WORKDIR)

  defp instructions(text) do
    text
    |> String.replace(~r/\\\n\s*/, " ")
    |> String.split("\n", trim: true)
    |> Enum.reject(&String.starts_with?(&1, "#"))
    |> Enum.map(&String.split(&1, " ", parts: 2))
  end

  # Collects the names of the stages.
  defp instruction(_place, ["FROM", image], stages) do
    case String.split(image) do
      [_image, "AS", name] -> [name | stages]
      [_image] -> stages
    end
  end

  defp instruction(place, [name, rest], stages) do
    assert name in @instructions, "#{place}: #{name}"

    if name == "RUN" do
      parse_shell(place, rest)
      check_names(place, rest)
    end

    for [_, stage] <- Regex.scan(~r/--from=(\S+)/, rest), do: assert(stage in stages, place)
    if name in ["CMD", "ENTRYPOINT"], do: assert(rest =~ ~r/^\["[^"]+"(, "[^"]+")*\]$/, place)
    stages
  end

  ## systemd

  defp unit(place, text, folder) do
    lines = text |> String.split("\n", trim: true) |> Enum.reject(&String.starts_with?(&1, "#"))
    assert for("[" <> _ = line <- lines, do: line) == ["[Unit]", "[Service]", "[Install]"], place
    for line <- lines, do: assert(line =~ ~r/^(\[\w+\]|[A-Z]\w+=.*)$/, "#{place}: #{line}")

    if analyze = System.find_executable("systemd-analyze") do
      # It looks whether the programs are there, and they are not.
      file = Path.join(folder, "my_app.service")
      File.write!(file, String.replace(text, ~r/^(Exec\w+)=\S+/m, "\\1=/bin/true"))
      {output, _status} = FreshVM.execute(analyze, ["verify", "--man=no", file], [], @timeout)
      refute output =~ "my_app.service:", "#{place}: #{output}"
    end
  end
end
