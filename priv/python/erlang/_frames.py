"""Data frames: where their columns are, and frames made from columns.

The cells are converted by the native library, which is told what there is: see ``described``.
"""

import collections

from erlang._arrays import Refused, loaded, name_of


# To Elixir


def described(frame):
    """Where the cells are.

    A capsule with a stream of Arrow's, or a list of ``(name, kind, items, unit)``; the items of the kind ``arrow`` are
    such a capsule with one column, and those of ``objects`` a list. A text says why there is nothing.
    """
    try:
        return _described(frame)
    except Refused as refused:
        return str(refused)


def _described(frame):
    pandas = loaded("pandas", "DataFrame")
    if pandas is not None:
        if isinstance(frame, pandas.Series):
            frame = frame.to_frame()
        if isinstance(frame, pandas.DataFrame):
            return _of_pandas(pandas, frame)
    if _is_lazy(frame):
        raise Refused("expected a data frame, got: a lazy one, whose rows are not there yet; call its collect()")
    if hasattr(frame, "__arrow_c_stream__"):
        return frame.__arrow_c_stream__()
    pyarrow = _pyarrow()
    if hasattr(frame, "__arrow_c_array__") and pyarrow is not None:
        return pyarrow.Table.from_batches([pyarrow.record_batch(frame)]).__arrow_c_stream__()
    if hasattr(frame, "fetchall") and hasattr(frame, "columns"):
        return _of_relation(frame)
    if hasattr(frame, "__dataframe__"):
        return _of_interchange(frame, pyarrow)
    raise Refused(
        "expected a data frame of pandas, polars or pyarrow, a relation of duckdb or an object with __arrow_c_stream__ or "
        "__dataframe__, got: an object of the class %s" % name_of(frame)
    )


def _is_lazy(frame):
    polars = loaded("polars", "LazyFrame")
    return polars is not None and isinstance(frame, polars.LazyFrame)


def _of_relation(relation):
    """Of older versions of duckdb."""
    rows = relation.fetchall()
    columns = list(zip(*rows)) or [()] * len(relation.columns)
    return [(name, "objects", list(items), None) for name, items in zip(relation.columns, columns)]


def _of_interchange(frame, pyarrow):
    if pyarrow is not None:
        from pyarrow import interchange

        return interchange.from_dataframe(frame).__arrow_c_stream__()
    try:
        import pandas
    except ModuleNotFoundError:
        raise Refused("a frame with __dataframe__ alone needs pyarrow or pandas, and neither is installed")
    from pandas.api.interchange import from_dataframe

    return _of_pandas(pandas, from_dataframe(frame))


def _of_pandas(pandas, frame):
    import numpy

    return [
        (_label(label),) + _of_series(pandas, numpy, frame.iloc[:, position])
        for position, label in enumerate(frame.columns)
    ]


def _label(label):
    return label if type(label) is str else str(label)


