defmodule Python.Docs.GuidesTest do
  # Runs the code in README.md and the guides, and holds their tables against the project. What is done
  # with which kind of block is in test/support/doc_block.ex.

  use Python.TestCase, async: false

  alias Python.{DocBlock, FreshVM, Nodes, Packages}

  @moduletag timeout: 180_000

  @root Path.expand("../..", __DIR__)
  @guides Path.wildcard(Path.join(@root, "guides/*.{md,cheatmd}"))
  @documents Path.wildcard(Path.join(@root, "*.md")) ++
               [
                 Path.join(@root, "bench/RESULTS.md"),
                 Path.join(@root, "examples/erlang_app/README.md")
               ] ++
               @guides

  test "the guides and the cheatsheet are found" do
    names = Enum.map(@guides, &Path.basename/1)

    for name <-
          ~w(getting_started project_layout types data errors callbacks streaming asyncio recipes testing production
                   deployment erlang troubleshooting comparison) do
      assert "#{name}.md" in names
    end

    assert "cheatsheet.cheatmd" in names
  end

  # Their examples use packages: they are run in VMs whose Python has them.
  @with_packages [
    {Path.join(@root, "guides/recipes.md"), ~w(numpy pandas pillow tqdm)},
    {Path.join(@root, "guides/data.md"), ~w(numpy pandas matplotlib pillow polars)},
    {Path.join(@root, "guides/asyncio.md"), ~w(aiohttp aiosqlite httpx uvloop)}
  ]

  for {path, packages} <- @with_packages do
    @path path
    @packages packages
    @tag skip: Packages.skip(__ENV__, @packages)
    @tag :tmp_dir
    @tag timeout: 300_000
    test "the code in #{Path.relative_to(path, @root)} does what it says", %{tmp_dir: folder} do
      {:ok, venv} = Packages.venv(@packages)
      vm = FreshVM.start(settings: [python_path: venv, paths: [folder]])
      {:ok, _} = FreshVM.call(vm, Application, :ensure_all_started, [:ex_unit])
      assert DocBlock.indented(@path) == []

      case FreshVM.call(vm, DocBlock, :outcome, [DocBlock.read(@path), folder], 250_000) do
        :ok -> FreshVM.stop(vm)
        {:error, text} -> flunk(text)
      end
    end
  end

  @nodes Path.join(@root, "guides/nodes.md")

  @tag :tmp_dir
  test "the code in guides/nodes.md does what it says", %{tmp_dir: folder} do
    [near, _far] = Nodes.start(2, settings: [paths: [folder]])
    {:ok, _} = FreshVM.call(near.vm, Application, :ensure_all_started, [:ex_unit])
    assert DocBlock.indented(@nodes) == []

    case FreshVM.call(near.vm, DocBlock, :outcome, [DocBlock.read(@nodes), folder], 120_000) do
      :ok -> :ok
      {:error, text} -> flunk(text)
    end
  end

  @in_this_vm @guides -- [@nodes | Enum.map(@with_packages, &elem(&1, 0))]

  for path <- [Path.join(@root, "README.md") | @in_this_vm] do
    @path path
    @tag :tmp_dir
    test "the code in #{Path.relative_to(path, @root)} does what it says", %{tmp_dir: folder} do
      Python.call!(:sys, "path.insert", [0, folder])
      on_exit(fn -> Python.call!(:sys, "path.remove", [folder]) end)

      blocks = DocBlock.read(@path)
      assert Enum.any?(blocks, fn {language, _, _} -> language in ["elixir", "erlang"] end)
      assert DocBlock.indented(@path) == []
      DocBlock.run_all(blocks, folder)
    end
  end

  for path <- @documents do
    @path path
    test "the links in #{Path.relative_to(path, @root)} lead to files, and to headings in them" do
      text = String.replace(File.read!(@path), ~r/^```.*?^```$/ms, "")

      for [_, target] <- Regex.scan(~r/\]\(([^)\s]+)\)/, text),
          not String.starts_with?(target, "http") do
        {file, fragment} =
          case String.split(target, "#") do
            ["", fragment] -> {@path, fragment}
            [file, fragment] -> {Path.expand(file, Path.dirname(@path)), fragment}
            [file] -> {Path.expand(file, Path.dirname(@path)), nil}
          end

        assert File.exists?(file), target
        assert fragment == nil or fragment in headings(file), target
      end
    end
  end

  test "ExDoc is told of all pages, and of none that is not there" do
    extras = Mix.Project.config()[:docs].()[:extras]
    pages = for extra <- extras, do: extra |> List.wrap() |> hd() |> page()

    for page <- pages, do: assert(File.regular?(Path.join(@root, page)), page)
    for path <- @guides, do: assert(Path.relative_to(path, @root) in pages)
    assert "README.md" in pages and "bench/RESULTS.md" in pages and "LICENSE" in pages
  end

  test "the files that ARCHITECTURE.md names exist" do
    text = File.read!(Path.join(@root, "ARCHITECTURE.md"))

    for [_, path] <- Regex.scan(~r/`((?:lib|native|priv|src|test)\/[^`\s]+)`/, text) do
      assert Path.wildcard(Path.join(@root, path)) != [], path
    end
  end

  test "the table of types in guides/types.md is right" do
    rows = table("guides/types.md", "## By example")
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

  test "the table of settings in guides/getting_started.md has the names and the defaults of the schema" do
    rows = table("guides/getting_started.md", "## Settings")
    schema = for [key, default | _] <- rows(Python.Settings.docs()), into: %{}, do: {key, default}
    assert length(rows) > 3

    for [key, default, _meaning] <- rows do
      assert schema[key] == default, "#{key} is #{schema[key]}, not #{default}"
    end
  end

  test "the table of errors in guides/errors.md names exceptions" do
    rows = table("guides/errors.md", "## The errors")
    assert length(rows) > 5

    for [elixir | _] <- rows do
      [_, module] = Regex.run(~r/%?([\w.]+)/, code(elixir))
      assert Code.ensure_loaded?(Module.concat([module])), module
    end
  end

  test "the messages in the tables of guides/troubleshooting.md are those of the project" do
    path = "guides/troubleshooting.md"

    details = %{
      what: "python3 on PATH",
      cause: "reasons",
      version: "3.7.1",
      build: "3.7.1",
      prefix: "/usr",
      executable: "/usr/bin/python3",
      interpreter: "/x/bin/python",
      folder: "/x",
      path: "/x",
      timeout: 10_000,
      implementation: "PyPy"
    }

    escript = Map.put(details, :cause, "the escript /x/y holds no files of priv")

    reasons =
      ~w(not_found no_shared_library not_a_virtual_environment too_old probe_timeout not_loaded
         free_threaded_unsupported wrong_architecture not_started disabled)a

    sentences =
      for {reason, details} <- [{:not_loaded, escript} | Enum.map(reasons, &{&1, details})] do
        Python.NotStartedError.new(reason, details).message
      end

    rows = table(path, "## Python is not running")
    assert length(rows) == length(sentences)

    for [message | _] <- rows do
      assert Enum.any?(sentences, &(&1 =~ DocBlock.pattern(code(message)))), message
    end

    # test/mix/install_test.exs provokes these.
    source = File.read!(Path.join(@root, "lib/python/native/precompiled.ex"))
    rows = table(path, "## The package does not compile")
    assert length(rows) == 3

    for [message | _] <- rows do
      assert source =~ message |> code() |> String.trim_trailing("…") |> String.trim()
    end
  end

  defp page({page, _options}), do: Atom.to_string(page)
  defp page(page), do: page

  # As GitHub and ExDoc name them.
  defp headings(path) do
    for [_, heading] <- Regex.scan(~r/^#+ (.+)$/m, File.read!(path)) do
      heading
      |> String.downcase()
      |> String.replace(~r/[^\w\s-]/u, "")
      |> String.replace(" ", "-")
    end
  end

  ## Tables

  # The rows of the first table after a heading, without its head.
  defp table(path, heading) do
    [_, section] = File.read!(Path.join(@root, path)) |> String.split("\n#{heading}\n")
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
    [expressions] = DocBlock.forms(source <> ".")
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
