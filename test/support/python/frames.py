"""Data frames of all types of columns, and what is in them as plain Python has it."""

import datetime
import decimal
import random
import sys

KINDS = [
    "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64", "Boolean", "String", "Binary",
    "Date", "Time", "Datetime", "Zoned", "Duration", "Decimal", "Categorical", "Enum", "List", "Array", "Struct", "Null", "Nested",
]

# The polars of Python 3.8 has no objects with zones without a further package, and gives Arrow wrong places for parts of
# nested columns.
OLD = sys.version_info < (3, 9)
if OLD:
    KINDS.remove("Zoned")


def random_polars(seed):
    import polars as pl

    chance = random.Random(seed)
    rows = chance.choice([0, 1, 2, 7, 8, 9, 100])
    missing = chance.choice([0, 0.3, 1])
    columns = {}
    for number in range(chance.randint(1, 6)):
        kind = chance.choice(KINDS)
        dtype, item = _of_kind(pl, chance, kind)
        items = [None if chance.random() < missing else item() for _ in range(rows)]
        columns["%s %d" % (kind, number)] = pl.Series(items, dtype=dtype)
    frame = pl.DataFrame(columns)
    # Parts of others, and several pieces.
    if rows > 3 and not OLD and chance.random() < 0.5:
        frame = frame.slice(chance.randint(0, 3))
    if chance.random() < 0.3:
        frame = pl.concat([frame, frame], rechunk=False)
    return frame, chance


def _of_kind(pl, chance, kind):
    text = lambda: "".join(chance.choice("abcäß☃ ") for _ in range(chance.choice([0, 1, 5, 12, 13, 40])))  # noqa: E731
    moment = lambda: datetime.datetime(1900, 1, 1) + datetime.timedelta(microseconds=chance.randint(0, 10**16))  # noqa: E731
    unit = chance.choice(["ms", "us", "ns"])
    bits = int(kind.lstrip("UIntFloat")) if kind[-1].isdigit() else 0
    if kind.startswith("Int"):
        return getattr(pl, kind), lambda: chance.randint(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if kind.startswith("UInt"):
        return getattr(pl, kind), lambda: chance.randint(0, 2**bits - 1)
    if kind.startswith("Float"):
        return getattr(pl, kind), lambda: chance.choice([chance.random(), float("nan"), float("inf"), -0.5, 0.0])
    if kind == "Boolean":
        return pl.Boolean, lambda: chance.random() < 0.5
    if kind == "String":
        return pl.String, text
    if kind == "Binary":
        return pl.Binary, lambda: bytes([255]) + text().encode()
    if kind == "Date":
        return pl.Date, lambda: moment().date()
    if kind == "Time":
        return pl.Time, lambda: moment().time()
    if kind == "Datetime":
        return pl.Datetime(unit), lambda: moment() + datetime.timedelta(days=chance.randint(-1000, 0))
    if kind == "Zoned":
        return pl.Datetime(unit, "UTC"), lambda: moment().replace(tzinfo=datetime.timezone.utc)
    if kind == "Duration":
        return pl.Duration(unit), lambda: datetime.timedelta(microseconds=chance.randint(-(10**12), 10**12))
    if kind == "Decimal":
        return pl.Decimal(20, 3), lambda: decimal.Decimal(chance.randint(-(10**12), 10**12)).scaleb(-3)
    if kind == "Categorical":
        return pl.Categorical, lambda: chance.choice(["", "a", "bcd", "ä" * 20])
    if kind == "Enum":
        return pl.Enum(["x", "y"]), lambda: chance.choice("xy")
    if kind == "List":
        return pl.List(pl.Int32), lambda: [chance.choice([None, 1, 2]) for _ in range(chance.randint(0, 4))]
    if kind == "Array":
        return pl.Array(pl.Float64, 2), lambda: [chance.random(), 1.0]
    if kind == "Struct":
        return pl.Struct({"a": pl.Int64, "b": pl.String}), lambda: {"a": chance.randint(0, 9), "b": text()}
    if kind == "Null":
        return pl.Null, lambda: None
    nested = pl.List(pl.Struct({"x": pl.List(pl.String), "y": pl.Date}))
    return nested, lambda: [{"x": [text()], "y": moment().date()} for _ in range(chance.randint(0, 3))]


def polars_columns(frame):
    return [(name, items) for name, items in frame.to_dict(as_series=False).items()]


def of_kind(frame, chance, kind):
    """The same frame of another library."""
    if kind == "pyarrow":
        return frame.to_arrow()
    if kind == "batch":
        return frame.to_arrow().combine_chunks().to_batches()[0] if len(frame) else frame.to_arrow()
    if kind == "reader":
        return frame.to_arrow().to_reader(max_chunksize=chance.randint(1, 9))
    return frame
