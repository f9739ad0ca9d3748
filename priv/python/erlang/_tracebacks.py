"""What Python prints of an exception, and the frames that it came through.

Python's own ``traceback`` makes the text, when the exception leaves Python: a file may be another one by the time
that somebody reads it. But that takes up to 100 µs for each frame. So what it has made for a place in code is
remembered, with the lines of source that it was made of, and is used as long as ``linecache`` has the same lines.
"""

import builtins
import os
import stat
import sys
from _weakref import ref

from erlang import _lines

#: The frames shown of a deep traceback: the outermost and the innermost.
FIRST, LAST = 32, 96

#: Of a traceback with more frames than this the text has the innermost ones only. Python folds repeated
#: lines, so that deep recursion mostly makes a short text.
PRINTED = 4_096

#: So many places are remembered, and none with a longer text.
MANY, LONG = 1_024, 4_096

#: Of a line that is repeated, so many are shown and the others counted.
REPEATED = 3

HEADER = "Traceback (most recent call last):\n"

#: By the id of the code, the instruction and the line.
_places = {}

_group = getattr(builtins, "BaseExceptionGroup", ())
_cause = BaseException.__cause__.__get__
_context = BaseException.__context__.__get__


class _Place:
    """Where a traceback goes through: ``text`` is what Python prints for it, ``frame`` the name of the file, the line,
    the function, and the text of the line or None. ``lines`` were those of the source from ``first`` to ``end``."""

    __slots__ = ("code", "where", "text", "frame", "first", "end", "lines")


def describe(exception, trace, otherwise, said=None):
    """What Python prints for an exception alone, without its causes, and the frames to show.

    ``otherwise`` gives what is said of the exception itself where Python fails to say something, and ``said`` is what
    Python says of it, where that is known.
    """
    entries = []
    while trace is not None:
        entries.append(trace)
        trace = trace.tb_next
    places = _along(entries if len(entries) <= PRINTED else entries[-LAST:])
    text = _text(exception, entries, places, otherwise, said)
    if len(entries) > FIRST + LAST:
        first = places if len(entries) <= PRINTED else _along(entries[:FIRST])
        places = first[:FIRST] + places[-LAST:]
    return text, [place.frame for place in places]


def _text(exception, entries, places, otherwise, said):
    header = [HEADER] if places else []
    try:
        import traceback

        trace = entries[0] if entries else None
        if isinstance(exception, _group) or hasattr(sys, "tracebacklimit") or _is_changed(traceback):
            limit = None if len(entries) <= PRINTED else -LAST
            return "".join(_alone(traceback, exception, trace, limit).format())
        if said is None:
            # Without frames. Suggestions need the traceback all the same.
            said = "".join(_alone(traceback, exception, trace, 0).format_exception_only())
        return "".join([*header, *_folded(places), said])
    except BaseException:
        return "".join([*header, *_folded(places), otherwise(exception)])


def _alone(traceback, exception, trace, limit):
    cls = type(exception)
    if isinstance(exception, _group):
        # The exceptions in it come with their own causes.
        own = traceback.TracebackException(cls, exception, trace, limit=limit)
    else:
        # Told that it is met on the way along a chain, it does not go along the chain itself, which
        # would be done for each exception in it.
        seen = {id(_cause(exception)), id(_context(exception))}
        own = traceback.TracebackException(cls, exception, trace, limit=limit, _seen=seen)
        own.exceptions = None
    own.__cause__ = own.__context__ = None
    return own


def _is_changed(traceback):
    """Whether somebody has put functions of theirs into ``traceback``, as the package ``exceptiongroup`` does."""
    own = traceback.__dict__
    exception, stack = traceback.TracebackException, traceback.StackSummary
    of_frame = getattr(stack, "format_frame_summary", stack.format)
    for function in (exception.__init__, exception.format, exception.format_exception_only, stack.format, of_frame):
        if getattr(function, "__globals__", None) is not own:
            return True
    return False


