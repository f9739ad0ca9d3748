"""The end of a Python process that works for a VM: what Python does at the end of a program.

It does not finalise the interpreter, whose threads may be in the native library then.
"""

import atexit
import gc
import sys
import threading
import time

from erlang import _end, _main

#: How long finalizers may take that other threads run, in seconds.
_PATIENCE = 1.0


def run(code, has_given_up_all, leave):
    """Ends the process. ``code``: as for ``sys.exit``. ``has_given_up_all``: tells whether nothing waits for its finalizer
    that Elixir has given up. ``leave``: ends the process with a status, and what was started from it."""

    def wait_for_finalizers():
        deadline = time.monotonic() + _PATIENCE
        while not has_given_up_all() and time.monotonic() < deadline:
            time.sleep(0.001)

    for step in (threading._shutdown, atexit._run_exitfuncs, _let_go_of_main, wait_for_finalizers):
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
