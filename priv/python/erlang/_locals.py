"""Lets go of what the frames of an exception hold, once it leaves Python.

An exception keeps the frames that it came through, and they their variables: all the data of a call that
failed, for as long as anybody has the error. What a traceback shows stays; only the variables go.
"""

from sys import getrefcount

#: ``CO_GENERATOR``, ``CO_COROUTINE`` and ``CO_ASYNC_GENERATOR``, without the import of ``inspect``.
SUSPENDED = 0x20 | 0x80 | 0x200

#: So many exceptions, and so many frames, are looked at at most.
MOST = 10_000

_cause = BaseException.__cause__.__get__
_context = BaseException.__context__.__get__
_trace = BaseException.__traceback__.__get__

try:
    _group = BaseExceptionGroup  # noqa: F821
    _members = _group.exceptions.__get__
except NameError:
    _group, _members = (), None


def let_go(exception):
    """Empties the frames that an exception, and what led to it, came through, and their callers', where
    they are finished. Frames that still run, and generators that may go on, stay as they are."""
    entries = list(_entries(exception).values())
    for entry in entries:
        if entry[0].f_code.co_flags & SUSPENDED and not _is_finished(entry):
            continue
        try:
            # Of one that runs it is refused.
            entry[0].clear()
        except RuntimeError:
            pass


def _is_finished(entry):
    # A generator, or coroutine, that goes on has a reference to its frame: one that is not known of. The
    # other two are the entry's and the argument's.
    return getrefcount(entry[0]) <= entry[1] + 2


def _entries(exception):
    """``[frame, count]`` of all frames, by their ids: how many references to them are known of."""
    entries = {}
    for each in _exceptions(exception):
        trace = _trace(each)
        while trace is not None and len(entries) < MOST:
            _count(entries, trace.tb_frame)
            trace = trace.tb_next
    return entries


def _count(entries, frame):
    """One more reference to a frame, which has one to its caller."""
    while frame is not None:
        entry = entries.get(id(frame))
        if entry is not None:
            entry[1] += 1
            return
        entries[id(frame)] = [frame, 1]
        if len(entries) >= MOST:
            return
        frame = frame.f_back


def _exceptions(exception):
    found = [exception]
    seen = {id(exception)}
    for each in found:
        others = [_cause(each), _context(each)]
        if isinstance(each, _group):
            others += _members(each)
        for other in others:
            if other is not None and id(other) not in seen and len(found) < MOST:
                seen.add(id(other))
                found.append(other)
    return found
