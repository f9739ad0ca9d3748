"""What a script may do in a process of its own, and would end, stop or replace the VM here.

In a child that Python has forked all of it is as usual.
"""

import functools
import os
import sys

import erlang
from erlang import _forks, _imports


def install():
    # `signal` has its functions from `_signal`, which is there already, and takes ms to be imported.
    signal = sys.modules.get("signal") or sys.modules["_signal"]
    import _thread
    import _tracemalloc
    import faulthandler

    for name in ("_exit", "abort"):
        _forbid(os, name, "it would end the VM. Raise SystemExit to end the call")
    # The others of this family, such as `os.execvp`, call these.
    for name in ("execv", "execve"):
        _forbid(
            os, name, "the program would replace the VM. Use subprocess, or fork first"
        )
    for name in ("alarm", "setitimer"):
        _forbid(signal, name, "the signal would end the VM. Use threading.Timer, or a timeout")
    _forbid(
        os, "login_tty", "the terminal would replace the standard input and output of the VM"
    )
    for name in ("setsid", "setpgrp"):
        _forbid(os, name, _LEAVES + "start_new_session=True or preexec_fn")
    _guard(os, "setpgid", _check_group)
    _guard(os, "tcsetpgrp", _check_foreground)
    _forbid(
        _thread,
        "interrupt_main",
        "the main thread runs none of your code. Give the call a timeout, or cancel it",
    )
    _guard(faulthandler, "dump_traceback_later", _check_exit)
    _guard(faulthandler, "register", _check_chain)
    # Python's main thread runs finalizers, and there these would be possible.
    _keep_to_the_main_thread(sys.modules["_signal"], "signal")
    _keep_to_the_main_thread(signal, "set_wakeup_fd")
    _guard(os, "closerange", _check_descriptors)

    _guard(os, "kill", _check_signal_to, _kill(os.kill, signal.pthread_kill, _thread.get_ident))
    _guard(os, "killpg", lambda group, number: _check_signal_to(-group, number))
    _guard(signal, "raise_signal", _check_signal)
    _guard(signal, "pthread_kill", lambda _thread, number: _check_signal(number))
    _guard(signal, "pidfd_send_signal", _check_signal_to_descriptor)
    # It frees what a thread may be reading that comes in at this moment.
    _guard(_tracemalloc, "stop", _check_nothing, functools.partial(erlang._alone, _tracemalloc.stop))
    _imports.when_imported("resource", _guard_limits)
    _imports.when_imported("fcntl", _guard_descriptors)


def _guard(module, name, check, then=None):
    """Calls ``check`` with a function's arguments before the function is called, or ``then``: it raises what
    is to be raised. What it cannot make sense of it leaves to the function, which has its own way to say so.
    """
    original = getattr(module, name, None)
    if original is None:
        return

    @functools.wraps(original)
    def guarded(*args, **kwargs):
        if not erlang._is_forked():
            try:
                check(*args, **kwargs)
            except (TypeError, ValueError, OverflowError):
                pass
            if then is not None:
                return then(*args, **kwargs)
        return original(*args, **kwargs)

    take_the_place_of(module, name, guarded)


def _check_nothing():
    pass


def _forbid(module, name, reason):
    def check(*_args, **_kwargs):
        raise refusal("%s.%s()" % (module.__name__.replace("_signal", "signal"), name), reason)

    _guard(module, name, check)


def refusal(what, reason):
    return RuntimeError("%s is not possible inside the BEAM: %s" % (what, reason))


def take_the_place_of(module, name, function):
    original = getattr(module, name)
    function.__name__ = function.__qualname__ = name
    function.__module__ = module.__name__
    function.__doc__ = original.__doc__
    # `os` and `signal` take these from a module in C, where they can be had too.
    for holder in (module, sys.modules.get(getattr(original, "__module__", None) or "")):
        if getattr(holder, name, None) is original:
            setattr(holder, name, function)


def _check_exit(timeout, repeat=False, file=None, exit=False):
    if exit:
        raise refusal(
            "faulthandler.dump_traceback_later() with exit=True",
            "it would end the VM. Leave exit out, or give the call a timeout",
        )


def _check_chain(signum, file=None, all_threads=True, chain=False):
    if erlang._is_the_vms_signal(signum):
        raise refusal(
            "faulthandler.register() for %s" % _name(signum),
            "the VM has a handler for it. Use another signal, such as SIGUSR2",
        )
    if chain and erlang._ends_the_vm(signum):
        raise refusal(
            "faulthandler.register() for %s with chain=True" % _name(signum),
            "the signal would end the VM after it. Leave chain out",
        )


