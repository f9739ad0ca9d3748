"""Keeps interrupts from leaving locks locked, or given back twice, where that is in our hands.

An interrupt takes effect between two bytecodes, from 3.10 on only after some of them. Between the taking
of a lock and the block of its ``with`` it takes none, if the taking is done in C, as it is for locks, but
not for conditions and what is made of them. What remains is told to the interrupter, which waits until a
thread is elsewhere. (3.14 is another matter: ``_ahead.py``.)
"""

import functools
import sys
import threading

from erlang import _imports

#: The places where no thread is to be interrupted: code -> pairs of offsets, first and last.
DELICATE = {}

#: Up to 3.9 there are bytecodes between the end of a block and the giving back of its lock: those that
#: begin such a gap, and those that may follow. Later versions do not interrupt there.
GAP = {"POP_BLOCK"} if sys.version_info < (3, 10) else set()
IN_GAP = {"BEGIN_FINALLY", "ROT_TWO", "LOAD_CONST", "DUP_TOP"} if GAP else set()

ANYWHERE = (-1, sys.maxsize)


class _OfTheLock:
    """A method of conditions (so of queues, events and semaphores) that in Python is a function, which
    calls that of the condition's lock: an interrupt could strike there, with the lock taken.

    Looked up on a condition it gives that of the lock itself.
    """

    def __init__(self, function):
        self._function = function
        self._name = function.__name__

    def __get__(self, condition, owner=None):
        if condition is None:
            return self._function
        return getattr(condition._lock, self._name)


def install():
    condition = threading.Condition
    for name in ("__enter__", "__exit__"):
        setattr(condition, name, _OfTheLock(getattr(condition, name)))
    # Who waits gives the lock back and takes it again, in the middle of a block that ends in giving it
    # back: what is not ours by then may be somebody else's.
    DELICATE[condition._release_save.__code__] = [ANYWHERE]
    DELICATE[condition._acquire_restore.__code__] = [ANYWHERE]
    DELICATE[condition.wait.__code__] = list(_without_the_lock(condition.wait))
    _imports.when_imported("logging", _handle_within_a_block)


def _handle_within_a_block(logging):
    """Threads that log all the time wait for the handler's lock whenever they can be looked at. Before 3.13
    it is taken by ``acquire``, where they must not be interrupted, and no version may be in the rest of
    ``logging``: so they wait here."""
    handler = logging.Handler
    original = handler.handle

    @functools.wraps(original)
    def handle(self, record):
        own = type(self)
        if not self.lock or own.acquire is not acquire or own.release is not release:
            return original(self, record)
        passed = self.filter(record)
        if isinstance(passed, logging.LogRecord):
            record = passed
        if passed:
            with self.lock:
                self.emit(record)
        return passed

    acquire, release = handler.acquire, handler.release
    handler.handle = handle


def opcodes(names):
    if not names:
        return []
    from opcode import opmap

    return [opmap[name] for name in names if name in opmap]


def _without_the_lock(wait):
    """The offsets at which ``Condition.wait`` has given the lock back and is not in its ``try`` yet, or
    not any more."""
    if not GAP:
        return
    import dis

    released = False
    for instruction in dis.get_instructions(wait):
        if instruction.argval == "_release_save":
            released = instruction.offset
        elif instruction.opname == "SETUP_FINALLY" and released:
            yield released, instruction.offset - 1
            released = False
        elif instruction.opname == "POP_BLOCK":
            yield instruction.offset, sys.maxsize
            return
