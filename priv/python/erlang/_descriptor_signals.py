"""Signals that the system sends for a descriptor: because there is something to read, somebody wants a lease back,
a folder has changed, or its terminal is gone.

They come later, when somebody's handler may be gone again. So what counts is what a signal does without one.
"""

import operator
import os
import signal
import struct
import sys

#: What a process that has no handler for them does not notice.
_HARMLESS = tuple(
    getattr(signal, name) for name in ("SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH") if hasattr(signal, name)
)

_LINUX = sys.platform == "linux"
# Neither `fcntl` nor `termios` has a name for these.
_F_SETOWN_EX = 15 if _LINUX else None
_F_OWNER_GROUP = 2
_FIOSETOWN, _SIOCSPGRP = (0x8901, 0x8902) if _LINUX else (0x8004667C, 0x80047308)


def checks(fcntl, refusal, hits_the_vm):
    """What is to be asked before ``fcntl.fcntl`` and before ``fcntl.ioctl``."""
    plain = fcntl.fcntl
    commands = {
        name: getattr(fcntl, name, None)
        for name in ("F_SETOWN", "F_SETFL", "F_SETSIG", "F_SETLEASE", "F_NOTIFY")
    }
    commands["F_SETOWN_EX"] = _F_SETOWN_EX
    names = {command: name for name, command in commands.items() if command is not None}

    def is_on(descriptor):
        return plain(descriptor, fcntl.F_GETFL) & os.O_ASYNC

    def owner(descriptor):
        return plain(descriptor, fcntl.F_GETOWN)

    def number(descriptor):
        # Where it cannot be chosen, and where nobody has, it is this one.
        return (hasattr(fcntl, "F_GETSIG") and plain(descriptor, fcntl.F_GETSIG)) or signal.SIGIO

    def refuse(what, receiver, number):
        if receiver and number not in _HARMLESS and hits_the_vm(receiver):
            raise refusal(
                "%s, which lets the system send a signal to the VM," % what,
                "it would end or stop the VM. Use selectors or a thread, or do it in a separate process",
            )

    def check_fcntl(descriptor, command, argument=0, *_rest):
        name = names.get(command)
        if name is None:
            return
        what = "fcntl.fcntl() with %s" % name
        if name != "F_SETOWN_EX":
            # As Python does.
            argument = (operator.index(argument) + 2**31) % 2**32 - 2**31
        try:
            if name == "F_SETFL":
                if argument & os.O_ASYNC:
                    refuse(what, owner(descriptor), number(descriptor))
            elif name == "F_SETSIG":
                # It may have been asked for in ways that cannot be asked about.
                refuse(what, owner(descriptor), argument or signal.SIGIO)
            elif name in ("F_SETLEASE", "F_NOTIFY"):
                if argument != (fcntl.F_UNLCK if name == "F_SETLEASE" else 0):
                    refuse(what, os.getpid(), number(descriptor))
            elif is_on(descriptor):
                if name == "F_SETOWN_EX":
                    kind, argument = _ints_at(argument)
                    argument = -argument if kind == _F_OWNER_GROUP else argument
                refuse(what, argument, number(descriptor))
        except OSError:
            pass

    def check_ioctl(descriptor, request, argument=0, *_rest):
        import termios

        request &= 0xFFFFFFFF
        try:
            if request == getattr(termios, "FIOASYNC", None):
                if _ints_at(argument)[0]:
                    refuse("fcntl.ioctl() with FIOASYNC", owner(descriptor), number(descriptor))
            elif request in (_FIOSETOWN, _SIOCSPGRP):
                if is_on(descriptor):
                    name = "FIOSETOWN" if request == _FIOSETOWN else "SIOCSPGRP"
                    receiver = os.getpid() if isinstance(argument, int) else _ints_at(argument)[0]
                    refuse("fcntl.ioctl() with " + name, receiver, number(descriptor))
            else:
                for name in ("TIOCSCTTY", "TIOCNOTTY"):
                    if request == getattr(termios, name, None):
                        refuse("fcntl.ioctl() with " + name, os.getpid(), signal.SIGHUP)
        except OSError:
            pass

    return check_fcntl, check_ioctl


def _ints_at(argument):
    # A number is the address of some, which only its owner may read: take it for the worst.
    if isinstance(argument, int):
        return 1, os.getpid()
    return struct.unpack("ii", bytes(memoryview(argument).cast("B")[:8]).ljust(8, b"\0"))
