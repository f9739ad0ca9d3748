defmodule Python.Livebook do
  @moduledoc """
  Shows a `%Python.Object{}` in Livebook.

  If [Kino](https://hexdocs.pm/kino) is a dependency, a cell that returns a `%Python.Object{}` shows the richest form of
  the object:

  | object | shown as |
  |---|---|
  | a `DataFrame` or `Series` of pandas or polars | a table that fetches only the rows of the current page, sorts in Python, and can be saved as CSV |
  | a figure, axes or array of axes of matplotlib, or another object with `savefig` | a picture |
  | an object with `_repr_mimebundle_` or `_repr_html_` | HTML, or the content of the bundle |
  | an object with `_repr_svg_`, `_repr_png_` or `_repr_jpeg_`, or an image of Pillow | a picture |
  | an object with `_repr_markdown_` or `_repr_latex_` | formatted text, a formula |
  | other objects | the text of `inspect/1` |

  If one form fails, the next is tried. Each has the timeout of a call (the setting `worker_timeout`); an object that is
  too slow is inspected.

  This works wherever Kino takes a term: `Kino.render(figure)`, `Kino.Layout.grid([figure, frame])`,
  `Kino.Frame.render(frame, figure)`. Code that reads tables through the package `table` can read data frames:
  `Kino.DataTable.new(frame, keys: ["name"])`.

  If Kino is loaded when the application starts, matplotlib draws into memory and opens no windows (backend `agg`),
  unless the environment variable `MPLBACKEND` names another backend.

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
