"""The end of a context: its objects go as they do when a Python program ends.

There the modules are let go of, and the garbage collector finds what they held: finalizers run while all is
still in place that they use. What survives, because others hold it, loses its names after that. A whole
collection takes long in a large program, so here the garbage collector is shown what the context has made.
"""

import gc
import sys
import time
import types
from _weakref import ref

import erlang
from erlang import _main

#: Up to 3.13 a young generation is collected together with those that are younger. In 3.14 the middle one is a part
#: of the old one.
_YOUNG = 0 if sys.version_info >= (3, 14) else 1

#: How long it waits for collections of other threads, in seconds.
_LONGEST = 5.0

#: Values without code of their own. Finalizers may need them.
_CONSTANTS = (bool, bytes, complex, float, frozenset, int, str, tuple, type(None), range)
_CONTAINERS = (bytearray, dict, list, set)
_CODE = (types.BuiltinFunctionType, types.FunctionType, types.MethodType, type)


def begin(module):
    """Prepares the end of a module that takes the place of ``__main__``. Returns what ``finish`` needs. The
    caller is to let go of the module in between."""
    names = module.__dict__
    _main.adopt(None)
    _run_finalizers(names)
    found = _found(names)
    functions = [ref(one) for one in found if _is_of(one, names)]
    erlang._make_young(found)
    return functions


def finish(functions):
    """Finalizes all that nobody else holds. Then takes its names away from what others hold."""
    deadline = time.monotonic() + _LONGEST
    # Another thread's collection may have taken the objects for old ones since they were young.
    tries, pause = 2, 0.0005
    while True:
        tries -= _collect()
        if not any(reference() is not None for reference in functions):
            return
        if tries == 0 or time.monotonic() > deadline:
            break
        if pause < 0.01:
            pause *= 2
        time.sleep(pause)
        _make_young_again(functions)
    for reference in functions:
        function = reference()
        if function is not None:
            clear(function.__globals__)


class _Canary:
    pass


def _collect():
    """Collects what is young. Returns whether it did: nothing is done while another thread is at it, which may wait
    in a finalizer."""
    canary = _Canary()
    canary.ring = canary
    seen = ref(canary)
    del canary
    gc.collect(_YOUNG)
    return seen() is None


def _make_young_again(functions):
    living = [function for function in (reference() for reference in functions) if function is not None]
    erlang._make_young([one for function in living[:1] for one in _found(function.__globals__)])


def finalize(names):
    """Runs the finalizers of all that only a namespace holds, whose names stay."""
    erlang._finalize(_found(names))


def clear(names):
    """Empties a namespace: instances first, and then what they may use at their end."""
    for belongs in (_is_instance, _is_container, _is_no_module, _is_anything):
        for name, value in list(names.items()):
            if name != "__builtins__" and belongs(value):
                value = None
                names.pop(name, None)
        value = None
    names.clear()


def _is_instance(value):
    # Of their types: what an object says of its class may be anything.
    cls = type(value)
    return not issubclass(cls, (types.ModuleType, type)) and cls not in _CONSTANTS + _CONTAINERS + _CODE


def _is_container(value):
    return type(value) in _CONTAINERS + (tuple, frozenset)


def _is_no_module(value):
    return not issubclass(type(value), types.ModuleType)


def _is_anything(_value):
    return True


def _is_of(value, names):
    return type(value) is types.FunctionType and value.__globals__ is names


def _run_finalizers(names):
    """Runs what ``weakref.finalize`` was given by code of the module, the last one first, as at the end of a
    program. The registry would keep the module alive."""
    finalize = getattr(sys.modules.get("weakref"), "finalize", None)
    registry = getattr(finalize, "_registry", None)
    for finalizer in reversed(list(registry or ())):
        entry = registry.get(finalizer)
        function = getattr(entry, "func", None)
        function = getattr(function, "__func__", function)
        if _is_of(function, names) and finalizer.atexit:
            try:
                finalizer()
            except BaseException:
                sys.excepthook(*sys.exc_info())


def _found(names):
    """What the garbage collector knows of all that can be reached from here, but not by way of other modules."""
    modules = [module for module in list(sys.modules.values()) if type(module) is types.ModuleType]
    seen = {id(one) for module in modules for one in (module, vars(module))}
    seen.add(id(names))
    found = [names]
    running = None
    new = [names]
    while new:
        referred = gc.get_referents(*new)
        new = []
        for one in referred:
            if id(one) not in seen and gc.is_tracked(one):
                seen.add(id(one))
                if type(one) is types.FrameType and running is None:
                    running = _running()
                    seen.update(running)
                    if id(one) in running:
                        continue
                if not _is_of_others(one):
                    new.append(one)
        found += new
    return found


def _running():
    """The ids of the frames that a thread is in. What others hold by them is not of the context. The frames of an
    exception's traceback and of generators that wait are: they hold the namespace."""
    ids = set()
    for frame in sys._current_frames().values():
        while frame is not None:
            ids.add(id(frame))
            frame = frame.f_back
    return ids


def _is_of_others(value):
    cls = type(value)
    if issubclass(cls, type):
        return type.__dict__["__module__"].__get__(value) != "__main__"
    return issubclass(cls, types.ModuleType) and cls is not types.ModuleType