def _keep_to_the_main_thread(module, name):
    original = getattr(module, name)

    @functools.wraps(original)
    def guarded(*args, **kwargs):
        if erlang._is_forked():
            return original(*args, **kwargs)
        raise ValueError(
            "%s only works in main thread of the main interpreter, which runs none of your code inside the "
            "BEAM: signals belong to the VM. Do it in a separate process" % name
        )

    take_the_place_of(module, name, guarded)


#: A process in the background of its terminal is stopped when it reads there.
_LEAVES = "the VM would leave the foreground of its terminal. Do it in the process that you start, with "


def _check_group(pid, group):
    if _is_the_vm(int(pid)) and (group or os.getpid()) != os.getpgrp():
        raise refusal("os.setpgid(%d, %d)" % (pid, group), _LEAVES + "preexec_fn")


def _check_foreground(descriptor, group):
    if group == os.getpgrp():
        return
    try:
        os.tcgetpgrp(descriptor)
    except OSError:
        # Not the VM's terminal.
        return
    raise refusal("os.tcsetpgrp(%d, %d)" % (descriptor, group), _LEAVES + "preexec_fn")


def _check_descriptors(low, high):
    for descriptor in _forks.descriptors_of_the_vm():
        if max(low, 3) <= descriptor < high:
            raise refusal(
                "os.closerange(%d, %d)" % (low, high),
                "%d belongs to the VM. Close only what you opened" % descriptor,
            )


# Signals


def _kill(kill, pthread_kill, get_ident):
    """``os.kill``, for a process with many threads. A signal to the process itself is handled when that
    returns, if there is one thread; else whoever takes its handler away next would have to wait for it."""

    def kill_or_raise(pid, number):
        if number and isinstance(pid, int) and pid == os.getpid():
            pthread_kill(get_ident(), number)
        else:
            kill(pid, number)

    return kill_or_raise


def _check_signal_to(pid, number):
    if _hits_the_vm(int(pid)):
        _check_signal(number)
    elif number != 0 and _is_helper(int(pid)):
        raise refusal("a signal to process %d" % pid, "that process starts programs for the VM")


def _check_signal_to_descriptor(descriptor, number, *_rest):
    try:
        with open("/proc/self/fdinfo/%d" % descriptor) as file:
            pids = [int(line.split()[1]) for line in file if line.startswith("Pid:")]
    except OSError:
        return
    for pid in pids:
        _check_signal_to(pid, number)


def _check_signal(number):
    if erlang._ends_the_vm(number):
        raise refusal("the signal %s to the VM itself" % _name(number), "it would end or stop the VM")


def _hits_the_vm(pid):
    if pid == -1:
        return True
    if pid < 0:
        return -pid == os.getpgrp()
    return _is_the_vm(pid)


def _is_the_vm(pid):
    if pid == 0:
        return True
    # Linux takes the number of a thread for that of its process.
    return pid == os.getpid() or os.path.exists("/proc/self/task/%d" % pid)


def _is_helper(pid):
    """Whether a process is the VM's ``erl_child_setup``, without which it ends."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            name, rest = file.read().rsplit(")", 1)
    except OSError:
        return False
    return int(rest.split()[1]) == os.getpid() and name.endswith("(erl_child_setup")


def _name(number):
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return str(int(number))


# Limits of the process


def _guard_limits(resource):
    def check(which, limits):
        if which == getattr(resource, "RLIMIT_CORE", None):
            return
        now, wanted = (
            [sys.maxsize if limit == resource.RLIM_INFINITY else limit for limit in pair]
            for pair in (resource.getrlimit(which), limits)
        )
        if wanted[0] < now[0]:
            raise refusal(
                "a lower resource limit",
                "it would apply to the VM. Set it in the process that you start, with preexec_fn",
            )

    def check_of(pid, which, *limits):
        if limits and _hits_the_vm(int(pid)):
            check(which, *limits)

    _guard(resource, "setrlimit", check)
    _guard(resource, "prlimit", check_of)


# Signals for a descriptor


def _guard_descriptors(fcntl):
    from erlang import _descriptor_signals

    checks = _descriptor_signals.checks(fcntl, refusal, _hits_the_vm)
    for name, check in zip(("fcntl", "ioctl"), checks):
        _guard(fcntl, name, check)
