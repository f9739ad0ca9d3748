"""What calls of the stress run leave behind for others to fall over: finalizers, variables, tracers, modules."""

import contextlib
import contextvars
import cProfile
import decimal
import importlib
import itertools
import os
import sys
import threading
import time

import erlang

VAR = contextvars.ContextVar("stress", default=None)

made = itertools.count()
finalized = itertools.count()

_unraisable = sys.unraisablehook


def _quietly(unraisable):
    """An interrupt may strike in a finalizer, which is told to nobody but the standard error."""
    if not issubclass(unraisable.exc_type, erlang.Interrupt):
        _unraisable(unraisable)


sys.unraisablehook = _quietly


class Text(str):
    """An item that is converted, and dropped."""

    def __del__(self):
        x = 0
        for i in range(20):
            x += i


class Slow(Text):
    def __del__(self):
        time.sleep(0.0005)


class Asking(Text):
    def __del__(self):
        erlang.call("stress_echo", 1)


def items(n, count, kind):
    cls = {"plain": Text, "slow": Slow, "asking": Asking}[kind]
    for i in range(count):
        yield cls("%d %d" % (n, i))


_profiler = threading.Lock()


def profiled(n):
    """Python lets one profiler run at a time."""
    if not _profiler.acquire(False):
        return traced(n)
    try:
        return cProfile.Profile().runcall(_work, n)
    finally:
        _profiler.release()


def traced(n):
    lines = []

    def tracer(frame, event, arg):
        lines.append(event)
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        _work(n)
    finally:
        sys.settrace(before)
    return n if "line" in lines else -n


def _work(n):
    total = 0
    for i in range(200):
        total += i
    return n


def reload(n):
    import stress_reloaded

    importlib.reload(stress_reloaded)
    return stress_reloaded.echo(n)


def leave(n):
    """Sets what only its own call is to see."""
    VAR.set(n)
    decimal.getcontext().prec = 4
    return VAR.get()


def seen():
    return VAR.get(), decimal.getcontext().prec


@contextlib.contextmanager
def managed(n):
    """Bound to its thread and to its context, as many managers of libraries are."""
    thread = threading.get_ident()
    token = VAR.set(n)
    try:
        yield n
    finally:
        if thread != threading.get_ident():
            os.write(2, b"a context manager was left on another thread\n")
        VAR.reset(token)


class Temporary:
    """Of a context that ends."""

    def __init__(self):
        next(made)

    def __del__(self):
        next(finalized)


#: Executed in a context: what the class needs when the context ends is the context's own.
IN_A_CONTEXT = """
import os
import stress_state

class Temporary(stress_state.Temporary):
    def __del__(self):
        os.getpid()
        helper()
        super().__del__()

def helper():
    return Temporary.__name__

one = Temporary()
ring = [Temporary()]
ring.append(ring)
"""


def leftovers():
    return {"made": made.__reduce__()[1][0], "finalized": finalized.__reduce__()[1][0]}
