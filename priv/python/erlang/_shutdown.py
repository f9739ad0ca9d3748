"""What Python does in order at the end of a program, for when the application ends.

It is done in a limited time, and the interpreter goes on: the application may be started again, or the VM do
something else before it ends. So what it leaves behind that says "this is the end" is taken back.
"""

import atexit
import sys
import threading
import time

import erlang

#: What those in the standard library, and their copies and kin, set at the end.
_FLAGS = {
    "concurrent.futures.thread": "_shutdown",
    "concurrent.futures.process": "_global_shutdown",
    "loky.process_executor": "_global_shutdown",
    "joblib.externals.loky.process_executor": "_global_shutdown",
    "multiprocessing.util": "_exiting",
    "multiprocess.util": "_exiting",
    "billiard.util": "_exiting",
}

#: Modules whose end is the business of `atexit`, and which are never imported again: their functions for it.
_AGAIN = {
    "logging": "shutdown",
    "multiprocessing.util": "_exit_function",
    "multiprocess.util": "_exit_function",
    "billiard.util": "_exit_function",
}

def run(seconds):
    """Ends executors, processes that Python has started for itself, and what `atexit` was asked for: each
    in a thread of its own, as it may never end. What is in time is done when this returns."""
    deadline = time.monotonic() + seconds
    # What the last one waits for may be what the first one waits for, so each leaves some time.
    for step, share in ((_end_executors, 0.4), (_end_processes, 0.4), (atexit._run_exitfuncs, 0.5)):
        _in_time(step, max(deadline - time.monotonic(), 0) * share)
    _kill_processes(deadline)
    # These end when all have gone that may ask something of them.
    _in_time(_end_helpers, max(deadline - time.monotonic(), 0.05))
    _take_back()


def _in_time(step, seconds):
    thread = threading.Thread(target=_quietly, args=(step,), name="erlang-shutdown", daemon=True)
    thread.start()
    thread.join(seconds)


def _quietly(step):
    try:
        step()
    except BaseException:
        # As at the end of a program, where nobody is left to catch it.
        sys.excepthook(*sys.exc_info())


def _end_executors():
    # Since 3.9. Before, they have asked `atexit`.
    for function in reversed(getattr(threading, "_threading_atexits", ())):
        function()


def _end_processes():
    for name in ("multiprocessing.util", "multiprocess.util", "billiard.util"):
        if name in sys.modules:
            sys.modules[name]._exit_function()


def _kill_processes(deadline):
    """Python would wait for those that are not daemons, for ever if need be."""
    # Where it can be seen which they are: with the children of children.
    erlang._end_workers()
    for name in ("multiprocessing", "multiprocess", "billiard"):
        if name + ".process" not in sys.modules:
            continue
        for process in sys.modules[name + ".process"].active_children():
            process.terminate()
            process.join(max(min(deadline - time.monotonic(), 0.1), 0.01))
            if process.is_alive() and hasattr(process, "kill"):
                process.kill()


def _end_helpers():
    for module, helper in (
        ("multiprocessing.forkserver", "_forkserver"),
        ("multiprocessing.resource_tracker", "_resource_tracker"),
        ("multiprocess.forkserver", "_forkserver"),
        ("multiprocess.resource_tracker", "_resource_tracker"),
        ("loky.backend.resource_tracker", "_resource_tracker"),
        ("joblib.externals.loky.backend.resource_tracker", "_resource_tracker"),
    ):
        stop = getattr(getattr(sys.modules.get(module), helper, None), "_stop", None)
        if stop is not None:
            try:
                stop()
            except OSError:
                # It has tidied up after itself.
                pass


def _take_back():
    for name, flag in _FLAGS.items():
        if getattr(sys.modules.get(name), flag, False):
            setattr(sys.modules[name], flag, False)
    for name, function in _AGAIN.items():
        function = getattr(sys.modules.get(name), function, None)
        if function is not None:
            atexit.unregister(function)
            atexit.register(function)
    finalize = getattr(sys.modules.get("weakref"), "finalize", None)
    if finalize is not None:
        # They are no longer called by themselves otherwise, and those made later not at the end.
        finalize._shutdown = False
        finalize._registered_with_atexit = False
        if finalize._registry:
            atexit.register(finalize._exitfunc)
            finalize._registered_with_atexit = True
