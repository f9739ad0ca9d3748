"""The lines of code that came as text: for tracebacks, warnings, ``inspect.getsource`` and debuggers.

They are kept for as long as any of the code is, which a sweep finds out now and then. ``linecache`` knows
them, from where all others take them.
"""

import io
import os
import sys
from _weakref import ref
from types import CodeType

from erlang import _imports

#: Pieces of code by the file name that they were given: a piece begins at a line and has a text.
_pieces = {}

#: How many of them, and how much text, come before the first sweep; later as much as was left by the last.
MANY, MUCH = 256, 4 << 20

_since = [0, 0]
_left = [0, 0]


class _Piece:
    __slots__ = ("line", "text", "codes")

    def __init__(self, line, text, code):
        self.line = line
        self.text = text
        self.codes = [ref(each) for each in _codes(code)]

    def is_alive(self):
        return any(code() is not None for code in self.codes)


def _codes(code):
    """A code object and those in it: a function outlives the module's code that made it."""
    found = [code]
    for each in found:
        found.extend(const for const in each.co_consts if isinstance(const, CodeType))
    return found


def install():
    _imports.when_imported("linecache", _tell)
    _imports.when_imported("inspect", _find_classes)


def remember(filename, line, text, code, given):
    """``text`` begins at ``line``. ``given``: the file's name is the user's."""
    if given and _is_there(filename, line, text):
        # As for a file that Python itself runs.
        _pieces.pop(filename, None)
        _show(filename)
        return
    _since[0] += 1
    _since[1] += len(text)
    if _since[0] > max(MANY, _left[0]) or _since[1] > max(MUCH, _left[1]):
        _sweep()
    piece = _Piece(line, text, code)
    # Of several that one file is said to have, the last is on top.
    others = tuple(other for other in _pieces.get(filename, ()) if other.line != line or other.is_alive())
    _pieces[filename] = others[-63:] + (piece,)
    _show(filename)


def _is_there(filename, line, text):
    try:
        if not os.path.isfile(filename):
            return False
        with open(filename, encoding="utf-8") as file:
            there = file.read().splitlines()
    except (OSError, ValueError):
        return False
    lines = text.splitlines()
    return there[line - 1 : line - 1 + len(lines)] == lines


def _sweep():
    _since[:] = 0, 0
    left = [0, 0]
    for filename, pieces in list(_pieces.items()):
        alive = tuple(piece for piece in pieces if piece.is_alive())
        if len(alive) < len(pieces):
            if alive:
                _pieces[filename] = alive
            else:
                _pieces.pop(filename, None)
            _show(filename)
        left[0] += len(alive)
        left[1] += sum(len(piece.text) for piece in alive)
    _left[:] = left


def lines_of(filename):
    """The lines of code that came as text, or None."""
    pieces = _pieces.get(filename)
    if pieces is None:
        return None
    lines = []
    for piece in pieces:
        # As Python splits it. `splitlines` knows other line ends too, such as form feeds.
        own = io.StringIO(piece.text, None).readlines()
        if own and not own[-1].endswith("\n"):
            # As `linecache` does with a file.
            own[-1] += "\n"
        lines.extend(["\n"] * (piece.line - 1 + len(own) - len(lines)))
        lines[piece.line - 1 : piece.line - 1 + len(own)] = own
    return lines


## linecache


def _show(filename):
    linecache = sys.modules.get("linecache")
    cache = getattr(linecache, "cache", None)
    if cache is None:
        return
    lines = lines_of(filename)
    if lines is not None:
        # Without a time, so that nobody looks for a newer file.
        cache[filename] = (sum(map(len, lines)), None, lines, filename)
    elif len(cache.get(filename, ())) == 4 and cache[filename][1] is None:
        cache.pop(filename, None)


def _tell(linecache):
    update = linecache.updatecache

    def updatecache(filename, module_globals=None):
        # Somebody has cleared the cache.
        if filename in _pieces:
            _show(filename)
            if filename in linecache.cache:
                return linecache.cache[filename][2]
        return update(filename, module_globals)

    linecache.updatecache = updatecache
    for filename in list(_pieces):
        _show(filename)


## Classes, which do not say where they are


def _find_classes(inspect):
    original = inspect.getfile

    def getfile(object):
        try:
            return original(object)
        except (OSError, TypeError):
            if isinstance(object, type):
                filename = _file_of(object)
                if filename is not None:
                    return filename
            raise

    getfile.__doc__ = original.__doc__
    inspect.getfile = getfile


def _file_of(cls):
    """The file name of the code that a class was defined in, if that came as text."""
    for name, value in list(vars(cls).items()):
        function = getattr(value, "fget", None) or getattr(value, "__func__", value)
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType) and code.co_filename in _pieces:
            if getattr(function, "__qualname__", None) == "%s.%s" % (cls.__qualname__, name):
                return code.co_filename
    if cls.__module__ != "__main__":
        return None
    # Which `inspect` has imported. By itself it would delay every start.
    import re

    line = vars(cls).get("__firstlineno__")
    definition = re.compile(r"^[ \t]*class[ \t]+%s\b" % re.escape(cls.__name__), re.MULTILINE)
    for filename, pieces in reversed(list(_pieces.items())):
        for piece in reversed(pieces):
            if definition.search(piece.text) and (line is None or _defines(piece, line, definition)):
                return filename
    return None


def _defines(piece, line, definition):
    """Whether a class begins there, or its decorators."""
    import re

    lines = piece.text.splitlines()[max(line - piece.line, 0) :]
    for text in lines:
        if definition.match(text):
            return line >= piece.line
        if re.match(r"[ \t]*class\b", text):
            return False
    return False
