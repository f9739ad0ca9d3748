"""What Python keeps, in numbers that must not grow."""

import datetime
import decimal
import gc
import sys
import threading
import tracemalloc

import erlang
import hostile


class Counted:
    """Counts its living instances."""

    living = 0
    # They come and go on several threads, and adding is more than one step.
    lock = threading.RLock()

    def __init__(self, value=None):
        with Counted.lock:
            Counted.living += 1
        self.value = value

    def __del__(self):
        with Counted.lock:
            Counted.living -= 1


class Text(str):
    """A str that is watched, of which there is one."""


#: Objects that conversions come by, whose references are counted. None, True and small numbers are
#: immortal in newer versions, and not counted there.
WATCHED = {
    "None": None,
    "True": True,
    "int": int,
    "str": str,
    "bytes": bytes,
    "list": list,
    "dict": dict,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "range": range,
    "memoryview": memoryview,
    "datetime": datetime.datetime,
    "date": datetime.date,
    "utc": datetime.timezone.utc,
    "timezone": datetime.timezone,
    "Decimal": decimal.Decimal,
    "Pid": erlang.Pid,
    "Ref": erlang.Ref,
    "Function": erlang.Function,
    "Counted": Counted,
    "TypeError": TypeError,
    "ValueError": ValueError,
    "text": Text("watched"),
    "document": {"a": [1, ("b", None)], "c": {2: b"d"}},
    "number": 2**70,
}


def start():
    tracemalloc.start()


def snapshot():
    gc.collect()
    return {
        "bytes": tracemalloc.get_traced_memory()[0],
        "objects": len(gc.get_objects()),
        "living": Counted.living,
        "references": {name: sys.getrefcount(value) for name, value in WATCHED.items()},
    }


def give(name):
    return WATCHED[name]


def take(*_args, **_kwargs):
    return None


#: Hostile values that are quick to make and do not keep themselves alive.
SLOW = hostile.ALONE + ("int: a million", "deep: 100", "decimal: long", "zone")
QUICK = [
    name for name in hostile.names() if name not in hostile.CHANGING and not name.startswith(SLOW)
]


def harm(number):
    return hostile.make(QUICK[number % len(QUICK)])
