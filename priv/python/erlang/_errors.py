"""Exceptions as plain data, for the other side to show as Python would."""

import builtins
import os
import sys

from erlang import _builtins, _locals, _tracebacks

#: Frames of this package are not shown where a traceback begins.
HERE = os.path.dirname(__file__)

#: Exceptions that Python itself defines, by their ids: a class may have a metaclass whose ``__eq__``
#: says that it is one of them. Only their names may become atoms.
BUILT_IN = frozenset(
    id(cls)
    for cls in vars(builtins).values()
    if isinstance(cls, type) and issubclass(cls, BaseException)
)

# Python says more of these than their text: a suggestion, a line of source, the exceptions in them.
_TALKATIVE = (SyntaxError, ImportError, NameError, AttributeError, getattr(builtins, "BaseExceptionGroup", ()))

# ``Py_TPFLAGS_HEAPTYPE``.
_MADE_BY_CODE = 1 << 9

#: The classes of Python's of whose exceptions, of these very classes, it says no more than name, text and notes.
PLAIN = frozenset(
    id(cls)
    for cls in vars(builtins).values()
    if id(cls) in BUILT_IN and not cls.__flags__ & _MADE_BY_CODE and not issubclass(cls, _TALKATIVE)
)

#: Of an exception whose ``__str__`` fails.
NO_MESSAGE = "<exception str() failed>"

#: The longest chain of causes that is followed.
CHAIN = 32

# What every exception has, whatever its class makes of attributes.
_cause = BaseException.__cause__.__get__
_context = BaseException.__context__.__get__
_suppressed = BaseException.__suppress_context__.__get__
_trace = BaseException.__traceback__.__get__

_text = _tracebacks.text


def describe(exception, keep_locals):
    """A list of ``(data, exception)``: the exception, its cause, the cause's cause, …

    Their frames let go of their variables, unless these are to be kept.
    """
    try:
        return _chain(exception)
    finally:
        if not keep_locals:
            try:
                _locals.let_go(exception)
            except BaseException:
                # They stay then. What is freed may run code, which may be interrupted.
                pass


def _chain(exception):
    chain = []
    seen = set()
    while exception is not None and id(exception) not in seen and len(chain) < CHAIN:
        seen.add(id(exception))
        link, next_one = None, None
        if _cause(exception) is not None:
            link, next_one = "cause", _cause(exception)
        elif not _suppressed(exception) and _context(exception) is not None:
            link, next_one = "context", _context(exception)
        chain.append((_data(exception, link), exception))
        exception = next_one
    return chain


def _data(exception, link):
    """In the order that ``Python.Error.from_native/1`` takes it in."""
    cls = type(exception)
    trace = _theirs(_trace(exception))
    if issubclass(cls, ImportError) and _of_importlib(trace):
        # As where an import statement fails: Python shows none of these then.
        trace = None
    message = _message(exception)
    notes = _notes(exception)
    try:
        said = _said(exception, message) if id(cls) in PLAIN and message is not NO_MESSAGE else None
        traceback, frames = _tracebacks.describe(exception, trace, _in_a_line, said)
    except BaseException:
        traceback, frames = _in_a_line(exception), []
    if notes and sys.version_info < (3, 11):
        traceback += "".join("%s\n" % note for note in notes)
    return (
        _name(cls),
        _module(cls),
        id(cls) in BUILT_IN,
        message,
        frames,
        notes,
        _text(traceback),
        link,
        _builtins.hint() or (_hint(exception, message) if issubclass(cls, HINTED) else None),
    )


def _name(cls):
    try:
        return _text(type.__dict__["__qualname__"].__get__(cls))
    except BaseException:
        return "Exception"


def _module(cls):
    try:
        return _text(cls.__module__ or "builtins")
    except BaseException:
        return "builtins"


def _theirs(trace):
    """The part of a traceback that begins in the user's code."""
    start = trace
    while start is not None and start.tb_frame.f_code.co_filename.rpartition(os.sep)[0] == HERE:
        start = start.tb_next
    return start


def _of_importlib(trace):
    """Whether a traceback shows the machinery of imports and nothing else."""
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if not (filename.startswith("<frozen importlib") or filename == _imported_by()):
            return False
        trace = trace.tb_next
    return True


def _imported_by():
    """The file of ``importlib.import_module``."""
    module = sys.modules.get("importlib")
    return getattr(module, "__file__", None)


#: What there may be something to say about.
HINTED = (ImportError, SyntaxError, TypeError, AttributeError, RuntimeError, ValueError)


#: In messages about code that is to be awaited, or awaited in another event loop.
AWAITING = ("'await'", "'async ", "asynchronous", "'coroutine'", "'async_generator'", "to a different ")


def _hint(exception, message):
    try:
        if not isinstance(exception, ImportError) and not any(word in message for word in AWAITING):
            return None
        from erlang import _hints

        return _text(_hints.of(exception) or "") or None
    except BaseException:
        return None


def _message(exception):
    try:
        return _text(str(exception))
    except BaseException:
        return NO_MESSAGE


def _notes(exception):
    try:
        return [_text(str(note)) for note in getattr(exception, "__notes__", None) or ()]
    except BaseException:
        return []


def _said(exception, message):
    """What Python says of one that is plain. None if it has notes, which may be anything."""
    if hasattr(exception, "__notes__"):
        return None
    name = type(exception).__name__
    return "%s: %s\n" % (name, message) if message else name + "\n"


def _in_a_line(exception):
    return "%s: %s\n" % (_name(type(exception)), _message(exception))


def represent(value, limit):
    """``(class, text)`` of an object, each at most ``limit`` characters, whatever its repr does."""
    try:
        kind = _text(repr(type(value)))
    except Exception:
        kind = "<class '%s'>" % _text(type.__getattribute__(type(value), "__name__"))
    try:
        text = _text(repr(value))
    except Exception as exception:
        text = "<repr() failed with %s>" % _text(type(exception).__name__)
    return _cut(kind, limit), _cut(text, limit)


def _cut(text, limit):
    return text if len(text) <= limit else text[: limit - 1] + "…"


def class_name(cls):
    """The full name of a class, whatever its metaclass says."""
    module = type.__dict__["__module__"].__get__(cls)
    name = _name(cls)
    return name if module == "builtins" else "%s.%s" % (_text(module), name)
