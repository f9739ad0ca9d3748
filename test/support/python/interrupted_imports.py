"""Interrupts imports at a chosen moment, each in a process of its own: what an import leaves cannot be undone."""

import json
import os
import signal
import sys
import types
import warnings

import erlang
from erlang._unfinished import EXTENSION_LOADS


def moments(name):
    """How many lines an import runs."""
    return _in_child(lambda: _import(name, None))


def uninterrupted(name):
    """What there is after an import."""

    def work():
        __import__(name)
        return _found(name)

    return _in_child(work)


def interrupted(name, moment):
    """What there is after an import that follows an interrupted one. None if that had come to its end."""

    def work():
        if _import(name, moment) < moment:
            return None
        __import__(name)
        return _found(name)

    return _in_child(work)


def _import(name, moment):
    """Imports it, and is interrupted at a line where that may happen. The number of lines."""
    lines = 0

    def trace(frame, event, arg):
        nonlocal lines
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return trace
        if event == "line":
            lines += 1
            if lines == moment:
                if _loads_an_extension(frame):
                    # No interrupt strikes there.
                    lines -= 1
                else:
                    raise erlang.Interrupt
        return trace

    assert name not in sys.modules
    sys.settrace(trace)
    try:
        __import__(name)
    except erlang.Interrupt:
        pass
    finally:
        sys.settrace(None)
    return lines


def _loads_an_extension(frame):
    while frame is not None and frame.f_code not in EXTENSION_LOADS:
        frame = frame.f_back
    return frame is not None


def _found(name):
    top = name.partition(".")[0]
    modules = {
        key: module
        for key, module in sys.modules.items()
        if module is not None and (key == top or key.startswith(top + "."))
    }
    names = {key: sorted(dir(module)) for key, module in modules.items()}
    return [names, sorted({stray for module in modules.values() for stray in _strays(module)})]


def _strays(module):
    """Names of classes and functions of modules that have been made anew, and of modules that are others."""
    for name, value in vars(module).items():
        if isinstance(value, types.ModuleType):
            if value.__name__ in sys.modules and sys.modules[value.__name__] is not value:
                yield "%s.%s" % (module.__name__, name)
        elif isinstance(value, (type, types.FunctionType)):
            for made in value.__mro__ if isinstance(value, type) else [value]:
                home = sys.modules.get(made.__module__)
                if home is not None and getattr(home, made.__name__, made) is not made and "." not in made.__qualname__:
                    yield "%s.%s" % (module.__name__, name)


def _in_child(work):
    # The child of a process with threads may find a lock of the loader of libraries taken for ever.
    for _ in range(3):
        result = _in_one_child(work)
        if result:
            return json.loads(result)
    raise RuntimeError("three children have hung")


def _in_one_child(work):
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        try:
            # One that hangs is to end, whoever waits for it.
            signal.alarm(15)
            try:
                result = work()
            except BaseException as error:
                result = "%s: %s" % (type(error).__name__, error)
            with open(writing, "w") as file:
                json.dump(result, file)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as file:
        result = file.read()
    os.waitpid(child, 0)
    return result
