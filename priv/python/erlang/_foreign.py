"""Callables that ctypes gives to C libraries, where the native library does not see them called.

It sees threads come into Python by the functions that extension modules call for that
(``native/erlang_python_nif/src/engine/main/foreign.rs``). A ``_ctypes`` that is a part of libpython has
libpython's own, and so has every module where symbols are bound otherwise, as on macOS. There the
callables are wrapped.
"""

import erlang
from erlang import _imports


def install():
    _imports.when_imported("ctypes", _guard_callbacks)


def _guard_callbacks(ctypes):
    import _ctypes

    if erlang._entries_are_seen() and getattr(_ctypes, "__file__", None):
        return
    guarded = erlang._Guarded

    class CFuncPtr(_ctypes.CFuncPtr):
        # What the types have that are made of this one, with flags of their own.
        _flags_ = _ctypes.FUNCFLAG_CDECL

        def __new__(cls, *args):
            # Otherwise a function of a library: an address, a name with a library, or nothing.
            if len(args) == 1 and callable(args[0]) and not isinstance(args[0], guarded):
                args = (guarded(args[0]),)
            return super().__new__(cls, *args)

    # `CFUNCTYPE` and the like make their types of what has this name.
    ctypes._CFuncPtr = CFuncPtr
