defmodule Python.Livebook do
  @moduledoc """
  How a `%Python.Object{}` is shown in Livebook.

  Where [Kino](https://hexdocs.pm/kino) is among the dependencies, a cell whose result is a
  `%Python.Object{}` shows the richest form that the object has:

  | object | shown as |
  |---|---|
  | a `DataFrame` or `Series` of pandas or polars | a table that fetches the rows of a page as they are looked at, sorts in Python, and can be saved as CSV |
  | a figure or axes of matplotlib, an array of axes, and what has `savefig` | a picture |
  | `_repr_mimebundle_`, `_repr_html_` | HTML, or what the bundle holds |
  | `_repr_svg_`, `_repr_png_`, `_repr_jpeg_`, and Pillow's images | a picture |
  | `_repr_markdown_`, `_repr_latex_` | formatted text, a formula |
  | anything else | as `inspect/1` does |

  When one form fails, the next is taken. No form may take longer than a call may (the setting
  `worker_timeout`); an object that is too slow is inspected.

  The same holds wherever Kino takes a term: `Kino.render(figure)`,
  `Kino.Layout.grid([figure, frame])`, `Kino.Frame.render(frame, figure)`. And what reads tables
  through the package `table` can read data frames: `Kino.DataTable.new(frame, keys: ["name"])`.

  Where Kino is there when the application starts, matplotlib draws into memory and opens no windows
  (its backend `agg`), unless the environment variable `MPLBACKEND` says otherwise.

  See the [guide to Livebook](livebook.html).
  """

  # The only module that calls Kino, with Python.Livebook.Table. By name: the package is the user's to
  # add.

  alias Python.{Home, Object, Operation, Options, Request}

  @display "erlang._display"
  @table "erlang._table"

  @doc false
  # The implementation of Kino.Render. Whatever fails, the cell has a result to show.
  @spec render(Object.t()) :: map
  def render(%Object{} = object) do
    to_livebook(kino(object))
  catch
    kind, reason ->
      :logger.debug("cannot show an object: ~ts", [Exception.format(kind, reason, __STACKTRACE__)])

      to_livebook(inspected(object))
  end

  defp to_livebook(kino), do: apply(Kino.Render, :to_livebook, [kino])

  defp kino(object) do
    case run(@display, :display, [object]) do
      {:ok, {"table", nil}} -> Python.Livebook.Table.new(object)
      {:ok, {"text/html", html}} -> apply(Kino.HTML, :new, [html])
      {:ok, {"text/markdown", text}} -> apply(Kino.Markdown, :new, [text])
      {:ok, {"text/latex", text}} -> apply(Kino.Markdown, :new, [formula(text)])
      {:ok, {"image/" <> _ = type, data}} -> apply(Kino.Image, :new, [data, type])
      # Nothing else, or no time for it.
      _ -> inspected(object)
    end
  end

  defp inspected(object), do: apply(Kino.Inspect, :new, [object])

  # LaTeX comes with delimiters or without. A cell's result has its line for itself.
  defp formula(text) do
    text = String.trim(text)

    body =
      [{"$$", "$$"}, {"\\[", "\\]"}, {"\\(", "\\)"}, {"$", "$"}]
      |> Enum.find_value(text, fn {left, right} ->
        if String.starts_with?(text, left) and String.ends_with?(text, right) and
             byte_size(text) > byte_size(left <> right) do
          text |> binary_part(byte_size(left), byte_size(text) - byte_size(left <> right))
        end
      end)

    # More than one formula in a text: it knows its delimiters itself.
    if String.contains?(body, "$"), do: text, else: "$$\n#{String.trim(body)}\n$$"
  end

  @doc false
  # The implementation of Table.Reader.
  @spec reader(Object.t()) :: {:rows, map, Python.Livebook.Rows.t()} | :none
  def reader(%Object{} = object) do
    case table!(:shape, [object]) do
      {columns, count} ->
        rows = %Python.Livebook.Rows{object: object, count: count}
        {:rows, %{columns: columns, count: count}, rows}

      nil ->
        :none
    end
  end

  @doc false
  def table!(function, arguments) do
    case table(function, arguments) do
      {:ok, value} -> value
      {:error, error} -> Python.Error.raise!(error)
    end
  end

  @doc false
  def table(function, arguments, options \\ %Options{}) do
    run(@table, function, arguments, options)
  end

  defp run(module, function, arguments, options \\ %Options{}) do
    # Where the object is at home: one of the arguments is it.
    options = Enum.reduce(arguments, options, &Home.options(&2, &1))
    Request.run(Operation.call(module, function, arguments, %{}), options)
  end
end
