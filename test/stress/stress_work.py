"""What the stress run asks of Python. Each answer carries its request's number."""

import gc
import itertools
import logging
import queue
import sys
import threading
import time
import traceback
import types

LOCAL = threading.local()

entered = itertools.count()
left = itertools.count()


def echo(n):
    return n


def work(n, loops):
    total = 0
    for i in range(loops):
        total += i
    return n


def nap(n, seconds):
    time.sleep(seconds)
    return n


def fail(n):
    raise ValueError(n)


def fail_at(n, bad):
    if n == bad:
        raise LookupError(n)
    return n


def spin(n):
    while True:
        pass


def wait(n):
    """Waits without end, in short steps: a thread that sleeps can only be interrupted between two."""
    while True:
        time.sleep(0.001)


def guarded(n):
    try:
        next(entered)
        while True:
            time.sleep(0.001)
    finally:
        next(left)


def stubborn(n):
    """Does not let itself be interrupted the first time."""
    try:
        while True:
            time.sleep(0.001)
    except BaseException:
        pass
    time.sleep(0.005)
    return -n


class Nowhere(logging.Handler):
    def emit(self, record):
        pass


LOG = logging.getLogger("stress")
LOG.propagate = False
LOG.addHandler(Nowhere())
QUEUE = queue.Queue()


def locks(n, times):
    """Takes locks that everybody needs. One that stays locked stops all others."""
    for _ in range(times):
        LOG.warning("%s", n)
        QUEUE.put(n)
        QUEUE.get()
    return n


def back(n, function):
    """Calls Elixir."""
    return function(n)


def hold(n, loops):
    """A C function that holds the GIL."""
    sum(range(loops))
    return n


def items(n, count, pause=0):
    try:
        next(entered)
        for i in range(count):
            if pause:
                time.sleep(pause)
            yield n, i
    finally:
        next(left)


def items_that_fail(n, count):
    for i in range(count):
        yield n, i
    raise ValueError(n)


class Thing:
    def __init__(self, n):
        self.n = n
        self.ring = self  # only the garbage collector frees it

    def number(self):
        return self.n


class Plain:
    def __init__(self, n):
        self.n = n

    def number(self):
        return self.n


def remember(n):
    LOCAL.n = n
    return threading.get_ident()


def recall():
    return getattr(LOCAL, "n", None), threading.get_ident()


def count(iterator):
    """How many have been taken of an ``itertools.count``."""
    return iterator.__reduce__()[1][0]


def stacks():
    """Where all threads are, when something hangs."""
    lines = []
    for frame in sys._current_frames().values():
        calls = [
            "%s:%d %s" % (f.f_code.co_filename, line, f.f_code.co_name)
            for f, line in traceback.walk_stack(frame)
        ]
        lines.append(" < ".join(calls[:6]))
    return "\n".join(sorted(lines))


def leftovers():
    """What should be gone when nobody works any more."""
    gc.collect()
    alive = {"objects": 0, "generators": 0}
    for thing in gc.get_objects():
        kind = type(thing)
        if kind is Thing or kind is Plain:
            alive["objects"] += 1
        elif kind is types.GeneratorType and thing.gi_code.co_name.startswith("items"):
            alive["generators"] += 1
    alive["entered"] = count(entered)
    alive["left"] = count(left)
    alive["threads"] = len(threading.enumerate())
    return alive
