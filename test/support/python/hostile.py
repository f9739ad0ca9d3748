"""Python values that are out to harm whoever converts them.

``make(name)`` gives one by its name; ``mixture(seed, number)`` puts some of them into one another.
What they do when they are asked something is raise, lie, or change what is being walked.
"""

import collections
import ctypes
import datetime
import decimal
import gc
import random
import struct
import sys
import threading
import types


def raising(*_, **__):
    raise ValueError("asked")


def leaving(*_, **__):
    raise SystemExit("asked")


def lying(*_, **__):
    return True


def junk(*_, **__):
    return object()


def huge(*_, **__):
    return sys.maxsize


NAMES = [
    "__len__ __iter__ __next__ __getitem__ __setitem__ __contains__ __missing__ __reversed__",
    "__hash__ __eq__ __ne__ __lt__ __gt__ __le__ __ge__ __bool__",
    "__int__ __index__ __float__ __abs__ __neg__ __add__ __sub__ __str__ __repr__ __format__",
    "__bytes__ __call__ __dir__ __sizeof__ __reduce__ __reduce_ex__ __buffer__ __fspath__",
    "keys values items get pop copy append add encode decode bit_length to_bytes as_tuple",
    "utcoffset astimezone item close send throw isoformat year tobytes read",
]
METHODS = " ".join(NAMES).split()


def overriding(base, does, *keep):
    """A subclass that overrides everything."""
    body = {name: does for name in METHODS if name not in keep}
    body["__class__"] = property(does)
    return type("Hostile" + base.__name__.title(), (base,), body)


class Meta(type):
    """A class whose attributes are hostile too."""

    def __getattribute__(cls, name):
        raise ValueError(name)

    def __repr__(cls):
        raise ValueError("repr")

    def __instancecheck__(cls, _):
        raise ValueError("isinstance")

    def __subclasscheck__(cls, _):
        raise ValueError("issubclass")

    def __eq__(cls, _):
        raise ValueError("eq")

    def __hash__(cls):
        raise ValueError("hash")


class LeavingMeta(type):
    def __getattribute__(cls, name):
        raise SystemExit(name)


class OddMeta(type):
    __module__ = property(lambda cls: 5)
    __name__ = property(lambda cls: b"\xff")


class Changing(datetime.tzinfo):
    """A zone that does something whenever it is asked."""

    def __init__(self, does):
        self.does = does

    def utcoffset(self, _):
        self.does()
        return datetime.timedelta(hours=1)

    def dst(self, _):
        self.does()
        return datetime.timedelta(0)

    def tzname(self, _):
        self.does()
        return "zone"


def moment(does):
    return datetime.datetime(2024, 1, 1, tzinfo=Changing(does))


def changing_list(change):
    made = [1, 2]
    made.append(moment(lambda: change(made)))
    made.extend(range(100))
    return made


def changing_dict(change):
    made = {1: 2}
    made["when"] = moment(lambda: change(made))
    made.update((str(n), n) for n in range(100))
    return made


def changing_key(change):
    made = {}
    key = moment(lambda: change(made) if made else None)
    made[key] = 1
    made.update((n, n) for n in range(50))
    return made


def changing_set(change):
    made = {1, 2}
    when = moment(lambda: change(made) if len(made) > 5 else None)
    made.add(when)
    made.update(range(10, 60))
    return made


def changing_ordered():
    made = collections.OrderedDict((n, n) for n in range(50))
    made["when"] = moment(lambda: made.move_to_end(0) if 0 in made else None)
    made.update((str(n), n) for n in range(50))
    return made


def changing_bytearray():
    data = bytearray(b"x" * 1000)
    return [data, moment(lambda: data.extend(b"y" * 100_000)), data, memoryview(b"abc")]


def from_another_thread(made, change):
    """What another thread changes as fast as it can, for a while."""
    stop = threading.Event()

    def run():
        while not stop.is_set():
            change(made)

    threading.Thread(target=run, daemon=True).start()
    threading.Timer(0.2, stop.set).start()
    return made


def dag(levels, wrap):
    made = wrap([1, 2])
    for _ in range(levels):
        made = wrap([made, made])
    return made


def nested(levels, *wraps):
    made = 1
    for level in range(levels):
        made = wraps[level % len(wraps)](made)
    return made


