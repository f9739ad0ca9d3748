"""Code that would hold up the thread which interrupts calls, if that ran it or read its files.

Each function sets a trap and returns a function that loops for ever. Nothing here ends by itself: tests run
it in a VM of their own.
"""

import gc
import os
import sys
import tempfile
import threading
import time

_tripped = []


def tripped():
    return list(_tripped)


def _thread():
    with open("/proc/self/task/%d/comm" % threading.get_native_id()) as file:
        return file.read().strip()


def _trip(what):
    """Blocks the thread that interrupts, and no other."""
    if _thread() == "py_interrupt":
        _tripped.append(what)
        while True:
            time.sleep(0.01)


def loop():
    while True:
        pass


def _loop_in(filename):
    names = {}
    exec(compile("def loop():\n    while True:\n        pass\n", filename, "exec"), names)
    return names["loop"]


def a_pipe_as_file_name():
    path = os.path.join(tempfile.mkdtemp(), "pipe")
    os.mkfifo(path)
    return _loop_in(path)


def a_terminal_as_file_name():
    return _loop_in("/dev/stdin")


def an_endless_file():
    return _loop_in("/dev/zero")


def a_patched_current_frames():
    original = sys._current_frames

    def patched():
        _trip("sys._current_frames")
        return original()

    sys._current_frames = patched
    return loop


def patched_modules():
    import linecache

    def patched(*_args, **_kwargs):
        _trip("linecache")
        return ""

    linecache.getline = linecache.updatecache = linecache.checkcache = linecache.getlines = patched
    return _loop_in(__file__)


def an_audit_hook():
    def hook(event, _args):
        if event.startswith("sys._") or event in ("open", "import", "gc.get_objects", "object.__getattr__"):
            _trip(event)

    sys.addaudithook(hook)
    return loop


def a_callback_of_the_collector():
    gc.callbacks.append(lambda _phase, _info: _trip("gc"))
    gc.set_threshold(1, 1, 1)
    return _loop_in(__file__)


def finalizers_that_wait_for_the_collector():
    class Cycle:
        def __init__(self):
            self.cycle = self

        def __del__(self):
            _trip("__del__")

    gc.set_threshold(50)

    def looping():
        while True:
            # An interrupt that strikes in `__del__` is printed and forgotten.
            for _ in range(2_000):
                []
            Cycle()

    return looping


class _Constant:
    """In the constants of code, which is compared and hashed by them."""

    def __hash__(self):
        _trip("__hash__")
        return 1

    def __eq__(self, other):
        _trip("__eq__")
        return True


def a_constant_that_is_hashed():
    code = loop.__code__
    looping = _loop_in(__file__)
    looping.__code__ = code.replace(co_consts=code.co_consts + (_Constant(),))
    return looping


class _Name(str):
    def _trip(self, *_args, **_kwargs):
        _trip("a str")
        return 0

    endswith = startswith = encode = __getitem__ = __len__ = strip = _trip

    def __eq__(self, other):
        _trip("a str")
        return str.__eq__(self, other)

    def __hash__(self):
        _trip("a str")
        return str.__hash__(self)


def names_of_a_subclass():
    looping = _loop_in(__file__)
    looping.__code__ = looping.__code__.replace(co_filename=_Name("odd.py"), co_name=_Name("odd"))
    return looping


def a_name_that_no_codec_knows():
    import codecs

    def handler(error):
        _trip("codecs")
        return "?", error.end

    for name in ("backslashreplace", "replace", "surrogatepass"):
        codecs.register_error(name, handler)
    looping = _loop_in(__file__)
    looping.__code__ = looping.__code__.replace(co_filename="\ud800.py")
    return looping


def tracing_in_all_threads():
    def function(*_args):
        _trip("trace")

    if hasattr(threading, "setprofile_all_threads"):
        threading.setprofile_all_threads(function)
        threading.settrace_all_threads(function)
    if hasattr(sys, "monitoring"):
        monitoring = sys.monitoring
        monitoring.use_tool_id(4, "test")
        monitoring.register_callback(4, monitoring.events.PY_START, function)
        monitoring.set_events(4, monitoring.events.PY_START)
    threading.setprofile(function)
    threading.settrace(function)
    return loop


def a_very_long_name():
    looping = _loop_in(__file__)
    looping.__code__ = looping.__code__.replace(co_filename="x" * 50_000_000)
    return looping


TRAPS = [
    a_pipe_as_file_name,
    a_terminal_as_file_name,
    an_endless_file,
    a_patched_current_frames,
    patched_modules,
    an_audit_hook,
    a_callback_of_the_collector,
    finalizers_that_wait_for_the_collector,
    a_constant_that_is_hashed,
    names_of_a_subclass,
    a_name_that_no_codec_knows,
    tracing_in_all_threads,
    a_very_long_name,
]
