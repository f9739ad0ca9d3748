"""Wakes the event loop of a call that is given up.

A loop waits in its selector for as long as nothing happens. The interrupt strikes when it has been woken, and
``asyncio.run`` then cancels the tasks, so that their ``finally`` blocks run in time.
"""

import functools
import sys
import threading

import erlang
from erlang import _imports
from erlang._locks import ANYWHERE, DELICATE


#: Loops in C, which call Python back. They end, and hand on the ``KeyboardInterrupt`` that strikes there.
_IN_C = ("uvloop", "winloop")


class _Here(threading.local):
    #: Takes back what was registered for the loop that runs on this thread.
    registered = None


_here = _Here()


def install():
    _imports.when_imported("asyncio.events", _follow_loops)
    _imports.when_imported("trio._core._run", _follow_trio)


def _follow_loops(events):
    original = events._set_running_loop

    # Every kind of loop calls this when it starts, with itself, and when it ends.
    @functools.wraps(original)
    def _set_running_loop(loop):
        original(loop)
        registered, _here.registered = _here.registered, None
        if registered is not None:
            registered()
        erlang._trust_callbacks(type(loop).__module__.partition(".")[0] in _IN_C)
        if loop is not None:
            _here.registered = erlang._on_interrupts(functools.partial(_wake, loop))

    DELICATE[_set_running_loop.__code__] = [ANYWHERE]
    events._set_running_loop = _set_running_loop


def _follow_trio(run):
    """Ends what trio runs as Ctrl-C does on the main thread: its internals do not survive an interrupt that strikes
    them, and nobody else wakes them where they wait."""
    original = getattr(run, "unrolled_run", None)
    if original is None:
        return

    @functools.wraps(original)
    def unrolled_run(runner, *args, **kwargs):
        end = functools.partial(_end_trio, runner)
        # Before the first interrupt, so that none strikes. Should trio not end by itself, at each, where it waits.
        registered = erlang.on_interrupt(end), erlang._on_interrupts(end)
        try:
            return (yield from original(runner, *args, **kwargs))
        finally:
            for take_back in registered:
                take_back()

    run.unrolled_run = unrolled_run


def _end_trio(runner):
    # Not in its documentation, so a newer one may lack it.
    deliver = getattr(runner, "deliver_ki", None)
    if deliver is not None:
        deliver()


def leave():
    """Ends the mark of a loop that a call has left on its thread, where no other call could run a loop."""
    if _here.registered is not None:
        sys.modules["asyncio.events"]._set_running_loop(None)


def _nothing():
    pass


def _wake(loop):
    try:
        loop.call_soon_threadsafe(_nothing)
    except RuntimeError:
        # It has been closed meanwhile.
        pass
