# Fails when a file of the native library uses a floor above its own, or when files use each other in a circle
# that is larger than four files or leaves its folder. Reads the lines with `use` and the paths that begin with
# `crate` or `super`. Not looked at: tests, and what the file of a folder re-exports from that folder.
#
#     elixir scripts/check_floors.exs [FOLDER]

defmodule Floors do
  # What each floor may use besides itself.
  @below %{
    "base" => [],
    "pool" => ["base"],
    "python" => ["base"],
    "engine" => ["pool", "python", "base"],
    "nif" => ["engine", "pool", "python", "base"],
    "remote" => ["engine", "pool", "python", "base"]
  }

  # Floors that know nothing of Python.
  @without_python ["base", "pool"]

  # How many files may use each other in a circle.
  @most 4

  @doc "What is wrong with the sources in a folder, a sentence each."
  def faults(root) do
    files = for file <- Path.wildcard("#{root}/**/*.rs"), into: %{}, do: module(file, root)
    sources = Map.new(files, fn {module, file} -> {module, source(file)} end)

    uses =
      for {module, source} <- sources, used <- used(source, module, files), do: {module, used}

    if map_size(files) == 0 do
      ["there are no Rust files in #{root}"]
    else
      unknown(files) ++ upwards(uses) ++ python(sources) ++ circles(uses, files)
    end
  end

  defp module(file, root) do
    parts = file |> Path.relative_to(root) |> Path.rootname() |> Path.split()
    {if(List.last(parts) in ["mod", "lib"], do: Enum.drop(parts, -1), else: parts), file}
  end

  defp source(file) do
    file
    |> File.read!()
    |> String.replace(~r{//.*}, "")
    |> String.replace(~r/^#\[cfg\(test\)\]\nmod \w+ \{.*?^\}/ms, "")
  end

  # The modules that a source uses, which are files.
  defp used(source, module, files) do
    inner = ~r/^(?:pub(?:\([^)]*\))? )?mod (\w+) \{\n(.*?)^\}/ms
    within = for [_, name, text] <- Regex.scan(inner, source), do: {text, module ++ [name]}

    for {text, at} <- [{String.replace(source, inner, ""), module} | within],
        path <- paths(text),
        file = file(resolve(path, at), files),
        file != nil and file != module,
        uniq: true,
        do: file
  end

  defp paths(text) do
    statements = Regex.scan(~r/\buse\s+((?:crate|super|self)\b[^;]*);/, text)
    text = String.replace(text, ~r/\buse\s+[^;]*;/, "")
    inline = Regex.scan(~r/\b(?:crate|super)(?:::\w+)+/, text)

    Enum.flat_map(statements, fn [_, tree] -> tree |> String.replace(~r/\s/, " ") |> expand() end) ++
      Enum.map(inline, fn [path] -> String.split(path, "::") end)
  end

  # `a::{b, c::{d, e}}` as [[a, b], [a, c, d], [a, c, e]]
  defp expand(tree) do
    case Regex.run(~r/^\s*((?:\w+::)*)\{(.*)\}\s*$/, tree) do
      [_, prefix, list] ->
        prefix = String.split(prefix, "::", trim: true)
        for part <- split(list), path <- expand(part), do: prefix ++ path

      nil ->
        name = tree |> String.trim() |> String.split(" as ") |> hd()
        if name == "", do: [], else: [String.split(name, "::")]
    end
  end

  # At the commas that are in no braces.
  defp split(list) do
    {parts, last, _depth} =
      for <<char::utf8 <- list>>, reduce: {[], "", 0} do
        {parts, part, 0} when char == ?, -> {[part | parts], "", 0}
        {parts, part, depth} when char == ?{ -> {parts, part <> "{", depth + 1}
        {parts, part, depth} when char == ?} -> {parts, part <> "}", depth - 1}
        {parts, part, depth} -> {parts, part <> <<char::utf8>>, depth}
      end

    [last | parts]
  end

  defp resolve(["crate" | path], _at), do: path
  defp resolve(["self" | path], at), do: at ++ path
  defp resolve(["super" | path], at), do: resolve_from(path, Enum.drop(at, -1))

  defp resolve_from(["super" | path], at), do: resolve_from(path, Enum.drop(at, -1))
  defp resolve_from(path, at), do: at ++ path

  # The longest beginning that is a file. What begins with none is the root's, which all may use.
  defp file([], _files), do: nil

  defp file(path, files) do
    if is_map_key(files, path), do: path, else: file(Enum.drop(path, -1), files)
  end

  defp unknown(files) do
    for {[floor | _] = module, _} <- files, not is_map_key(@below, floor) do
      "#{name(module)} is on no floor: put it into #{@below |> Map.keys() |> Enum.join(", ")}"
    end
  end

  defp upwards(uses) do
    for {[floor | _] = module, [other | _] = used} <- Enum.sort(uses),
        floor != other and other not in Map.get(@below, floor, []) do
      "#{name(module)} uses #{name(used)}, and #{floor} may use only " <>
        Enum.join([floor | Map.get(@below, floor, [])], ", ")
    end
  end

  defp python(sources) do
    for {[floor | _] = module, source} <- Enum.sort(sources),
        floor in @without_python and source =~ ~r/\bpyo3\b/ do
      "#{name(module)} uses pyo3, and #{floor} knows nothing of Python"
    end
  end

  defp circles(uses, files) do
    graph = :digraph.new()

    for {module, used} <- uses, node <- [module, used], do: :digraph.add_vertex(graph, node)
    for {module, used} <- uses, do: :digraph.add_edge(graph, module, used)

    for circle <- :digraph_utils.cyclic_strong_components(graph),
        reason = reason(circle, files),
        reason != nil do
      "#{circle |> Enum.map(&name/1) |> Enum.sort() |> Enum.join(", ")} use each other: #{reason}"
    end
  end

  defp reason(circle, files) do
    folders = Enum.uniq_by(circle, &Path.dirname(files[&1]))

    cond do
      length(circle) > @most -> "these are more than #{@most} files"
      length(folders) > 1 -> "they are in different folders"
      true -> nil
    end
  end

  defp name([]), do: "crate"
  defp name(module), do: Enum.join(module, "::")
end

root = List.first(System.argv()) || Path.join(__DIR__, "../native/erlang_python_nif/src")

case Floors.faults(root) do
  [] ->
    IO.puts("the native library's floors are in order")

  faults ->
    IO.puts(:stderr, Enum.join(faults, "\n"))
    System.halt(1)
end
