# What of the packages kino (0.19) and table (0.1) this project has to do with: the protocols, the
# kinos that it makes, and how a browser talks with them. It behaves as they do, so that the tests can
# be run with the real ones in its place (test/support/kino.ex).
#
# Not compiled with the tests: to most of them, there is no Kino.

defprotocol Table.Reader do
  def init(tabular)
end

defprotocol Kino.Render do
  @fallback_to_any true
  def to_livebook(value)
end

defimpl Kino.Render, for: Any do
  def to_livebook(term) do
    %{type: :terminal_text, text: inspect(term, pretty: true, width: 100), chunk: false}
  end
end

defmodule Kino.Inspect do
  defstruct [:term]
  def new(term), do: %__MODULE__{term: term}

  defimpl Kino.Render do
    def to_livebook(raw), do: Kino.Render.Any.to_livebook(raw.term)
  end
end

defmodule Kino.Image do
  defstruct [:content, :mime_type]

  def new(content, "image/" <> _ = type) when is_binary(content) do
    %__MODULE__{content: content, mime_type: type}
  end

  defimpl Kino.Render do
    def to_livebook(image), do: Map.put(Map.from_struct(image), :type, :image)
  end
end

defmodule Kino.Markdown do
  defstruct [:text]
  def new(text) when is_binary(text), do: %__MODULE__{text: text}

  defimpl Kino.Render do
    def to_livebook(markdown), do: %{type: :markdown, text: markdown.text, chunk: false}
  end
end

defmodule Kino.JS.Live do
  # A kino with a process of its own. Livebook ends those of a cell that is run again.

  use GenServer

  defstruct [:module, :pid, :ref]

  def new(module, argument) do
    ref = inspect(make_ref())
    {:ok, pid} = GenServer.start(__MODULE__, {module, argument, ref})
    %__MODULE__{module: module, pid: pid, ref: ref}
  end

  defimpl Kino.Render do
    def to_livebook(kino) do
      view = %{ref: kino.ref, pid: kino.pid, assets: %{}}
      %{type: :js, js_view: view, export: function_exported?(kino.module, :export, 1)}
    end
  end

  @impl true
  def init({module, argument, ref}) do
    {:ok, %{module: module, ref: ref, state: module.init(argument)}}
  end

  @impl true
  def handle_info({:connect, client, %{origin: _, ref: _}}, live) do
    {data, state} = live.module.connect(live.state)
    send(client, {:connect_reply, data, %{ref: live.ref}})
    {:noreply, %{live | state: state}}
  end

  def handle_info({:event, name, payload, %{origin: origin}}, live) do
    client =
      origin |> String.trim_leading("#PID") |> String.to_charlist() |> :erlang.list_to_pid()

    reply = fn event, data -> send(client, {:event, event, data, %{ref: live.ref}}) end
    {:noreply, %{live | state: live.module.event(name, payload, live.state, reply)}}
  end

  def handle_info({:export, client, %{}}, live) do
    send(client, {:export_reply, live.module.export(live.state), %{ref: live.ref}})
    {:noreply, live}
  end
end

defmodule Kino.HTML do
  def new(html) when is_binary(html), do: Kino.JS.Live.new(__MODULE__, html)
  def init(html), do: html
  def connect(html), do: {html, html}
end

defmodule Kino.Table do
  @limit 10

  def new(module, argument, options) do
    Kino.JS.Live.new(__MODULE__, {module, argument, options[:export]})
  end

  def init({module, argument, export}) do
    {:ok, info, state} = module.init(argument)
    view = %{page: 1, limit: @limit, order: nil}
    %{module: module, info: info, state: state, export: export, view: view, content: nil}
  end

  def connect(table) do
    table = if table.content, do: table, else: load(table)
    data = Map.take(table.info, [:name, :features, :export])
    {Map.put(data, :content, table.content), table}
  end

  def event("show_page", %{"page" => page}, table, _reply), do: view(table, page: page)

  def event("order_by", %{"key" => key, "direction" => direction}, table, _reply) do
    order = key && %{key: String.to_integer(key), direction: String.to_existing_atom(direction)}
    view(table, order: order, page: 1)
  end

  def event("download", %{"format" => format}, table, reply) do
    {:ok, file} = table.module.export_data(spec(table), table.state, format)
    info = %{filename: table.info.name, type: file.type, format: file.extension}
    reply.("download_content", {:binary, info, file.data})
    table
  end

  def export(table), do: table.export.(table.state)

  defp view(table, changes), do: load(%{table | view: Map.merge(table.view, Map.new(changes))})

  defp load(table) do
    {:ok, data, state} = table.module.get_data(spec(table), table.state)
    %{columns: columns, data: {:rows, rows}, total_rows: total} = data
    # The real one knows columns by numbers too, given in their order.
    columns = for {column, n} <- Enum.with_index(columns), do: %{column | key: "#{n}"}
    columns = Enum.map(columns, &Map.put_new(&1, :type, "text"))

    content =
      Map.merge(table.view, %{
        columns: columns,
        data: rows,
        data_orientation: :rows,
        total_rows: total,
        max_page: ceil(total / table.view.limit)
      })

    %{table | state: state, content: content}
  end

  defp spec(%{view: view}) do
    %{offset: (view.page - 1) * view.limit, limit: view.limit, order: view.order, relocates: []}
  end
end
