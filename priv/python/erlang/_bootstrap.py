"""Prepares the interpreter for its life inside the BEAM. Called once, by its main thread."""

import os
import sys
import threading


def prepare(stack_size):
    if not hasattr(sys, "argv"):
        sys.argv = [""]
    # The current directory, as for `python -c`, but last: a file there that happens to be called
    # `random.py` does not take the standard library's place.
    if "" not in sys.path and not os.environ.get("PYTHONSAFEPATH"):
        sys.path.append("")
    # Threads that Python starts can recurse as deep as those that we start.
    threading.stack_size(stack_size)
    _limit_recursion(stack_size)
    _forbid_fork()
    # Nobody flushes at the end: the interpreter is never finalised.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)


def _limit_recursion(stack_size):
    """Keeps ``sys.setrecursionlimit`` from promising more than the stack can hold.

    Up to 3.11 every Python call (3.11: every call through C) takes C stack, and the limit is all
    that stands between deep recursion and the end of the VM.
    """
    # The costliest way to recurse that was found takes less than this many bytes a level.
    most = max(1_000, stack_size // 2_048)
    setrecursionlimit = sys.setrecursionlimit

    def limited(limit, /):
        if isinstance(limit, int) and limit > most:
            raise ValueError(
                "recursion limit %d is too high for this stack: at most %d "
                "(set thread_stack_size of the application erlang_python for more)" % (limit, most)
            )
        setrecursionlimit(limit)

    limited.__name__ = limited.__qualname__ = "setrecursionlimit"
    limited.__doc__ = setrecursionlimit.__doc__
    sys.setrecursionlimit = limited


def _forbid_fork():
    """``fork`` would copy one thread of a VM that has dozens, and the copy could only hang.

    ``subprocess`` does not fork this way and works, as does ``multiprocessing`` with ``spawn``.
    """

    def fork(*_):
        raise RuntimeError(
            "os.fork() is not possible inside the BEAM: the child would be a copy of the VM "
            "without its schedulers. Use subprocess, or multiprocessing with the 'spawn' method."
        )

    for name in ("fork", "forkpty"):
        if hasattr(os, name):
            setattr(os, name, fork)
