# A program that looks itself up by its module's name, as libraries do. `results` is what it finds.
from __future__ import annotations

import copy
import dataclasses
import doctest
import enum
import importlib
import inspect
import io
import json
import pickle
import shelve
import sys
import tempfile
import threading
import timeit
import typing
import unittest
from concurrent.futures import ThreadPoolExecutor

results = {}


@dataclasses.dataclass
class Data:
    a: int
    b: typing.ClassVar[int] = 2
    c: dataclasses.InitVar[int] = 3
    kept: Data | None = None

    def __post_init__(self, c):
        self.sum = self.a + c


results["fields"] = [field.name for field in dataclasses.fields(Data)]
results["post_init"] = Data(1, 5).sum


class Node(typing.NamedTuple):
    name: str
    next: typing.Optional[Node] = None


class Colour(enum.Enum):
    RED = 1


def double(x: Data, y: typing.Optional[Colour] = None) -> Node:
    """Twice.

    >>> twice(21)
    42
    """


def twice(x):
    return 2 * x


class Outer:
    class Inner:
        def method(self):
            return "inner"


results["hints"] = {name: str(hint) for name, hint in typing.get_type_hints(double).items()}
results["class_hints"] = str(typing.get_type_hints(Node)["next"])

for name, thing in [
    ("function", twice),
    ("class", Data),
    ("instance", Colour.RED),
    ("named", Node("a")),
    ("inner", Outer.Inner),
    ("method", Outer.Inner().method),
]:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        for dump, load in [(pickle.dumps, pickle.loads), (pickle._dumps, pickle._loads)]:
            try:
                loaded = load(dump(thing, protocol))
                same = loaded is thing or loaded == thing or name == "method" and loaded() == "inner"
                results["%s %d" % (name, protocol)] = same
            except Exception as error:
                results["%s %d" % (name, protocol)] = repr(error)

results["copy"] = copy.deepcopy(Data(1)) == Data(1)
results["timeit"] = timeit.timeit("twice(1)", "from __main__ import twice", number=3) > 0

# These take `sys.stdout` for themselves, which is everybody's.
alone = sys.__dict__.setdefault("alone", threading.Lock())

with alone:
    results["doctest"] = list(doctest.testmod())


class Tests(unittest.TestCase):
    def test_twice(self):
        self.assertEqual(twice(2), 4)

    def test_fails(self):
        self.assertEqual(twice(2), 5)


def run(module):
    runner = unittest.TextTestRunner(stream=io.StringIO())
    result = unittest.main(module=module, exit=False, argv=["x"], testRunner=runner).result
    return [result.testsRun, len(result.failures), len(result.errors)]


results["unittest"] = run(__name__)
results["unittest of main"] = run("__main__")

import __main__

results["names"] = [
    __name__,
    __main__.__name__,
    __main__.__dict__ is globals(),
    vars(__main__) is globals(),
    sys.modules[__name__].__dict__ is globals(),
    "twice" in dir(__main__),
    hasattr(__main__, "no_such"),
    isinstance(__main__, type(sys)),
    type(__main__).__name__,
    repr(__main__),
    inspect.ismodule(__main__),
    inspect.getmodule(twice) is __main__,
    importlib.import_module("__main__") is __main__,
    __loader__ is importlib.machinery.BuiltinImporter,
    __spec__,
    __package__,
]
__main__.set_there = 1
results["set"] = set_there
del __main__.set_there
results["deleted"] = "set_there" in globals()
setattr(sys.modules[__name__], "lazily", 3)
results["lazily"] = [lazily, __main__.lazily]

try:
    from __main__ import no_such
except ImportError as error:
    results["import"] = error.name

try:
    __main__.no_such
except AttributeError as error:
    results["attribute"] = str(error)

for _ in range(1_000):
    # While another context reloads its own, Python gives that one.
    try:
        importlib.reload(__main__)
    except ModuleNotFoundError as error:
        results["reload"] = str(error)
        break


def found():
    return [pickle.loads(pickle.dumps(twice)) is twice, sys.modules["__main__"].twice is twice]


def started(start):
    got = []
    done = threading.Event()

    def work():
        try:
            got.append(found())
        except Exception as error:
            got.append(repr(error))
        done.set()

    start(work)
    done.wait(60)
    return got


results["thread"] = started(lambda work: threading.Thread(target=work).start())
results["timer"] = started(lambda work: threading.Timer(0, work).start())
import _thread

results["bare thread"] = started(lambda work: _thread.start_new_thread(work, ()))
with ThreadPoolExecutor(2) as executor:
    results["executor"] = list(executor.map(lambda _: found(), range(4)))

with tempfile.TemporaryDirectory() as folder:
    with shelve.open(folder + "/shelf") as shelf:
        shelf["a"] = Outer.Inner
        results["shelve"] = shelf["a"] is Outer.Inner

import cProfile

import contextlib

profiled = []
with alone, contextlib.redirect_stdout(io.StringIO()):
    cProfile.run("profiled.append(twice(4))")
results["cProfile"] = profiled


@typing.no_type_check
def untyped():
    pass


import functools


@functools.singledispatch
def dispatch(x):
    return "any"


@dispatch.register
def _(x: int):
    return "int"


results["singledispatch"] = [dispatch(1), dispatch("")]

json.dumps(results)
