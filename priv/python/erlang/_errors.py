"""Exceptions as plain data, for the other side to show as Python would."""

import builtins
import os
import stat
import sys

from erlang import _builtins, _code, _locals

#: Frames of this package are not shown where a traceback begins.
HERE = os.path.dirname(__file__)

#: Exceptions that Python itself defines, by their ids: a class may have a metaclass whose ``__eq__``
#: says that it is one of them. Only their names may become atoms.
BUILT_IN = frozenset(
    id(cls)
    for cls in vars(builtins).values()
    if isinstance(cls, type) and issubclass(cls, BaseException)
)

#: The frames shown of a deep traceback: the outermost and the innermost.
FIRST, LAST = 32, 96

#: A traceback of more frames than this is formatted from its innermost ones only. Python folds
#: repeated lines, so that deep recursion mostly makes a short text, but it is slow at it.
FORMATTED = 4_096

#: The longest chain of causes that is followed.
CHAIN = 32

# What every exception has, whatever its class makes of attributes.
_cause = BaseException.__cause__.__get__
_context = BaseException.__context__.__get__
_suppressed = BaseException.__suppress_context__.__get__
_trace = BaseException.__traceback__.__get__


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
        data = _data(exception)
        chain.append((data, exception))
        if _cause(exception) is not None:
            data["link"], exception = "cause", _cause(exception)
        elif _context(exception) is not None and not _suppressed(exception):
            data["link"], exception = "context", _context(exception)
        else:
            break
    return chain


def _data(exception):
    cls = type(exception)
    trace = _theirs(_trace(exception))
    if issubclass(cls, ImportError) and _of_importlib(trace):
        # As where an import statement fails: Python shows none of these then.
        trace = None
    try:
        _keep_from_devices(trace)
    except BaseException:
        pass
    return {
        "type": _name(cls),
        "module": _module(cls),
        "builtin": id(cls) in BUILT_IN,
        "message": _message(exception),
        "frames": _frames(trace),
        "notes": _notes(exception),
        "traceback": _traceback(exception, trace),
        "link": None,
        "hint": _builtins.hint() or (_hint(exception) if issubclass(cls, HINTED) else None),
    }


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


def _hint(exception):
    try:
        if not isinstance(exception, ImportError) and not any(word in str(exception) for word in AWAITING):
            return None
        from erlang import _hints

        return _text(_hints.of(exception) or "") or None
    except BaseException:
        return None


def _message(exception):
    try:
        return _text(str(exception))
    except BaseException:
        return "<exception str() failed>"


def _notes(exception):
    try:
        return [_text(str(note)) for note in getattr(exception, "__notes__", None) or ()]
    except BaseException:
        return []


def _frames(trace):
    entries = []
    while trace is not None:
        entries.append((trace.tb_frame.f_code, trace.tb_lineno))
        trace = trace.tb_next
    if len(entries) > FIRST + LAST:
        entries = entries[:FIRST] + entries[-LAST:]
    return [
        {
            "file": _text(code.co_filename),
            "line": line or 0,
            "function": _text(code.co_name),
            "code": _line(code.co_filename, line),
        }
        for code, line in entries
    ]


def _keep_from_devices(trace):
    """Keeps ``linecache`` from reading pipes and devices that a traceback names, which may block or not end."""
    import linecache

    seen = set()
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        trace = trace.tb_next
        if filename in seen or filename in linecache.cache:
            continue
        seen.add(filename)
        try:
            regular = stat.S_ISREG(os.stat(filename).st_mode)
        except (OSError, ValueError):
            continue
        if not regular:
            # Without a time, so that it is not looked for again.
            linecache.cache[filename] = (0, None, [], filename)


def _line(filename, number):
    if not number:
        return None
    try:
        lines = _code.lines_of(filename)
        if lines is None:
            import linecache

            line = linecache.getline(filename, number)
        else:
            line = lines[number - 1] if number <= len(lines) else ""
    except BaseException:
        return None
    return _text(line.strip()) or None


def _traceback(exception, trace):
    """What Python prints for this exception alone, without its causes."""
    try:
        import traceback

        limit = None if _length(trace) <= FORMATTED else -LAST
        try:
            text = _text("".join(_formatted(exception, trace, limit)))
            if sys.version_info < (3, 11):
                text += "".join("%s\n" % note for note in _notes(exception))
            return text
        except BaseException:
            lines = traceback.format_tb(trace, limit)
            if lines:
                lines.insert(0, "Traceback (most recent call last):\n")
            return _text("".join(lines)) + _in_a_line(exception)
    except BaseException:
        return _in_a_line(exception)


def _formatted(exception, trace, limit):
    import traceback

    cls = type(exception)
    group = getattr(builtins, "BaseExceptionGroup", ())
    if isinstance(exception, group):
        # The exceptions in it come with their own causes.
        own = traceback.TracebackException(cls, exception, trace, limit=limit)
    else:
        # Told that it is met on the way along a chain, it does not go along the chain itself, which
        # would be done for each exception in it.
        seen = {id(_cause(exception)), id(_context(exception))}
        own = traceback.TracebackException(cls, exception, trace, limit=limit, _seen=seen)
        own.exceptions = None
    own.__cause__ = own.__context__ = None
    return own.format()


def _in_a_line(exception):
    return "%s: %s\n" % (_name(type(exception)), _message(exception))


def _length(trace):
    length = 0
    while trace is not None:
        length += 1
        trace = trace.tb_next
    return length


def _text(value):
    """A str that can be encoded: lone surrogates become escapes."""
    if not isinstance(value, str):
        value = str(value)
    # Of `str` itself: a subclass may have an `encode` of its own.
    return str.encode(value, "utf-8", "backslashreplace").decode("utf-8")


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
