defmodule Python.Table do
  @moduledoc """
  The columns and rows of data frames: of pandas, polars, pyarrow and duckdb, and of whatever has `__arrow_c_stream__` or
  `__dataframe__`.

      frame = Python.call!(:pandas, :read_csv, ["sales.csv"])
      Python.Table.columns!(frame)
      #=> [{"item", ["tea", "milk"]}, {"price", [2.5, nil]}]
      Python.Table.rows!(frame)
      #=> [%{"item" => "tea", "price" => 2.5}, %{"item" => "milk", "price" => nil}]
      Python.Table.new!([item: ["tea"], price: [2.5]], as: :polars)

  | cell | in Elixir |
  |---|---|
  | missing: `None`, `NaT`, `NA`, null | `nil` |
  | NaN | `:nan`, or `nil` with the option `nan: nil`. In a column of pandas that is not one of numbers it is missing |
  | integer, float, boolean | the same |
  | text, bytes, a category | a binary |
  | date, time, timestamp | `Date`, `Time`, `NaiveDateTime`; one with a zone is a `DateTime` in UTC. What is less than a µs is dropped |
  | duration | an integer in µs, or in the unit that `decode: [timedelta: :milliseconds]` says |
  | decimal | `Decimal`, if that package is loaded; an integer if the column has no digits after the point |
  | list, struct, map | a list, a map with strings as keys, a map |
  | another object in a column of pandas | as in `Python.call/4` |

  Columns are named by strings: other labels of pandas become their text. The index of a data frame of pandas is left out: call
  its `reset_index` to have it.

  Whole columns are read from memory, so this is faster than `to_dict` in Python, whose objects would then be converted. A
  cell that has no counterpart is a `Python.DecodeError` with the name of its column.

  A data frame of the package Explorer can be an argument: it becomes a data frame of polars, or else a table of pyarrow.
  """

  alias Python.{Arguments, Buffer, Engine, Error, Home, Object, Operation, Options, Request}
  alias Python.Engine.Native

  @libraries [:pandas, :polars, :pyarrow, :duckdb]
  @module "erlang._frames"

  # So many columns are packed at once. The cells of more would not be in the cache together.
  @beside 16

  @type columns :: [{String.t(), [term]}]
  @type row :: %{String.t() => term}
  @type library :: :pandas | :polars | :pyarrow | :duckdb

  @doc """
  Returns the columns of a data frame in order, `{:ok, [{name, cells}]}` or `{:error, exception}`.

  ## Options

  Those of `Python.to_term/2`, and:

    * `:nan` - what NaN becomes: `:nan`, the default, or `nil`.
    * `:decode` - with `[timedelta: unit]`, the unit of durations: `:microseconds`, the default, `:milliseconds` or `:seconds`.

  ## Examples

      iex> frame = Python.Table.new!([item: ["tea", "milk"], price: [2.5, nil]], as: :polars)
      iex> Python.Table.columns(frame)
      {:ok, [{"item", ["tea", "milk"]}, {"price", [2.5, nil]}]}
  """
  @spec columns(Object.t(), keyword) :: {:ok, columns} | {:error, Exception.t()}
  def columns(frame, opts \\ []), do: read(frame, opts, false)

  @doc """
  Returns the columns of a data frame, or raises the exception. Takes the options of `columns/2`.

  ## Examples

      iex> frame = Python.Table.new!([a: [0.5, :nan]], as: :pandas)
      iex> Python.Table.columns!(frame, nan: nil)
      [{"a", [0.5, nil]}]
  """
  @spec columns!(Object.t(), keyword) :: columns
  def columns!(frame, opts \\ []), do: Error.value!(columns(frame, opts))

  @doc """
  Returns the rows of a data frame, `{:ok, [%{name => cell}]}` or `{:error, exception}`. Takes the options of `columns/2`.

  Two columns of the same name are a `Python.DecodeError`, as one would be lost.

  ## Examples

      iex> frame = Python.Table.new!([item: ["tea", "milk"], since: [~D[2020-01-01], nil]], as: :polars)
      iex> Python.Table.rows(frame)
      {:ok, [%{"item" => "tea", "since" => ~D[2020-01-01]}, %{"item" => "milk", "since" => nil}]}
  """
  @spec rows(Object.t(), keyword) :: {:ok, [row]} | {:error, Exception.t()}
  def rows(frame, opts \\ []), do: read(frame, opts, true)

  @doc """
  Returns the rows of a data frame, or raises the exception. Takes the options of `columns/2`.

  ## Examples

      iex> Python.Table.rows!(Python.Table.new!([a: [1, 2]], as: :pandas))
      [%{"a" => 1}, %{"a" => 2}]
  """
  @spec rows!(Object.t(), keyword) :: [row]
  def rows!(frame, opts \\ []), do: Error.value!(rows(frame, opts))

  @doc """
  Makes a data frame. Returns `{:ok, object}` or `{:error, exception}`.

  The data are columns, a list of `{name, cells}` or a map of names and cells, or rows, a list of maps, in which `nil` stands for keys
  that a row does not have. Names are atoms or strings. The cells of a column are a list, or a `Python.Array` or
  `Nx.Tensor` of one dimension, which is not copied where the library can use its memory.

  ## Options

    * `:as` - the library of the data frame: `:pandas`, `:polars`, `:pyarrow`, or `:duckdb`, a relation, for which pyarrow has
      to be installed too. Must be given.

  The others are those of `Python.to_object/2`. Invalid data raise `ArgumentError`.

  ## Examples

      iex> {:ok, frame} = Python.Table.new([%{item: "tea", price: 3}, %{item: "milk"}], as: :polars)
      iex> Python.Table.columns!(frame)
      [{"item", ["tea", "milk"]}, {"price", [3, nil]}]
  """
  @spec new(columns | keyword | map | [map], keyword) ::
          {:ok, Object.t()} | {:error, Exception.t()}
  def new(data, opts) do
    columns = columns_of(data)
    names = Enum.map(columns, &elem(&1, 0))

    call(:made, opts, fn library, options ->
      [library, names, packed(columns, library, options)]
    end)
  end

  @doc """
  Makes a data frame, or raises the exception. Takes the data and the options of `new/2`.

  ## Examples

      iex> frame = Python.Table.new!(%{"price" => [3, 2]}, as: :pandas)
      iex> Python.call!(frame["price"], :sum)
      5
  """
  @spec new!(columns | keyword | map | [map], keyword) :: Object.t()
  def new!(data, opts), do: Error.value!(new(data, opts))

  @doc """
  Returns a data frame as an IPC stream of Arrow's, `{:ok, binary}` or `{:error, exception}`.

  It is for `Explorer.DataFrame.load_ipc_stream/1`, ADBC and files. Needs pyarrow, but for data frames of polars. The
  options are those of `Python.to_term/2`.

  ## Examples

      iex> {:ok, ipc} = Python.Table.to_ipc(Python.Table.new!([a: [1, 2]], as: :polars))
      iex> is_binary(ipc)
      true
  """
  @spec to_ipc(Object.t(), keyword) :: {:ok, binary} | {:error, Exception.t()}
  def to_ipc(frame, opts \\ []) do
    Arguments.handle!(frame)
    options = opts |> Options.call(:object) |> Home.options(frame)
    Request.run(Operation.call(@module, :to_ipc, [frame], %{}), options)
  end

  @doc """
  Returns a data frame as an IPC stream of Arrow's, or raises the exception. Takes the options of `to_ipc/2`.

  ## Examples

      iex> is_binary(Python.Table.to_ipc!(Python.Table.new!([a: [1, 2]], as: :polars)))
      true
  """
  @spec to_ipc!(Object.t(), keyword) :: binary
  def to_ipc!(frame, opts \\ []), do: Error.value!(to_ipc(frame, opts))

  @doc """
  Makes a data frame of an IPC stream, or of an IPC file, of Arrow's. Returns `{:ok, object}` or `{:error, exception}`.

  Tables of pyarrow use the memory of the binary, without a copy. Takes the options of `new/2`.

  ## Examples

      iex> ipc = Python.Table.to_ipc!(Python.Table.new!([a: [1, 2]], as: :polars))
      iex> {:ok, frame} = Python.Table.from_ipc(ipc, as: :polars)
      iex> Python.Table.columns!(frame)
      [{"a", [1, 2]}]
  """
  @spec from_ipc(binary, keyword) :: {:ok, Object.t()} | {:error, Exception.t()}
  def from_ipc(data, opts) when is_binary(data) do
    call(:from_ipc, opts, fn library, _options -> [library, Python.buffer(data)] end)
  end

  def from_ipc(other, _opts) do
    raise ArgumentError, "expected an IPC stream, a binary, got: #{Arguments.short(other)}"
  end

  @doc """
  Makes a data frame of an IPC stream, or raises the exception. Takes the options of `new/2`.

  ## Examples

      iex> ipc = Python.Table.to_ipc!(Python.Table.new!([a: [1, 2]], as: :polars))
      iex> Python.Table.from_ipc!(ipc, as: :polars) |> Python.Table.rows!()
      [%{"a" => 1}, %{"a" => 2}]
  """
  @spec from_ipc!(binary, keyword) :: Object.t()
  def from_ipc!(data, opts), do: Error.value!(from_ipc(data, opts))

  defp read(frame, opts, by_rows) do
    Arguments.handle!(frame)
    options = opts |> Options.call(:table) |> Home.options(frame)
    Request.run(Operation.table(frame, by_rows, options.nan == nil), options)
  end

  defp call(function, opts, arguments) do
    options = Options.call(opts, :frame)

    unless options.as do
      raise ArgumentError,
            "expected the option :as to be the library of the data frame, one of #{Arguments.list(@libraries)}, got: none"
    end

    arguments = arguments.(Atom.to_string(options.as), options)
    Request.run(Operation.call(@module, function, arguments, %{}), %{options | return: :object})
  end

  # `{is_packed, cells}` for each column. Packed here and not where Python is: a list would be copied on its way there, and
  # memory is not.
  defp packed(columns, library, options) do
    native = native()
    outside = not in_this_vm?(native, options)
    # pandas looks at texts one by one, whatever they come as, and writes to what it has.
    for_pandas = library == "pandas"

    columns
    |> Enum.chunk_every(@beside)
    |> Enum.flat_map(&(&1 |> begin_packing(native, not for_pandas) |> pack(native, outside)))
    |> Enum.zip(columns)
    |> Enum.map(fn
      {{kind, length, missing, present, data, places}, _column} ->
        {true,
         {kind, length, missing, view(present, false), view(data, for_pandas),
          view(places, false)}}

      {nil, {_name, cells} = column} ->
        # Lists that are packed have been looked at.
        if is_list(cells) and not proper?(cells), do: refuse(column)
        {false, cells}
    end)
  end

  defp native do
    case Native.any() do
      {:ok, native} -> native
      _none -> nil
    end
  end

  defp view(nil, _copy), do: nil
  defp view(bytes, copy), do: %Buffer{data: bytes, copy: copy}

  # Python here takes the memory as it is. Elsewhere, binaries are known.
  defp in_this_vm?(:erlang_python, %{pool: pool} = options) when not is_tuple(pool) do
    match?({engine, _, _} when engine in [Engine.Asyncio, Engine.Main], Home.lookup(options))
  end

  defp in_this_vm?(_native, _options), do: false

  defp begin_packing(columns, native, texts) do
    room = Enum.find_value(columns, 0, fn {_name, cells} -> is_list(cells) and size(cells) end)

    for {_name, cells} <- columns do
      if native != nil and is_list(cells), do: {native.table_begin(room, texts), cells}
    end
  end

  # Some cells of each column in turn: lists that were collected together lie among each other, and their memory takes
  # longer to arrive than to be read.
  defp pack(packings, native, outside) do
    if Enum.all?(packings, &(&1 == nil or elem(&1, 1) == [])) do
      Enum.map(packings, &(&1 && native.table_end(elem(&1, 0), outside)))
    else
      packings |> Enum.map(&add(&1, native)) |> pack(native, outside)
    end
  end

  defp add({packing, [_ | _] = cells}, native) do
    rest = native.table_add(packing, cells)
    rest && {packing, rest}
  end

  defp add(other, _native), do: other

  defp size(cells) do
    length(cells)
  rescue
    # An improper list.
    ArgumentError -> 0
  end

  # Rows have the columns that any of them has, in the order in which they come up.
  defp columns_of([%{} = row | _] = rows) when not is_struct(row) do
    unless Enum.all?(rows, &(is_map(&1) and not is_struct(&1))) do
      refuse(Enum.find(rows, &(not is_map(&1) or is_struct(&1))))
    end

    names = rows |> Enum.flat_map(&Map.keys/1) |> Enum.uniq()
    named(for name <- names, do: {name, Enum.map(rows, &Map.get(&1, name))})
  end

  defp columns_of(columns) when is_map(columns) and not is_struct(columns),
    do: columns |> Enum.to_list() |> named()

  defp columns_of(columns) when is_list(columns) do
    if List.improper?(columns), do: refuse(columns)
    named(columns)
  end

  defp columns_of(other), do: refuse(other)

  defp named(columns) do
    columns = Enum.map(columns, &column/1)

    case columns -- Enum.uniq_by(columns, &elem(&1, 0)) do
      [] ->
        columns

      [{name, _} | _] ->
        raise ArgumentError,
              "expected columns of different names, got: two with the name #{inspect(name)}"
    end
  end

  defp column({name, cells}) when is_atom(name) and name not in [nil, true, false],
    do: column({Atom.to_string(name), cells})

  defp column({name, cells} = column) when is_binary(name) do
    cond do
      not String.valid?(name) -> refuse(column)
      is_list(cells) -> column
      is_struct(cells, Python.Array) or is_struct(cells, Nx.Tensor) -> column
      is_struct(cells, Object) -> column
      is_struct(cells, Range) -> {name, Enum.to_list(cells)}
      true -> refuse(column)
    end
  end

  defp column(other), do: refuse(other)

  # `length/1` fails in a guard for what is no list, and for an improper one.
  defp proper?(cells) when length(cells) >= 0, do: true
  defp proper?(_cells), do: false

  @spec refuse(term) :: no_return
  defp refuse(given) do
    raise ArgumentError,
          "expected the data of a table, either columns, a list of {name, cells} or a map of names and cells, or rows, a list of " <>
            "maps; names are atoms or strings, cells are lists; got: #{Arguments.short(given)}"
  end
end
