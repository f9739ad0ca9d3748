"""The end of a Python process that works for a VM: what Python does at the end of a program.

It does not finalise the interpreter, whose threads may be in the native library then.
"""

import atexit
import gc
import sys
import threading
import time

from erlang import _end, _main

#: How long finalizers may take that other threads run, in seconds, before and after those of ``__main__`` together.
_PATIENCE = 1.0


def run(code, has_given_up_all, leave):
    """Ends the process. ``code``: as for ``sys.exit``. ``has_given_up_all``: tells whether nothing waits for its finalizer
    that Elixir has given up. ``leave``: ends the process with a status, and what was started from it."""

    left = _PATIENCE

    def wait_for_finalizers():
        nonlocal left
        begun = time.monotonic()
        while not has_given_up_all() and time.monotonic() - begun < left:
            time.sleep(0.001)
        left -= time.monotonic() - begun

    # What is in ``__main__`` is there for the ``finally`` blocks of streams that are closed with the pool.
    steps = (wait_for_finalizers, threading._shutdown, atexit._run_exitfuncs, _let_go_of_main, wait_for_finalizers)
    for step in steps:
        try:
            step()
        except BaseException:
            sys.excepthook(*sys.exc_info())
    status = _status(code)
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            stream.flush()
        except Exception:
            # It is closed, or nobody reads it.
            pass
    leave(status)


def _let_go_of_main():
    """Finalizers find what they use, as at the end of a program: there the garbage collector runs them, for nobody has
    ``__main__`` any more. Here this very code is run by a frame that has."""
    _end.finalize(_main.NAMES)
    _end.clear(_main.NAMES)
    gc.collect()


def _status(code):
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1