def cycle(levels):
    """A list that is inside of itself so many levels down."""
    outer = made = []
    for _ in range(levels):
        made.append([])
        made = made[0]
    made.append(outer)
    return outer


def branching():
    made = []
    made.extend([made, made, [made]])
    return made


def collecting():
    """Objects that are collected, and do harm then, while others are converted."""

    class Falling:
        def __init__(self):
            self.me = self

        def __del__(self):
            made.clear()

    made = []
    made.extend([[n] for n in range(1000)])
    for _ in range(100):
        Falling()
    return [made, moment(gc.collect), made]


def claiming(module, **attributes):
    cls = type("Claimed", (), dict(attributes))
    cls.__module__ = module
    return cls()


def number_of_numpy():
    """Says that it is one, in every way there is."""
    numpy = sys.modules.get("numpy") or types.SimpleNamespace(float32=float)
    return type("C", (), {"__class__": numpy.float32, "__module__": "numpy", "item": junk})()


class LyingDecimal(decimal.Decimal):
    def as_tuple(self):
        return (0, (1,), self)


class Liar(dict):
    """Says that it is of another class each time it is asked."""

    kinds = [int, str, list, set, datetime.datetime, decimal.Decimal, type]

    @property
    def __class__(self):
        self.kinds.append(self.kinds.pop(0))
        return self.kinds[0]


class KeyEqual:
    """As a key it raises, but only when another key has the same hash."""

    def __hash__(self):
        return 1

    def __eq__(self, other):
        raise ValueError("eq")


def slots():
    return type("Slots", (), {"__slots__": ("a",)})()


def uninitialised(cls):
    return cls.__new__(cls)


def released():
    view = memoryview(b"abc")
    view.release()
    return [1, {"a": view}]


def recursion(n):
    return recursion(n + 1) + 1


