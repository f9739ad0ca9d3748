"""What objects become that have no counterpart in Elixir: by a decoder of the user's, or on request."""

import sys

#: Where a class keeps its decoder. There, and not in a table, so that the class can die with it.
DECODER = "__erlang_decoder__"

# Of `type` itself: a metaclass may have others.
_mro = type.__dict__["__mro__"].__get__
_names = type.__dict__["__dict__"].__get__
_module = type.__dict__["__module__"].__get__

#: Decoders of classes that take no attributes, by the ids of the classes, which are kept with them.
_fixed = {}

#: The ids of classes that have a counterpart of their own.
_own = set(
    map(
        id,
        (type(None), bool, int, float, str, bytes, bytearray, memoryview)
        + (list, tuple, dict, set, frozenset),
    )
)

#: Those of modules that may not be imported yet.
_later = {"datetime": ("datetime", "date", "time"), "decimal": ("Decimal",)}


def register_decoder(cls, function):
    """Says what the instances of a class become on their way to Elixir and Erlang.

    ``function`` is given an instance and returns something that has a counterpart there, or the instance
    itself, which then stays in Python. It holds for subclasses too; the nearest class in the method
    resolution order decides. ``None`` takes it back.

    Classes that have a counterpart, such as ``int``, ``dict`` or ``datetime.date``, keep it. Their
    subclasses may have a decoder.
    """
    if not isinstance(cls, type):
        raise TypeError("expected a class, got: %r" % (cls,))
    if function is not None and not callable(function):
        raise TypeError("expected a function or None, got: %r" % (function,))
    _learn()
    if id(cls) in _own:
        raise TypeError(
            "expected a class without a counterpart in Elixir, got: %s. Only its subclasses can have a decoder"
            % cls.__qualname__
        )
    try:
        if function is not None:
            type.__setattr__(cls, DECODER, function)
        elif DECODER in _names(cls):
            type.__delattr__(cls, DECODER)
    except TypeError:
        # A class that is not written in Python. Such classes stay.
        if function is not None:
            _fixed[id(cls)] = (cls, function)
    if function is None:
        _fixed.pop(id(cls), None)
    else:
        _decoders_exist()


def _decoders_exist():
    import erlang

    erlang._decoders_exist()


def _learn():
    for name in list(_later):
        module = sys.modules.get(name)
        classes = [getattr(module, cls, None) for cls in _later[name]]
        if None not in classes:
            _own.update(map(id, classes))
            del _later[name]


def replaced(value, settings):
    """What stands for an object; ``NotImplemented`` if it stands for itself."""
    if _later:
        _learn()
    for cls in _mro(type(value)):
        names = _names(cls)
        function = names.get(DECODER)
        if function is None and id(cls) in _fixed:
            function = _fixed[id(cls)][1]
        if function is not None:
            made = function(value)
            return NotImplemented if made is value else made
        if id(cls) in _own:
            break
        if settings:
            make = _requested(cls, _module(cls), names, settings)
            if make is not None:
                return make(value)
    return NotImplemented


# The settings of a request, as lib/python/decode.ex writes them: where the bits of each begin, and what
# stands for each value. A value without an entry leaves the object in Python.


def _requested(cls, module, names, settings):
    """What makes the counterpart of instances of a class, if that was asked for."""
    known = _KNOWN.get(module, ()) if type(module) is str else ()
    for home, name, shift, mask, makers in known:
        # Anybody can write these names into a class: the class itself decides.
        if getattr(sys.modules.get(home), "__dict__", {}).get(name) is cls:
            return makers.get(settings >> shift & mask)
    if "__dataclass_fields__" in names:
        return _DATACLASS.get(settings >> 9 & 3)
    return None


def _uuid_text(uuid):
    return str(uuid)


def _uuid_bytes(uuid):
    return uuid.bytes


def _microseconds(delta):
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _milliseconds(delta):
    return _microseconds(delta) // 1_000


def _seconds(delta):
    return _microseconds(delta) // 1_000_000


def _enum_value(member):
    return member.value


def _enum_name(member):
    return member.name


def _fields(instance):
    import dataclasses

    return {field.name: getattr(instance, field.name) for field in dataclasses.fields(instance)}


def _model(model):
    """The fields of a pydantic model, by their names: not those that its class excludes."""
    cls = type(model)
    values = dict(model.__dict__)
    fields = getattr(cls, "model_fields", None)
    if isinstance(fields, dict):
        root = getattr(sys.modules.get("pydantic.root_model"), "RootModel", ())
        if isinstance(model, root):
            return model.root
        # Values that are cached are beside those of the fields.
        values = {name: values[name] for name in fields if name in values}
        values.update(model.__pydantic_extra__ or {})
        for name in cls.__pydantic_decorators__.computed_fields:
            values[name] = getattr(model, name)
        excluded = [name for name, field in fields.items() if field.exclude is True]
    else:
        fields = cls.__fields__
        excluded = [name for name in fields if fields[name].field_info.exclude in (True, ...)]
    for name in excluded:
        values.pop(name, None)
    return values


def _row_map(row):
    mapping = getattr(row, "_mapping", row)
    keys = [str(key) for key in mapping.keys()]
    values = _row_values(row)
    pairs = dict(zip(keys, values))
    if len(pairs) != len(values):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(
            "expected columns with different names, got: %r twice. Rename one in the query, or use row: :tuple"
            % twice
        )
    return pairs


def _row_values(row):
    # The values of a row; of a mapping these are not what it iterates over.
    return tuple(row.values() if hasattr(row, "items") and not hasattr(row, "_mapping") else row)


def _row_list(row):
    return list(_row_values(row))


_DATACLASS = {1: _fields}
_ROW = (13, 7, {1: _row_map, 2: _row_values, 3: _row_list})
_PATH = ("pathlib", "PurePath", 2, 3, {1: str})

#: By the module that a class says it is of: where it is, its settings, and what makes its counterpart.
_KNOWN = {
    "uuid": [("uuid", "UUID", 0, 3, {1: _uuid_text, 2: _uuid_bytes})],
    "pathlib": [_PATH],
    "pathlib._local": [_PATH],
    "datetime": [
        ("datetime", "timedelta", 4, 7, {1: _microseconds, 2: _milliseconds, 3: _seconds})
    ],
    "enum": [("enum", "Enum", 7, 3, {1: _enum_value, 2: _enum_name})],
    "pydantic.main": [("pydantic.main", "BaseModel", 11, 3, {1: _model})],
    "pydantic.v1.main": [("pydantic.v1.main", "BaseModel", 11, 3, {1: _model})],
    "sqlalchemy.engine.row": [
        ("sqlalchemy.engine.row", "Row", *_ROW),
        ("sqlalchemy.engine.row", "RowMapping", *_ROW),
    ],
    "sqlite3": [("sqlite3", "Row", *_ROW)],
    "asyncpg": [("asyncpg", "Record", *_ROW)],
    "asyncpg.protocol.protocol": [("asyncpg", "Record", *_ROW)],
}
