defmodule Python.Notebook do
  @moduledoc false

  # Runs the cells of a notebook (`.livemd`) as Livebook does: one after the other, in one VM, with
  # shared variables, imports and aliases. Only `Mix.install` is not called, because this project is
  # here already: its settings are taken, and the application is started.
  #
  # To be called in a fresh VM, in which the application has not been started.

  @output ~s(<!-- livebook:{"output":true} -->)
  @markdown ~s(<!-- livebook:{"force_markdown":true} -->)

  @doc "The cells: their line, their code, and the outputs that are written under them."
  def cells(path) do
    text = File.read!(path)

    # A fence, with the comment before it.
    ~r/^(?:(<!-- livebook:\{.*?\} -->)\n\n)?```(\w*)\n(.*?)^```$/ms
    |> Regex.scan(text, return: :index)
    |> Enum.map(fn [{start, _} | parts] ->
      line = text |> binary_part(0, start) |> String.split("\n") |> length()
      {line, Enum.map(parts, fn {at, length} -> part(text, at, length) end)}
    end)
    |> Enum.reduce([], fn
      {_, [@markdown, _, _]}, cells -> cells
      {_, [@output, "", output]}, [cell | cells] -> [add_output(cell, output) | cells]
      {line, ["", "elixir", code]}, cells -> [%{line: line, code: code, outputs: []} | cells]
    end)
    |> Enum.reverse()
  end

  defp part(_text, -1, _length), do: ""
  defp part(text, at, length), do: binary_part(text, at, length)

  defp add_output(cell, output),
    do: %{cell | outputs: cell.outputs ++ [String.trim_trailing(output)]}

  @doc "Runs them all. Returns their outputs, or the cell that failed and how."
  def run(path) do
    start = {:ok, [], [], :elixir_env.new()}

    with {:ok, outputs, _, _} <- Enum.reduce_while(cells(path), start, &run_cell(&1, &2, path)) do
      {:ok, Enum.reverse(outputs)}
    end
  end

  defp run_cell(cell, {:ok, outputs, bindings, env}, path) do
    place = "#{Path.basename(path)}:#{cell.line}"
    leader = Process.group_leader()
    {:ok, device} = StringIO.open("")
    Process.group_leader(self(), device)

    try do
      quoted =
        cell.code
        |> Code.string_to_quoted!(file: path, line: cell.line + 1)
        |> Macro.prewalk(&without_install/1)

      {value, bindings, env} = Code.eval_quoted_with_env(quoted, bindings, %{env | file: path})
      {:cont, {:ok, [{place, shown(device, value), cell.outputs} | outputs], bindings, env}}
    catch
      kind, reason -> {:halt, {:error, place, Exception.format(kind, reason, __STACKTRACE__)}}
    after
      Process.group_leader(self(), leader)
      StringIO.close(device)
    end
  end

  # What is printed is one output, and the result another.
  defp shown(device, value) do
    {_, printed} = StringIO.contents(device)
    result = inspect(value, pretty: true, width: 100)
    if printed == "", do: [result], else: [String.trim_trailing(printed), result]
  end

  defp without_install({{:., _, [{:__aliases__, _, [:Mix]}, :install]}, meta, arguments}) do
    {{:., meta, [{:__aliases__, meta, [:Python, :Notebook]}, :install]}, meta, arguments}
  end

  defp without_install(quoted), do: quoted

  @doc false
  def install(packages, options \\ []) do
    # The checkout must have been found, and what else is asked for must make sense.
    [{:erlang_python, path: _}, {:kino, "~> " <> _}] = packages

    for {key, value} <- get_in(options, [:config, :erlang_python]) || [] do
      Application.put_env(:erlang_python, key, value)
    end

    {:ok, _} = Application.ensure_all_started(:erlang_python)
    :ok
  end
end