MADE = {
    # Numbers
    "int: a million digits": lambda: (1 << 3_321_929) + 1,
    "int: beyond the VM": lambda: -(1 << 2**27),
    "int: maxsize": lambda: [sys.maxsize, -sys.maxsize - 1, sys.maxsize + 1],
    "float: all sorts": lambda: [1e308, -1e308, 5e-324, -0.0, float("nan"), float("-inf")],
    "float: signalling nan": lambda: struct.unpack("<d", b"\1\0\0\0\0\0\xf4\x7f")[0],
    "complex: nan": lambda: complex("nan+infj"),
    # Text and data
    "str: surrogates": lambda: ["\ud800", "\udfff", "a\udc80b", "\ud83d\ude00"],
    "str: nul": lambda: "\0" * 1000,
    "str: large": lambda: ["x" * 70_000, "ä" * 70_000, "🐍" * 70_000],
    "str: large surrogates": lambda: "x" * 10**6 + "\ud800",
    "bytes: large": lambda: [bytes(70_000), bytearray(70_000), memoryview(bytes(70_000))],
    "memoryview: released": released,
    "memoryview: strides": lambda: memoryview(bytes(1000))[::-7],
    "memoryview: no length": lambda: memoryview(b"")[5:][::2],
    "memoryview: dimensions": lambda: memoryview(bytes(120)).cast("B", [2, 3, 4, 5]),
    "memoryview: nothing": lambda: memoryview((ctypes.c_int * 0)()),
    "memoryview: a number": lambda: memoryview(ctypes.c_double(1.5)),
    "memoryview: an array": lambda: memoryview((ctypes.c_char * 10)(*b"0123456789")),
    # Keys
    "key: nan": lambda: {float("nan"): 1, float("nan"): 2},
    "key: nan and its name": lambda: {float("nan"): 1, "nan": 2},
    "key: the same term": lambda: {"a": 1, b"a": 2},
    "key: the same term, of many": lambda: {**{n: n for n in range(100)}, "a": 1, b"a": 2},
    "key: -0.0": lambda: {-0.0: 1},
    "key: eq raises": lambda: {KeyEqual(): 1},
    "key: huge": lambda: {1 << 2**20: "\ud800", "x" * 10**6: ["\ud800"]},
    "key: surrogate": lambda: {"\ud800": {"\ud800": 1}},
    "key: long class name": lambda: {type("x" * 10**6, (), {})(): "\ud800"},
    "key: odd class name": lambda: {type("größe\n", (), {})(): "\ud800"},
    "key: hostile class": lambda: {object.__new__(Meta("M", (), {})): "\ud800"},
    # Shapes
    "range": lambda: [range(10**30), range(-(10**30), 10**30, 7), range(0)],
    "cycle: list": lambda: cycle(0),
    "cycle: deep": lambda: cycle(500),
    "cycle: deeper than the limit": lambda: cycle(5000),
    "cycle: branching": branching,
    "cycle: dict": lambda: (lambda d: (d.update(a=[d], b=d), d)[1])({}),
    "cycle: subclass": lambda: (lambda l: (list.append(l, l), l)[1])(overriding(list, raising)()),
    "dag: lists": lambda: dag(16, list),
    "dag: tuples": lambda: dag(16, tuple),
    "deep: 999": lambda: nested(999, lambda x: [x], lambda x: (x,), lambda x: {"k": x}),
    "deep: 1000": lambda: nested(1000, lambda x: [x], lambda x: (x,), lambda x: {"k": x}),
    "deep: 1001": lambda: nested(1001, lambda x: [x], lambda x: (x,), lambda x: {"k": x}),
    "deep: sets": lambda: nested(1001, lambda x: frozenset([x]), lambda x: (x,)),
    "deep: 100,000": lambda: nested(100_000, lambda x: [x], lambda x: {1: x}),
    "deep: strings": lambda: nested(900, lambda x: {"x" * 50_000: x, "y": "\ud800"}),
    "wide": lambda: [[]] * 300_000,
    # What lies about itself
    "class: raises": lambda: [overriding(object, raising)()],
    "class: leaves": lambda: [overriding(object, leaving)()],
    "class: lies": lambda: [overriding(object, lying)()],
    "class: junk": lambda: [overriding(object, junk)()],
    "class: changes": lambda: [Liar(a=1)],
    "class: __class__ is dict": lambda: [type("C", (), {"__class__": dict})()],
    "class: __class__ is set": lambda: [type("C", (), {"__class__": set})()],
    "class: a number of numpy": lambda: [number_of_numpy()],
    "class: getattr": lambda: type("G", (), {"__getattribute__": raising})(),
    "class: getattr gives itself": lambda: type("G", (), {"__getattr__": lambda s, n: s})(),
    "class: slots": slots,
    "meta: raises": lambda: [object.__new__(Meta("M", (), {}))],
    "meta: leaves": lambda: [object.__new__(LeavingMeta("M", (), {}))],
    "meta: odd": lambda: [OddMeta("M", (), {})()],
    "meta: of a list": lambda: [list.__new__(Meta("M", (list,), {}))],
    "meta: the class itself": lambda: [Meta("M", (), {})],
    "module: datetime": lambda: claiming("datetime", utcoffset=raising, year="x"),
    "module: decimal": lambda: claiming("decimal", as_tuple=raising),
    "module: numpy": lambda: claiming("numpy", item=raising),
    "module: numpy.core": lambda: claiming("numpy.core", item=lambda self: self),
    "module: erlang": lambda: claiming("erlang"),
    "module: surrogate": lambda: claiming("\ud800"),
    "module: a number": lambda: claiming(5),
    "module: none": lambda: claiming(None),
    "decimal: subclass": lambda: LyingDecimal("1.5"),
    "decimal: sNaN": lambda: [decimal.Decimal("sNaN"), decimal.Decimal("NaN123")],
    "decimal: long": lambda: decimal.Decimal("1" * 20_000),
    "uninitialised": lambda: [uninitialised(c) for c in (list, dict, set, tuple, int, str, bytearray)],
    "exception": lambda: [ValueError(), uninitialised(KeyError)],
    "mappingproxy": lambda: [type.__dict__["__dict__"], int.__dict__],
    "frame": lambda: sys._getframe(),
    "modules": lambda: sys.modules,
    "names of a module": lambda: vars(sys),
    "thread: list": lambda: from_another_thread(
        [[n] for n in range(20_000)], lambda l: (l.pop(), l.append([1]))
    ),
    "thread: dict": lambda: from_another_thread(
        {n: [n] for n in range(20_000)}, lambda d: (d.popitem(), d.__setitem__(object(), 1))
    ),
    "collected meanwhile": collecting,
    "zone: raises": lambda: [moment(raising)],
    "zone: leaves": lambda: [moment(leaving)],
    "zone: recursion": lambda: [moment(lambda: recursion(1))],
    "zone: gives up the lock": lambda: [moment(lambda: threading.Event().wait(0.01))],
}

