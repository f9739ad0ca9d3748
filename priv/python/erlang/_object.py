"""What Elixir asks of objects that it has handles to, and that no function of Python's gives."""

import erlang


def type_name(value):
    """The class of an object as ``repr`` names it: ``collections.Counter``, but ``int``."""
    cls = type(value)
    module = cls.__module__
    return cls.__qualname__ if module == "builtins" else "%s.%s" % (module, cls.__qualname__)


def says_missing(exception):
    """Whether it is an exception of those that look-ups raise when there is nothing."""
    return isinstance(exception, (KeyError, IndexError))


def enter(manager):
    """The first half of ``with``."""
    return type(manager).__enter__(manager)


def leave(manager, error):
    """The second half: ``error`` is nothing, or the kind, reason and stacktrace of what was raised
    on the other side. Says whether the manager wants it swallowed."""
    if error is None:
        type(manager).__exit__(manager, None, None, None)
        return False
    exception = erlang.Error(*error)
    return bool(type(manager).__exit__(manager, type(exception), exception, None))


def memory():
    """Numbers for ``py:memory_stats/0``."""
    import gc
    import sys

    return [sys.getallocatedblocks(), list(gc.get_count())]