def _of_series(pandas, numpy, series):
    dtype = series.dtype
    if isinstance(dtype, numpy.dtype):
        if dtype.kind in "biuf" and dtype.itemsize <= 8:
            return "numbers", series.to_numpy(), None
        if dtype.kind in "mM":
            values, unit = _with_unit(numpy, series.to_numpy())
            return ("moments" if dtype.kind == "M" else "spans"), values, unit
    elif isinstance(dtype, pandas.DatetimeTZDtype):
        values, unit = _with_unit(numpy, series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
        return "utc", values, unit
    pyarrow = _pyarrow()
    if pyarrow is not None and _is_of_one_kind(pandas, series):
        try:
            column = pyarrow.array(series, from_pandas=True)
            return "arrow", pyarrow.table([column], [""]).__arrow_c_stream__(), None
        except (pyarrow.ArrowException, AttributeError, TypeError):
            # What it has no type for.
            pass
    missing = series.isna().tolist()
    items = series.astype(object).tolist()
    return "objects", [None if gone else item for item, gone in zip(items, missing)], None


def _with_unit(numpy, values):
    unit = numpy.datetime_data(values.dtype)[0]
    if unit not in ("s", "ms", "us", "ns"):
        values, unit = values.astype("%s8[s]" % values.dtype.kind), "s"
    return values.view("int64"), unit


def _is_of_one_kind(pandas, series):
    """Whether Arrow has the items as they are: what is mixed it would give a common type."""
    if series.dtype != object:
        return not isinstance(series.dtype, (pandas.PeriodDtype, pandas.IntervalDtype, pandas.SparseDtype))
    return pandas.api.types.infer_dtype(series, skipna=True) in ("string", "bytes", "date", "empty")


def _pyarrow():
    try:
        import pyarrow
    except ImportError:
        return None
    return pyarrow


# To Python


# The cells of one kind: the bits of those that are present, or None; their data; and where texts begin.
_Packed = collections.namedtuple("_Packed", "kind length missing present data places")


def made(library, names, columns):
    """A frame of columns: ``(False, items)``, or ``(True, parts)`` with cells that are packed."""
    columns = [_Packed(*column) if is_packed else column for is_packed, column in columns]
    if library == "pandas":
        import pandas

        return pandas.DataFrame({name: _for_pandas(column) for name, column in zip(names, columns)})
    pyarrow = _pyarrow()
    if pyarrow is None and library == "polars":
        import polars

        return polars.DataFrame({name: _unpacked(column) for name, column in zip(names, columns)})
    import pyarrow

    if library == "polars":
        import polars

        # What it makes of objects is its own: Arrow has types that it has not.
        return polars.DataFrame([_for_polars(polars, pyarrow, *column) for column in zip(names, columns)])
    return _of_arrow(library, pyarrow.table({name: _for_arrow(pyarrow, column) for name, column in zip(names, columns)}))


def _for_pandas(column):
    if type(column) is not _Packed:
        return column
    # Floats that are missing are NaN, and columns of others with something missing are pandas' to decide.
    if column.kind != "f" and column.missing:
        return _unpacked(column)
    import numpy

    return numpy.frombuffer(column.data, {"i": "i8", "f": "f8", "b": "?"}[column.kind])


def _for_polars(polars, pyarrow, name, column):
    if type(column) is not _Packed:
        return polars.Series(name, column)
    return polars.from_arrow(_for_arrow(pyarrow, column)).alias(name)


def _for_arrow(pyarrow, column):
    if type(column) is not _Packed:
        return pyarrow.array(column)
    kind, length, missing, present, data, places = column
    if kind == "b":
        column = pyarrow.Array.from_buffers(pyarrow.uint8(), length, _buffers(pyarrow, present, data), missing)
        return column.cast(pyarrow.bool_())
    if kind == "u":
        texts = pyarrow.Array.from_buffers(
            pyarrow.large_string(), length, _buffers(pyarrow, present, places, data), missing
        )
        # As its own constructor makes them, where they fit.
        return texts.cast(pyarrow.string()) if len(data) < 2**31 else texts
    dtype = pyarrow.int64() if kind == "i" else pyarrow.float64()
    return pyarrow.Array.from_buffers(dtype, length, _buffers(pyarrow, present, data), missing)


def _buffers(pyarrow, *parts):
    return [None if part is None else pyarrow.py_buffer(part) for part in parts]


def _unpacked(column):
    """The cells as a list."""
    if type(column) is not _Packed:
        return column
    import array

    kind, length, _missing, present, data, places = column
    if kind == "u":
        places = array.array("q", bytes(places))
        items = [str(data[places[at] : places[at + 1]], "utf-8") for at in range(length)]
    elif kind == "b":
        items = [item == 1 for item in data]
    else:
        items = array.array("q" if kind == "i" else "d", bytes(data)).tolist()
    if present is None:
        return items
    return [item if present[at >> 3] >> (at & 7) & 1 else None for at, item in enumerate(items)]


def _of_arrow(library, table):
    if library == "pandas":
        return table.to_pandas()
    if library == "polars":
        import polars

        return polars.from_arrow(table)
    if library == "duckdb":
        import duckdb

        return duckdb.from_arrow(table)
    return table


def to_ipc(frame):
    """The frame as Arrow's IPC stream."""
    polars = loaded("polars", "DataFrame")
    if polars is not None and isinstance(frame, polars.DataFrame) and hasattr(polars, "CompatLevel"):
        # With the types that all readers know.
        return frame.write_ipc_stream(None, compat_level=polars.CompatLevel.oldest()).getbuffer()
    import pyarrow

    table = _to_arrow(pyarrow, frame)
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


def _to_arrow(pyarrow, frame):
    if isinstance(frame, pyarrow.Table):
        return frame
    pandas = loaded("pandas", "DataFrame")
    if pandas is not None and isinstance(frame, pandas.DataFrame):
        return pyarrow.Table.from_pandas(frame, preserve_index=False)
    if isinstance(frame, pyarrow.RecordBatch):
        return pyarrow.Table.from_batches([frame])
    if hasattr(frame, "__arrow_c_stream__"):
        return pyarrow.RecordBatchReader.from_stream(frame).read_all()
    for name in ("fetch_arrow_table", "to_arrow"):
        if hasattr(frame, name):
            return getattr(frame, name)()
    from pyarrow import interchange

    return interchange.from_dataframe(frame)


def from_ipc(library, data):
    """The frame of an IPC stream, or of an IPC file."""
    is_file = bytes(data[:6]) == b"ARROW1"
    if library == "polars":
        import io

        import polars

        return (polars.read_ipc if is_file else polars.read_ipc_stream)(io.BytesIO(data))
    import pyarrow

    opened = pyarrow.ipc.open_file if is_file else pyarrow.ipc.open_stream
    return _of_arrow(library, opened(data).read_all())


def of_explorer(data):
    """The frame of a data frame of Explorer's, or a text that says why there is none."""
    for library in ("polars", "pyarrow"):
        try:
            return from_ipc(library, data)
        except ModuleNotFoundError:
            pass
    return "a data frame of Explorer becomes one of polars, or a table of pyarrow, and neither is installed"
