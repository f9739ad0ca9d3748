"""Data frames: where their columns are, and frames made from columns.

The cells are converted by the native library, which is told what there is: see ``described``.
"""

import sys


class _Refused(Exception):
    pass


def _loaded(module, name):
    """A module that has this name already: another thread may be importing it."""
    module = sys.modules.get(module)
    return module if hasattr(module, name) else None


# To Elixir


def described(frame):
    """Where the cells are.

    A capsule with a stream of Arrow's, or a list of ``(name, kind, items, unit)``; the items of the kind ``arrow`` are
    such a capsule with one column, and those of ``objects`` a list. A text says why there is nothing.
    """
    try:
        return _described(frame)
    except _Refused as refused:
        return str(refused)


def _described(frame):
    pandas = _loaded("pandas", "DataFrame")
    if pandas is not None:
        if isinstance(frame, pandas.Series):
            frame = frame.to_frame()
        if isinstance(frame, pandas.DataFrame):
            return _of_pandas(pandas, frame)
    if _is_lazy(frame):
        raise _Refused("expected a data frame, got: a lazy one, whose rows are not there yet; call its collect()")
    if hasattr(frame, "__arrow_c_stream__"):
        return frame.__arrow_c_stream__()
    pyarrow = _pyarrow()
    if hasattr(frame, "__arrow_c_array__") and pyarrow is not None:
        return pyarrow.Table.from_batches([pyarrow.record_batch(frame)]).__arrow_c_stream__()
    if hasattr(frame, "fetchall") and hasattr(frame, "columns"):
        return _of_relation(frame)
    if hasattr(frame, "__dataframe__"):
        return _of_interchange(frame, pyarrow)
    raise _Refused(
        "expected a data frame of pandas, polars or pyarrow, a relation of duckdb or an object with __arrow_c_stream__ or "
        "__dataframe__, got: an object of the class %s" % _name(frame)
    )


def _is_lazy(frame):
    polars = _loaded("polars", "LazyFrame")
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
        raise _Refused("a frame with __dataframe__ alone needs pyarrow or pandas, and neither is installed")
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


def _name(object):
    kind = type(object)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else "%s.%s" % (module, kind.__qualname__)


# To Python


def made(library, names, columns):
    return _of_columns(library, dict(zip(names, columns)))


def _of_columns(library, columns):
    if library == "pandas":
        import pandas

        return pandas.DataFrame(columns)
    if library == "polars":
        import polars

        return polars.DataFrame(columns)
    import pyarrow

    table = pyarrow.table(columns)
    return _of_arrow(library, table)


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
    polars = _loaded("polars", "DataFrame")
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
    pandas = _loaded("pandas", "DataFrame")
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
