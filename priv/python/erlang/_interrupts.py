"""Where an interrupt strikes that has come too late for the code that it was meant for."""

import _signal
import sys

#: Whether all threads look when an interrupt is pending in one of them.
ONE_MARK = sys.version_info < (3, 13)


def absorb():
    """Is struck by an interrupt that is pending in the thread; does nothing if there is none.

    To take one back would leave a mark in the interpreter, up to Python 3.12: that there is something to be
    looked at between two bytecodes. Nothing removes it but an interrupt that strikes. Until then loops are
    slower in all threads, and in 3.11 code that is traced or profiled stands still.
    """
    # No names that a script could have changed.
    left = 64
    while left:
        left -= 1


def listen():
    """Lets an interrupt strike the main thread where it waits in C: a signal ends the wait, as it would in any
    program, and then the interrupt strikes in its handler. Only in a process of Python's own. The signal is one that
    does nothing by itself, to this process or to one that it starts."""
    _signal.signal(_signal.SIGURG, _nudged)


def _nudged(_number, _frame):
    absorb()
