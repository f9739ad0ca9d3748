"""Random Python values of every row of the table of types, and what they have to come back as.

``make(seed, number)`` gives the same value again for the same arguments, so that a value can be
compared with what came back of it without having been kept. ``model`` is what is lossy, written
independently of the native code.
"""

import collections
import datetime
import decimal
import enum
import fractions
import math
import random
import struct
import uuid


class SubInt(int):
    pass


class SubFloat(float):
    pass


class SubStr(str):
    pass


class SubBytes(bytes):
    pass


class SubList(list):
    pass


class SubTuple(tuple):
    pass


class SubDict(dict):
    pass


class SubSet(set):
    pass


class SubFrozenSet(frozenset):
    pass


class Colour(enum.IntEnum):
    RED = 1
    GREEN = 2


class Plain(enum.Enum):
    A = "a"


Point = collections.namedtuple("Point", "x y")


class Thing:
    """Has no counterpart, and can be compared and hashed."""

    def __init__(self, number):
        self.number = number

    def __eq__(self, other):
        return isinstance(other, Thing) and self.number == other.number

    def __hash__(self):
        return hash(self.number)

    def __repr__(self):
        return "Thing(%r)" % self.number


class Zone(datetime.tzinfo):
    def __init__(self, seconds):
        self.offset = datetime.timedelta(seconds=seconds)

    def utcoffset(self, _):
        return self.offset

    def dst(self, _):
        return datetime.timedelta(0)

    def tzname(self, _):
        return "Some/Where"


def make(seed, number):
    draw = random.Random("%s %s" % (seed, number))
    return Maker(draw).value(1 + draw.randrange(2 + number % 60))


TEXTS = ["", "a", "name", "größe", "日本語", "🐍 und 🦀", "a\0b", "\u0301", "\ufeff", "nan", "None"]
INTS = [0, 1, -1, 2**31, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**70, 10**100]
FLOATS = [0.0, -0.0, 1.0, -1.5, 5e-324, 1.7976931348623157e308, 1e22, 0.1]
STRANGE = [float("nan"), float("inf"), float("-inf")]


