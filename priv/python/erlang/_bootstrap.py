"""Prepares the interpreter for its life inside the BEAM. Called once, by its main thread."""

import builtins
import gc

# What is made from here on stays: to look through it again and again takes a tenth of the start.
COLLECTS = gc.isenabled()
gc.disable()

import functools
import operator
import os
import sys
import threading

import erlang

# Some are for the native library, which asks for them next.
from erlang import (  # noqa: F401
    _additions,
    _ahead,
    _code,
    _decode,
    _end,
    _errors,
    _foreign,
    _forks,
    _function,
    _guards,
    _imports,
    _interrupts,
    _isolation,
    _lasting,
    _lines,
    _locks,
    _logging,
    _loops,
    _main,
    _names,
    _stdio,
    _stream,
    _unfinished,
)

#: Bytes of C stack that one level of recursion may take. The costliest way that was found, a sort
#: whose key function sorts, takes two thirds of it.
LEVEL = 8_192

#: How long code that computes keeps the GIL while others wait for it, in seconds. By itself Python takes
#: ten times as long, and then a tiny call takes so long beside a call that computes. And as the threads take
#: turns on the processors, the VM's schedulers get theirs as late, and timers with them. The turns cost
#: nothing that can be measured down to here.
SWITCH_INTERVAL = 0.0005


def prepare(stack_size, stdio, logging, notebook, paths, shares_the_vm):
    """``shares_the_vm``: Python runs in the VM's process, which no code is to end, stop or change. Otherwise the
    process is Python's own, and all that concerns it is as in any program: signals, forks, ``os._exit``, limits."""
    sys.path[:0] = paths
    if not hasattr(sys, "argv"):
        sys.argv = [""]
    # The current directory, as for `python -c`, but last: a file there that happens to be called
    # `random.py` does not take the standard library's place.
    if "" not in sys.path and not os.environ.get("PYTHONSAFEPATH"):
        sys.path.append("")
    # A name wherever code runs, without an import.
    builtins.erlang = erlang
    _main.install()
    _lasting.install()
    _lines.install()
    _follow_threads()
    if shares_the_vm:
        _live_in_the_vm(stack_size)
    else:
        _interrupts.listen()
        _additions.follow()
    _locks.install()
    _unfinished.install()
    _foreign.install()
    _loops.install()
    if stdio:
        _stdio.install()
    else:
        # Nobody flushes at the end: the interpreter is never finalised.
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(line_buffering=True)
    if logging:
        _logging.install()
    if notebook:
        _imports.when_imported("matplotlib", _draw_without_a_display)
    if COLLECTS:
        _begin_to_collect()


def _begin_to_collect():
    # All that there is becomes old, as it would by being looked through.
    if gc.get_freeze_count() == 0:
        gc.freeze()
        gc.unfreeze()
    gc.enable()


def _live_in_the_vm(stack_size):
    sys.setswitchinterval(SWITCH_INTERVAL)
    # Threads that Python starts can recurse as deep as those that we start.
    threading.stack_size(stack_size)
    _limit_recursion(stack_size // LEVEL)
    _guards.install()
    _forks.install()


def _follow_threads():
    """A thread works for the call that started it: what it prints goes where that call's output goes, and
    its ``__main__`` is that of the context which started it."""
    start = threading.Thread.start
    bootstrap = threading.Thread._bootstrap_inner

    @functools.wraps(start)
    def start_for_a_call(self):
        self._erlang_origin = erlang._origin()
        self._erlang_main = _main.current()
        return start(self)

    @functools.wraps(bootstrap)
    def bootstrap_for_a_call(self):
        erlang._adopt(self.__dict__.pop("_erlang_origin", None))
        _main.adopt(self.__dict__.pop("_erlang_main", None))
        forked = erlang._is_forked()
        bootstrap(self)
        _forks.end_with_thread(forked)

    threading.Thread.start = start_for_a_call
    threading.Thread._bootstrap_inner = bootstrap_for_a_call

    import _thread

    start_bare = _thread.start_new_thread

    def start_new_thread(function, args, kwargs={}, /):
        origin, main = erlang._origin(), _main.current()
        if not callable(function):
            return start_bare(function, args, kwargs)

        def run(*args, **kwargs):
            erlang._adopt(origin)
            _main.adopt(main)
            forked = erlang._is_forked()
            try:
                return function(*args, **kwargs)
            except SystemExit:
                raise
            except BaseException:
                if erlang._is_forked():
                    sys.excepthook(*sys.exc_info())
                raise
            finally:
                _forks.end_with_thread(forked)

        return start_bare(run, args, kwargs)

    _guards.take_the_place_of(_thread, "start_new_thread", start_new_thread)


def _limit_recursion(most):
    """Keeps ``sys.setrecursionlimit`` from promising more than the stack can hold.

    Recursion through C takes C stack, and the limit is all that stands between deep recursion and
    the end of the VM. Scripts set it in the hope of more; they get what is safe, and a warning.
    """
    setrecursionlimit = sys.setrecursionlimit

    def limited(limit, /):
        # A plain int, whatever came: what `limit` says of itself in a comparison does not count.
        limit = int.__add__(operator.index(limit), 0)
        if limit > most:
            import warnings

            warnings.warn(
                "the recursion limit is set to %d instead of %d, which is as deep as the stack is "
                "sure to last (the setting thread_stack_size of erlang_python)" % (most, limit),
                RuntimeWarning,
                stacklevel=2,
            )
            limit = most
        setrecursionlimit(limit)

    _guards.take_the_place_of(sys, "setrecursionlimit", limited)


def _draw_without_a_display(matplotlib):
    """Left to itself, matplotlib takes a toolkit that opens windows where it finds one. Those need the
    main thread of a process of their own; on macOS they would end the VM."""
    if not os.environ.get("MPLBACKEND") and hasattr(matplotlib, "use"):
        matplotlib.use("agg")


def forget_thread(ident):
    """Drops the stand-in that ``threading`` made for a thread of ours when it was first asked for it.

    Newer versions of Python do so themselves.
    """
    with threading._active_limbo_lock:
        if isinstance(threading._active.get(ident), threading._DummyThread):
            del threading._active[ident]