#: What changes while it is walked. It refers to itself by way of a datetime, which Python's garbage
#: collector does not look into: these stay for good.
CHANGING = {
    "bytearray: changing": changing_bytearray,
    "list: cleared": lambda: changing_list(list.clear),
    "list: grows": lambda: changing_list(lambda l: l.extend([1] * 1000)),
    "list: shrinks": lambda: changing_list(lambda l: l.pop() if l else None),
    "list: replaced": lambda: changing_list(lambda l: l.__setitem__(slice(None), [object()] * 500)),
    "list: in itself": lambda: changing_list(lambda l: l.append(l)),
    "dict: cleared": lambda: changing_dict(dict.clear),
    "dict: grows": lambda: changing_dict(lambda d: d.update((n, n) for n in range(len(d) * 4))),
    "dict: shrinks": lambda: changing_dict(lambda d: d.popitem() if d else None),
    "dict: replaced": lambda: changing_dict(
        lambda d: (d.clear(), d.update((n, n) for n in range(102)))
    ),
    "dict: values": lambda: changing_dict(lambda d: d.update({k: object() for k in d})),
    "dict: deleted and added": lambda: changing_dict(lambda d: (d.pop("5", 0), d.update(new=1))),
    "key: cleared": lambda: changing_key(dict.clear),
    "key: grows": lambda: changing_key(lambda d: d.update((object(), n) for n in range(100))),
    "set: cleared": lambda: changing_set(set.clear),
    "set: grows": lambda: changing_set(lambda s: s.update(object() for _ in range(100))),
    "set: shrinks": lambda: changing_set(lambda s: s.pop() if s else None),
    "set: replaced": lambda: changing_set(lambda s: (s.clear(), s.update(range(50)))),
    "ordered: moved": changing_ordered,
}

MADE.update(CHANGING)

for base in (int, float, str, bytes, bytearray, list, tuple, dict, set, frozenset):
    for does in (raising, leaving, lying, junk, huge):
        MADE["%s: %s" % (base.__name__, does.__name__)] = lambda base=base, does=does: [
            overriding(base, does)(),
            {"k": (overriding(base, does)(),)},
        ]

for value in (2**70, 1.5, "text", b"\xff", [1, 2], (1, 2), {1, 2}, frozenset({1, 2}), {"a": 1}):
    MADE["%s: with content" % type(value).__name__] = lambda value=value: [
        overriding(type(value), junk)(value)
    ]


def names():
    return sorted(MADE)


def make(name):
    return MADE[name]()


#: Too large, or too slow, to be put into others.
ALONE = ("int: beyond", "deep: strings", "wide", "thread", "modules", "names", "dag", "frame")


def mixture(seed, number):
    """Some of them in one another."""
    draw = random.Random("%s %s" % (seed, number))
    candidates = [name for name in names() if not name.startswith(ALONE)]

    def pick(depth):
        kind = draw.randrange(7) if depth else 0
        if kind <= 1:
            return make(draw.choice(candidates))
        if kind == 2:
            return [pick(depth - 1) for _ in range(draw.randrange(4))]
        if kind == 3:
            return tuple(pick(depth - 1) for _ in range(draw.randrange(4)))
        if kind == 4:
            return {n: pick(depth - 1) for n in range(draw.randrange(4))}
        if kind == 5:
            return overriding(list, raising)([pick(depth - 1)])
        try:
            return {pick(depth - 1): pick(depth - 1)}
        except BaseException:
            # What cannot be hashed, or does not want to be.
            return [pick(depth - 1)]

    return pick(3)


def within(function):
    """Calls ``function`` with a value whose conversion does the same again, without end."""

    def again():
        value = moment(again)
        for _ in range(900):
            value = [value]
        return function(value)

    return again()


def identity(value):
    return value


def healthy():
    """Whether the interpreter still does what it should."""
    return sum(range(1000)) == 499_500 and gc.collect() >= 0 and threading.active_count() < 50
