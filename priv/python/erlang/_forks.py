"""Forks: the child of one is a copy of the VM, of which only the thread that forked goes on.

It is cut off from Elixir (the native library sees to that), has none of the VM's descriptors, and ends when
its code comes to the end of the call. That serves code that executes a program in the child, as terminals
and some ways to start a process do. What would go on in the copy for good is told of another way.
"""

import functools
import os
import sys

import erlang
from erlang import _guards, _imports

#: What ends with a plain ``return`` has nothing more to do.
_RETURNS = {"RETURN_VALUE", "RETURN_CONST"}

#: A function of the standard library that hands on what a fork gave it.
_HANDS_ON = ("pty", "fork")

#: Descriptors that Python code has made inheritable, and those of the VM's that we have made not so. All
#: others that are inheritable are the VM's. With what tells whether the number still stands for the same.
_inheritable = {}
_taken_back = {}


def install():
    for name in ("fork", "forkpty"):
        _guard_fork(name)
    # These hand on what they have to the program that they start.
    for name in ("system", "posix_spawn", "posix_spawnp"):
        _guard_spawn(os, name)
    _imports.when_imported(
        "_posixsubprocess", lambda module: _guard_spawn(module, "fork_exec", _hands_on)
    )
    _follow_inheritable()
    # `multiprocess` and `billiard` are copies of it.
    for name in ("multiprocessing", "multiprocess", "billiard"):
        _imports.when_imported(name + ".context", _spawn_by_default)


def _spawn_by_default(context):
    """Without a method named, ``multiprocessing`` would fork on most systems before 3.14."""
    default = context._default_context
    if default._default_context is context._concrete_contexts.get("fork"):
        default._default_context = context._concrete_contexts["spawn"]


def _guard_fork(name):
    original = getattr(os, name, None)
    if original is None:
        return

    @functools.wraps(original)
    def fork():
        if not erlang._is_forked():
            _check(name, sys._getframe().f_back)
            made = original()
            if (made[0] if isinstance(made, tuple) else made) == 0:
                _let_go_of_the_vm()
            return made
        return original()

    _guards.take_the_place_of(os, name, fork)


def _check(name, frame):
    reason = None
    if _is_of_multiprocessing(frame):
        reason = (
            "the child would be a copy of the VM. Use the start method 'spawn', which is the default here"
        )
    elif _only_returns(frame):
        reason = (
            "the child would be a copy of the VM without its schedulers, with nothing to do. "
            "Use subprocess, or multiprocessing with the 'spawn' method"
        )
    if reason:
        raise _guards.refusal("os.%s()" % name, reason)


def _is_of_multiprocessing(frame):
    # Not at once if `os.fork` has been replaced, as gevent does.
    for _ in range(4):
        if frame is None:
            return False
        if frame.f_globals.get("__name__", "").endswith(".popen_fork"):
            return True
        frame = frame.f_back
    return False


def _only_returns(frame):
    """Whether the code that forks does nothing more: the child would come back to the VM at once."""
    # Not before it is needed: it would delay every start.
    import dis

    while frame is not None:
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) != _HANDS_ON:
            following = (
                instruction
                for instruction in dis.get_instructions(frame.f_code)
                if instruction.offset > frame.f_lasti and instruction.opname != "CACHE"
            )
            following = next(following, None)
            if following is None or following.opname not in _RETURNS:
                return False
        frame = frame.f_back
    return True


def end_with_thread(forked):
    """At the end of a thread: it may have forked, and be all that this child has. ``forked``: whether it was
    begun in a child."""
    if erlang._is_forked() and not forked:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(0)


# Descriptors


def descriptors_of_the_vm():
    """Those that are handed on to programs: Python's are not, unless it was asked to, and the VM does not
    care, as it starts programs in another way. But for the standard three, which are everybody's."""
    return [descriptor for descriptor in _open_descriptors() if descriptor > 2 and _is_the_vms(descriptor)]


def _is_the_vms(descriptor):
    try:
        what = _identity(descriptor)
        if os.get_inheritable(descriptor):
            return _inheritable.get(descriptor) != what
        return _taken_back.get(descriptor) == what
    except OSError:
        return False


def _identity(descriptor):
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _open_descriptors():
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    try:
        return [int(name) for name in os.listdir(folder)]
    except OSError:
        return []


def _let_go_of_the_vm():
    """In the child: its ports can be opened again when the VM has ended, whatever the child does."""
    for descriptor in descriptors_of_the_vm():
        try:
            os.close(descriptor)
        except OSError:
            pass


def _keep_to_the_vm():
    """Before a program is started that would be handed what the VM has open."""
    for descriptor in descriptors_of_the_vm():
        try:
            _set_inheritable(descriptor, False)
            _taken_back[descriptor] = _identity(descriptor)
        except OSError:
            pass


def _guard_spawn(module, name, applies=None):
    original = getattr(module, name, None)
    if original is None:
        return

    @functools.wraps(original)
    def spawn(*args, **kwargs):
        if erlang._is_ending():
            # A pool would start workers in the place of those that are being ended.
            raise _guards.refusal(name + "()", "the VM is ending")
        if not erlang._is_forked() and (applies is None or applies(*args, **kwargs)):
            _keep_to_the_vm()
        return original(*args, **kwargs)

    _guards.take_the_place_of(module, name, spawn)


def _hands_on(_args=None, _executables=None, close_fds=True, *_rest):
    return not close_fds


_set_inheritable = os.set_inheritable


def _follow_inheritable():
    """Takes notice of what Python code makes inheritable."""
    original_dup2 = os.dup2

    @functools.wraps(_set_inheritable)
    def set_inheritable(fd, inheritable, /):
        _set_inheritable(fd, inheritable)
        _note(fd, inheritable)

    @functools.wraps(original_dup2)
    def dup2(fd, fd2, inheritable=True):
        made = original_dup2(fd, fd2, inheritable)
        _note(fd2, inheritable)
        return made

    _guards.take_the_place_of(os, "set_inheritable", set_inheritable)
    _guards.take_the_place_of(os, "dup2", dup2)


def _note(descriptor, inheritable):
    if inheritable:
        _inheritable[descriptor] = _identity(descriptor)
    else:
        _inheritable.pop(descriptor, None)