def _folded(places):
    """The texts of places. As Python does it, the same line again and again is counted."""
    texts = []
    last, count = None, 0
    for place in places:
        where = place.where
        if where != last or where[1] is None:
            if count > REPEATED:
                texts.append(_repeated(count - REPEATED))
            last, count = where, 0
        count += 1
        if count <= REPEATED:
            texts.append(place.text)
    if count > REPEATED:
        texts.append(_repeated(count - REPEATED))
    return texts


def _repeated(times):
    return "  [Previous line repeated %d more time%s]\n" % (times, "s" if times > 1 else "")


## Places


def _along(entries):
    """The places of a traceback's entries."""
    try:
        import linecache
    except BaseException:
        # Code has deleted builtins that it needs. There are only the lines of code that came as text.
        linecache = None
    known = {}
    sources = {}
    places = []
    for entry in entries:
        code = entry.tb_frame.f_code
        key = (id(code), entry.tb_lasti, entry.tb_lineno)
        place = known.get(key)
        if place is None:
            place = _places.get(key)
            filename = code.co_filename
            if filename not in sources:
                sources[filename] = _source(linecache, filename)
            if place is None or place.code() is not code or not _has_lines(place, sources[filename]):
                place = _made(linecache, entry, code, key)
                sources[filename] = _source(linecache, filename)
            known[key] = place
        places.append(place)
    return places


def _source(linecache, filename):
    """The lines of a file. None where that is not known without a search."""
    try:
        linecache.checkcache(filename)
        entry = linecache.cache.get(filename)
        if entry is not None and len(entry) == 4:
            return entry[2] if isinstance(entry[2], list) else None
        if filename[:1] == "<" and filename[-1:] == ">":
            return []
        if os.path.isabs(filename):
            try:
                os.stat(filename)
            except OSError:
                return []
    except BaseException:
        pass
    return None


def _has_lines(place, source):
    return source is not None and source[place.first : place.end] == place.lines


def _made(linecache, entry, code, key):
    number = entry.tb_lineno
    place = _Place()
    place.where = (code.co_filename, number, code.co_name)
    try:
        _keep_from_devices(linecache, code.co_filename)
        import traceback

        summary = traceback.extract_tb(entry, 1)
        place.text = text("".join(summary.format()))
        line = summary[0].line
        remembered = len(place.text) <= LONG and linecache.getlines.__globals__ is linecache.__dict__
    except BaseException:
        line, remembered = _line(code.co_filename, number), False
        place.text = text('  File "%s", line %s, in %s\n' % place.where)
        if line:
            place.text += "    %s\n" % text(line.strip())
    line = text(line.strip()) if line and number else None
    place.frame = (text(code.co_filename), number or 0, text(code.co_name), line or None)
    if remembered:
        place.code = ref(code)
        place.first = max((number or 0) - 1, 0)
        place.end = max(getattr(summary[0], "end_lineno", None) or number or 0, place.first)
        source = _source(linecache, code.co_filename)
        if source is not None:
            place.lines = source[place.first : place.end]
            _remember(key, place)
    return place


def _line(filename, number):
    """A line of code that came as text."""
    lines = _lines.lines_of(filename)
    return lines[number - 1] if lines and number and number <= len(lines) else None


def _remember(key, place):
    if len(_places) >= MANY:
        # Those of code that is gone. If these are few, all: there is more of it than is kept.
        gone = [key for key, place in list(_places.items()) if place.code() is None]
        if len(gone) < MANY // 4:
            _places.clear()
        for each in gone:
            _places.pop(each, None)
    _places[key] = place


def _keep_from_devices(linecache, filename):
    """Keeps ``linecache`` from reading pipes and devices that a traceback names, which may block or not end."""
    if filename in linecache.cache:
        return
    try:
        regular = stat.S_ISREG(os.stat(filename).st_mode)
    except (OSError, ValueError):
        return
    if not regular:
        # Without a time, so that it is not looked for again.
        linecache.cache[filename] = (0, None, [], filename)


def text(value):
    """A str that can be encoded: lone surrogates become escapes."""
    if not isinstance(value, str):
        value = str(value)
    # Of `str` itself: a subclass may have an `encode` of its own.
    return str.encode(value, "utf-8", "backslashreplace").decode("utf-8")
