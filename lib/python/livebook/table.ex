defmodule Python.Livebook.Table do
  @moduledoc false

  # A data frame as a table: the behaviour Kino.Table, whose process asks Python for the page that is
  # looked at. Cells are texts that Python makes, as the user of a data frame knows them.
  #
  # Those callbacks must return data, or the process ends and the table is gone. So what fails is
  # shown in the table's place.

  alias Python.{Livebook, Options}

  @formats %{"CSV" => %{extension: "csv", type: "text/csv", function: :csv}}

  defstruct [:object, :order, :positions]

  @doc "The kino of a data frame."
  def new(object) do
    apply(Kino.Table, :new, [__MODULE__, object, [export: &{"text", inspect(&1.object)}]])
  end

  ## Kino.Table

  def init(object) do
    info = %{
      name: Livebook.table!(:title, [object]),
      features: [:export, :pagination, :sorting],
      export: %{formats: Map.keys(@formats)}
    }

    {:ok, info, %__MODULE__{object: object}}
  end

  def get_data(spec, state) do
    with {:ok, state} <- order(state, spec.order),
         {:ok, {columns, rows, total}} <-
           Livebook.table(:page, [state.object, spec.offset, spec.limit, state.positions]) do
      {:ok, %{columns: columns(columns), data: {:rows, rows}, total_rows: total}, state}
    else
      {:error, error} -> {:ok, failed(error), state}
    end
  end

  def export_data(spec, state, name) do
    format = Map.fetch!(@formats, name)

    with {:ok, state} <- order(state, spec.order),
         {:ok, data} <- Livebook.table(format.function, [state.object, state.positions]) do
      {:ok, %{data: data, extension: format.extension, type: format.type}}
    else
      {:error, error} ->
        {:ok, %{data: Exception.message(error), extension: "txt", type: "text/plain"}}
    end
  end

  # Sorted once for all pages, and again when the frame has got more rows, or fewer.
  defp order(state, nil), do: {:ok, %{state | order: nil, positions: nil}}

  defp order(%{order: order, positions: positions} = state, order) do
    case Livebook.table(:fits, [positions, state.object]) do
      {:ok, true} -> {:ok, state}
      _ -> sort(state, order)
    end
  end

  defp order(state, order), do: sort(state, order)

  defp sort(state, %{key: column, direction: direction} = order) do
    arguments = [state.object, column, direction == :asc]

    with {:ok, positions} <- Livebook.table(:order, arguments, %Options{return: :object}) do
      {:ok, %{state | order: order, positions: positions}}
    end
  end

  defp columns(columns) do
    for {{label, kind}, key} <- Enum.with_index(columns) do
      column = %{key: key, label: label}
      # Without a type, Kino guesses it from the first row.
      if kind, do: Map.put(column, :type, kind), else: column
    end
  end

  defp failed(error) do
    %{
      columns: [%{key: :error, label: "This table cannot be shown", type: "text"}],
      data: {:rows, [[Exception.message(error)]]},
      total_rows: 1
    }
  end
end
