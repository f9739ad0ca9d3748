import dataclasses
import enum
import functools
import inspect
import linecache
import traceback
import typing
import warnings


def function(x):
    """Adds one."""
    # A comment.
    return x + 1


twice = lambda x: x * 2


class Plain:
    """A class with methods."""

    def method(self):
        return [self]

    class Inner:
        pass

    @property
    def own(self):
        return 1


class Bare:
    attribute = 1


@dataclasses.dataclass
class Data:
    x: int = 1


class Colour(enum.Enum):
    RED = 1


class Named(typing.NamedTuple):
    x: int


@functools.lru_cache(None)
def wrapped():
    return 1


def makes():
    def closure():
        return 1

    class Local:
        y = 2

    return closure, Local


def generates():
    yield inspect.currentframe()


async def coroutine():
    pass


results = {}


def source(name, thing):
    try:
        results[name] = inspect.getsourcelines(thing)
    except (OSError, TypeError) as error:
        results[name] = type(error).__name__


for name, thing in [
    ("function", function),
    ("lambda", twice),
    ("class", Plain),
    ("inner", Plain.Inner),
    ("method", Plain.method),
    ("bound", Plain().method),
    ("property", Plain.own.fget),
    ("bare", Bare),
    ("dataclass", Data),
    ("enum", Colour),
    ("named", Named),
    ("wrapped", wrapped),
    ("closure", makes()[0]),
    ("local", makes()[1]),
    ("generator", generates),
    ("coroutine", coroutine),
    ("code", function.__code__),
    ("frame", next(generates())),
    ("builtin", len),
    ("built in class", int),
    ("library", inspect.getsource.__module__),
]:
    source(name, thing)

results["comments"] = inspect.getcomments(twice)

try:
    function("a")
except TypeError:
    lines = traceback.format_exc().splitlines()
    results["traceback"] = [line for line in lines if "File" not in line]
    results["lines"] = [int(line.split("line ")[1].split(",")[0]) for line in lines if "File" in line]

linecache.checkcache()
results["after checkcache"] = inspect.getsource(function)
linecache.clearcache()
results["after clearcache"] = inspect.getsource(function)
results["stack"] = inspect.stack()[0].code_context

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    warnings.warn("old")
results["warning"] = [caught[0].lineno, warnings.formatwarning("m", UserWarning, caught[0].filename, caught[0].lineno).splitlines()[1]]