class Maker:
    def __init__(self, draw):
        self.draw = draw

    def value(self, budget):
        if budget <= 1:
            return self.leaf()
        kind = self.draw.randrange(13)
        if kind <= 3:
            return self.one_of(list, list, SubList)(self.several(budget))
        if kind <= 5:
            items = self.several(budget)
            if self.draw.randrange(4) == 0:
                return Point(items, self.value(budget // 2))
            return self.one_of(tuple, SubTuple)(items)
        if kind <= 8:
            return self.mapping(budget)
        if kind <= 10:
            count = self.draw.randrange(min(budget, 50))
            keys = [self.key(2) for _ in range(count)]
            return self.one_of(set, set, frozenset, SubSet, SubFrozenSet)(keys)
        if kind == 11:
            shared = self.value(budget // 2)
            return [shared, shared, (shared,)]
        return self.leaf()

    def mapping(self, budget):
        # Few large values, or many small ones.
        many = self.draw.randrange(4) == 0
        count = self.draw.randrange(min(budget, 50)) if many else self.draw.randrange(4)
        pairs = [(self.key(2), self.value(0 if many else budget // 3)) for _ in range(count)]
        kind = self.draw.randrange(6)
        if kind == 0:
            return collections.OrderedDict(pairs)
        if kind == 1:
            made = collections.defaultdict(list)
            made.update(pairs)
            return made
        if kind == 2:
            return SubDict(pairs)
        return dict(pairs)

    def key(self, depth):
        kind = self.draw.randrange(16 if depth else 13)
        if kind <= 3:
            return self.text()
        if kind <= 5:
            return self.draw.randrange(-5, 1000)
        if kind == 6:
            return self.one_of(*FLOATS)
        if kind == 7:
            return self.one_of(True, False, None)
        if kind == 8:
            return self.data()
        if kind == 9:
            return self.one_of(*STRANGE) if self.draw.randrange(4) == 0 else self.integer()
        if kind == 10:
            return self.one_of(Thing(self.draw.randrange(9)), Plain.A, Colour.RED, SubStr("sub"))
        if kind == 11:
            return self.moment()
        if kind == 12:
            return fractions.Fraction(self.draw.randrange(9), 7)
        keys = [self.key(depth - 1) for _ in range(self.draw.randrange(4))]
        return tuple(keys) if kind <= 14 else frozenset(keys)

    def leaf(self):
        kind = self.draw.randrange(16)
        if kind <= 2:
            return self.integer()
        if kind <= 5:
            return self.text()
        if kind <= 7:
            return self.number()
        if kind == 8:
            return self.one_of(True, False, None)
        if kind == 9:
            return self.data()
        if kind == 10:
            return self.buffer()
        if kind == 11:
            return self.moment()
        if kind == 12:
            return self.decimal()
        if kind == 13:
            return self.one_of([], (), {}, set(), frozenset(), "", b"")
        if kind == 14:
            return self.object()
        return self.one_of(
            SubInt(2**70),
            SubInt(-5),
            SubFloat(1.5),
            SubStr("größe"),
            SubBytes(b"\xff"),
            Colour.GREEN,
        )

    def integer(self):
        kind = self.draw.randrange(4)
        if kind == 0:
            return self.draw.randrange(-1000, 1000)
        if kind == 1:
            return self.one_of(*INTS) + self.draw.randrange(-2, 3)
        if kind == 2:
            return -self.one_of(*INTS) + self.draw.randrange(-2, 3)
        return self.draw.getrandbits(1 + self.draw.randrange(300)) * self.one_of(1, -1)

    def number(self):
        kind = self.draw.randrange(4)
        if kind == 0:
            return self.one_of(*FLOATS)
        if kind == 1:
            return self.one_of(*STRANGE)
        if kind == 2:
            return struct.unpack("<d", struct.pack("<Q", self.draw.getrandbits(64)))[0]
        return self.draw.uniform(-1e6, 1e6)

    def text(self):
        kind = self.draw.randrange(4)
        if kind == 0:
            return self.one_of(*TEXTS)
        if kind == 1:
            return "".join(self.character() for _ in range(self.draw.randrange(20)))
        if kind == 2:
            return str(self.draw.randrange(1000))
        return self.one_of(*TEXTS) * self.draw.randrange(1, 30)

    def character(self):
        while True:
            code = self.draw.randrange(self.one_of(0x80, 0x800, 0x10000, 0x110000))
            if not 0xD800 <= code <= 0xDFFF:
                return chr(code)

    def data(self):
        data = bytes(self.draw.getrandbits(8) for _ in range(self.draw.randrange(1, 30)))
        if self.draw.randrange(3) == 0:
            data = self.text().encode()
        return data

    def buffer(self):
        data = self.data()
        return self.one_of(bytearray(data), memoryview(data), memoryview(data)[::2])

    def moment(self):
        draw = self.draw
        date = datetime.date(draw.randrange(2, 9999), draw.randrange(1, 13), draw.randrange(1, 29))
        micro = self.one_of(0, draw.randrange(1_000_000), 500_000)
        time = datetime.time(draw.randrange(24), draw.randrange(60), draw.randrange(60), micro)
        kind = draw.randrange(6)
        if kind == 0:
            return date
        if kind == 1:
            return time
        naive = datetime.datetime.combine(date, time)
        if kind == 2:
            return naive.replace(fold=draw.randrange(2))
        if kind == 3:
            return naive.replace(tzinfo=datetime.timezone.utc)
        if kind == 4:
            zone = datetime.timezone(datetime.timedelta(minutes=draw.randrange(-840, 841)))
            return naive.replace(tzinfo=zone)
        return naive.replace(tzinfo=Zone(draw.randrange(-50_000, 50_000)))

    def decimal(self):
        draw = self.draw
        kind = draw.randrange(5)
        if kind == 0:
            return decimal.Decimal(self.one_of("NaN", "-NaN", "Infinity", "-Infinity", "-0", "0E+5"))
        if kind == 1:
            return decimal.Decimal((draw.randrange(2), (1,) * 50, draw.randrange(-999, 999)))
        digits = tuple(map(int, str(draw.randrange(10_000))))
        return decimal.Decimal((draw.randrange(2), digits, draw.randrange(-5, 5)))

    def object(self):
        return self.one_of(
            Thing(self.draw.randrange(100)),
            range(self.draw.randrange(10), 10**30),
            complex(1, self.draw.randrange(5)),
            fractions.Fraction(1, 3),
            uuid.UUID(int=self.draw.getrandbits(128)),
            datetime.timedelta(self.draw.randrange(5)),
            datetime.time(1, 2, 3, tzinfo=datetime.timezone.utc),
            Plain.A,
            Thing,
            len,
            math,
            Ellipsis,
        )

    def several(self, budget):
        return [self.value(budget // 3) for _ in range(self.draw.randrange(5))]

    def one_of(self, *choices):
        return self.draw.choice(choices)


class Lost(Exception):
    """One of two elements or keys would be lost, which has to be an error."""


def model(value, erlang, inside=False, key=False):
    """What ``value`` is after it has been to the other side. ``inside`` a key or an element of a
    set, sets are frozen."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__add__(value, 0)
    if isinstance(value, float):
        value = float.__add__(value, -0.0)
        if key and math.isnan(value):
            return "nan"
        if key and math.isinf(value):
            return "infinity" if value > 0 else "neg_infinity"
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data
    if isinstance(value, list):
        return [model(item, erlang) for item in value]
    if isinstance(value, tuple):
        return tuple(model(item, erlang, inside) for item in value)
    if isinstance(value, (set, frozenset)):
        items = [model(item, erlang, True) for item in value]
        if erlang:
            return Unordered(items)
        return one_each(items, frozenset(items) if inside else set(items))
    if isinstance(value, dict):
        keys = [model(item, erlang, True, True) for item in value]
        values = [model(item, erlang) for item in value.values()]
        return one_each(keys, dict(zip(keys, values)))
    if type(value) is datetime.datetime:
        if value.utcoffset() is not None:
            value = value.astimezone(datetime.timezone.utc)
        value = value.replace(fold=0)
        return ((value.year, value.month, value.day), clock(value)) if erlang else value
    if type(value) is datetime.date:
        return (value.year, value.month, value.day) if erlang else value
    if type(value) is datetime.time and value.tzinfo is None:
        return clock(value) if erlang else value
    return value


def clock(time):
    second = time.second + time.microsecond / 1e6 if time.microsecond else time.second
    return (time.hour, time.minute, second)


def one_each(keys, made):
    if len(made) != len(keys):
        raise Lost()
    return made


class Unordered:
    """A list that was a set."""

    def __init__(self, items):
        self.items = items

    def __hash__(self):
        # A list is no key.
        raise Lost()


def same(ours, theirs):
    """Whether they are equal, in their types too."""
    if type(ours) is Unordered:
        return type(theirs) is list and same_items(ours.items, theirs)
    if type(ours) is not type(theirs):
        return False
    if type(ours) is float:
        return struct.pack("<d", ours) == struct.pack("<d", theirs) or (
            math.isnan(ours) and math.isnan(theirs)
        )
    if type(ours) in (list, tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if type(ours) in (set, frozenset):
        return same_items(ours, theirs)
    if type(ours) is dict:
        return same_items(ours.items(), theirs.items())
    if type(ours) is decimal.Decimal:
        return repr(ours) == repr(theirs)
    if isinstance(ours, (datetime.datetime, datetime.time)):
        return ours == theirs and ours.tzinfo == theirs.tzinfo and ours.fold == theirs.fold
    return ours == theirs


def same_items(ours, theirs):
    left = list(theirs)
    if len(ours) != len(left):
        return False
    for item in ours:
        found = next((at for at, other in enumerate(left) if same(item, other)), None)
        if found is None:
            return False
        del left[found]
    return True


def check(seed, number, back, erlang):
    """None if ``back`` is what ``make`` has to be after its way, else what is wrong."""
    value = make(seed, number)
    try:
        expected = model(value, erlang)
    except Lost:
        return "two keys or elements of %.1000r are one on the other side: no error" % (value,)
    if same(expected, back):
        return None
    return "%.1000r\n  has come back as\n%.1000r" % (value, back)


def may_fail(seed, number, erlang):
    """Whether the value has keys that cannot be told apart on the other side, or on the way back."""
    try:
        model(make(seed, number), erlang)
    except Lost:
        return True
    return False


def identity(value):
    return value


def keyword(**kwargs):
    return kwargs["value"]
