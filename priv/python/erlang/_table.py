"""Data frames, read a few rows at a time.

What is asked for is found by position: names of columns may be anything, and the same twice.
"""

import sys

#: Characters of a cell's text, and columns of a frame. A page is for reading.
CELL = 1_000
COLUMNS = 1_000


def is_table(value):
    return _adapter(value) is not None


def title(value):
    columns = _adapter(value).width()
    name = type(value).__name__
    if columns > COLUMNS:
        return "%s, the first %d of %d columns" % (name, COLUMNS, columns)
    return name


def shape(value):
    """The names of the columns, made unique, and the number of rows; nothing if it is no table."""
    table = _adapter(value)
    if table is None:
        return None
    return (_unique(_text(label) for label, _kind in table.columns()), table.height())


def page(value, offset, limit, positions=None):
    """The columns with their kinds, some rows as texts, and the number of rows."""
    table = _adapter(value)
    columns = [(_text(label), kind) for label, kind in table.columns()]
    rows = [[_text(cell, table.missing) for cell in row] for row in table.rows(offset, limit, positions)]
    return (columns, rows, table.height())


def rows(value, offset, limit):
    """Some rows as values."""
    table = _adapter(value)
    return [[table.plain(cell) for cell in row] for row in table.rows(offset, limit, None)]


def order(value, column, ascending):
    """The positions of the rows in another order: made once, for all pages."""
    return _adapter(value).order(column, ascending)


def fits(positions, value):
    """Whether they are still those of the table, which may have changed."""
    return len(positions) == _adapter(value).height()


def csv(value, positions):
    return _adapter(value).csv(positions)


def _unique(labels):
    seen = {}
    unique = []
    for label in labels:
        name = label
        while name in seen:
            seen[label] += 1
            name = "%s.%d" % (label, seen[label])
        seen.setdefault(name, 0)
        unique.append(name)
    return unique


def _text(cell, missing="None"):
    if cell is None:
        return missing
    # Of the floats, only what is not a number is not itself.
    text = "NaN" if isinstance(cell, float) and cell != cell else str(cell)
    if len(text) > CELL:
        text = text[:CELL] + "…"
    return text.encode("utf-8", "replace").decode("utf-8")


def _adapter(value):
    # What is not imported has no instances; an import could take its time.
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        if isinstance(value, getattr(pandas, "DataFrame", ())):
            return _Pandas(value)
        if isinstance(value, getattr(pandas, "Series", ())):
            return _Pandas(value.to_frame("" if value.name is None else value.name))
    polars = sys.modules.get("polars")
    if polars is not None:
        if isinstance(value, getattr(polars, "DataFrame", ())):
            return _Polars(value)
        if isinstance(value, getattr(polars, "Series", ())):
            return _Polars(value.to_frame())
    return None


class _Pandas:
    missing = "None"

    def __init__(self, frame):
        self._frame = frame
        self._levels = 0 if self._only_counts(frame.index) else frame.index.nlevels

    @staticmethod
    def _only_counts(index):
        """An index that counts says nothing. A frame that grows may count in another way."""
        if index.name is not None or index.nlevels > 1:
            return False
        if type(index).__name__ == "RangeIndex":
            return True
        counting = sys.modules["pandas"].RangeIndex(len(index))
        return getattr(index.dtype, "kind", None) == "i" and index.equals(counting)

    def height(self):
        return len(self._frame)

    def width(self):
        return self._levels + self._frame.shape[1]

    def columns(self):
        index = self._frame.index
        levels = [index.get_level_values(level) for level in range(self._levels)]
        columns = [("" if level.name is None else level.name, _kind(level.dtype)) for level in levels]
        labels = self._frame.columns[: COLUMNS - len(columns)]
        dtypes = self._frame.dtypes.iloc[: len(labels)]
        return columns + [(_label(label), _kind(dtype)) for label, dtype in zip(labels, dtypes)]

    def rows(self, offset, limit, positions):
        if positions is None:
            part = self._frame.iloc[offset : offset + limit]
        else:
            part = self._frame.iloc[positions[offset : offset + limit]]
        part = part.iloc[:, : COLUMNS - self._levels]
        levels = [list(part.index.get_level_values(level)) for level in range(self._levels)]
        columns = [list(part.iloc[:, column]) for column in range(part.shape[1])]
        return [list(row) for row in zip(*(levels + columns))] if levels + columns else []

    def order(self, column, ascending):
        import pandas

        if column < self._levels:
            values = self._frame.index.get_level_values(column)
        else:
            values = self._frame.iloc[:, column - self._levels].array
        values = pandas.Series(values)
        options = {"ascending": ascending, "kind": "stable", "na_position": "last"}
        try:
            ordered = values.sort_values(**options)
        except TypeError:
            # Values of several types know no order among them.
            ordered = values.astype(str).sort_values(**options)
        return ordered.index.to_numpy()

    @staticmethod
    def plain(cell):
        """What stands for a missing value depends on the column's type, and is nothing outside."""
        if cell is None or type(cell).__name__ in ("NaTType", "NAType"):
            return None
        if isinstance(cell, float) and cell != cell:
            return None
        if hasattr(cell, "to_pydatetime"):
            # Those have no nanoseconds, and warn of those that they drop.
            return cell.floor("us").to_pydatetime()
        return cell

    def csv(self, positions):
        frame = self._frame if positions is None else self._frame.iloc[positions]
        return frame.to_csv(index=self._levels > 0)


def _label(label):
    """The labels of a column under several headings are a tuple."""
    return " / ".join(str(part) for part in label) if isinstance(label, tuple) else label


def _kind(dtype):
    return {"i": "number", "u": "number", "f": "number", "c": "number", "M": "date"}.get(
        getattr(dtype, "kind", None)
    )


class _Polars:
    missing = "null"

    def __init__(self, frame):
        self._frame = frame

    def height(self):
        return self._frame.height

    def width(self):
        return self._frame.width

    def columns(self):
        return [(label, self._kind(dtype)) for label, dtype in list(self._frame.schema.items())[:COLUMNS]]

    @staticmethod
    def _kind(dtype):
        if dtype.is_numeric():
            return "number"
        return "date" if dtype.is_temporal() and str(dtype).startswith("Date") else None

    def rows(self, offset, limit, positions):
        part = self._frame if positions is None else self._frame[positions[offset : offset + limit]]
        if positions is None:
            part = part.slice(offset, limit)
        return [list(row[:COLUMNS]) for row in part.rows()]

    def order(self, column, ascending):
        import polars

        values = self._frame.to_series(column)
        # There is no order among these, and asking for it is a panic.
        if values.dtype == polars.Object or values.dtype.is_nested():
            texts = [None if value is None else str(value) for value in values.to_list()]
            values = polars.Series(texts, dtype=polars.Utf8)
        return values.arg_sort(descending=not ascending, nulls_last=True)

    @staticmethod
    def plain(cell):
        return cell

    def csv(self, positions):
        return (self._frame if positions is None else self._frame[positions]).write_csv()
