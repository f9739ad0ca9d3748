"""Wakes the event loop of a call that is given up.

A loop waits in its selector for as long as nothing happens. The interrupt strikes when it has been woken, and
``asyncio.run`` then cancels the tasks, so that their ``finally`` blocks run in time.
"""

import functools
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


def _nothing():
    pass


def _wake(loop):
    try:
        loop.call_soon_threadsafe(_nothing)
    except RuntimeError:
        # It has been closed meanwhile.
        pass
