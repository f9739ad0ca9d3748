"""Which module ``__main__`` is: for code of a context that context's, for all other code the interpreter's.

Python has one ``sys.modules["__main__"]``, where libraries look up what ``cls.__module__`` names: ``pickle``,
``dataclasses``, ``typing``, ``doctest``, ``timeit``. Contexts run beside each other, each in a ``__main__`` of
its own. So the one that is there answers for the one that the asking thread works in. That is a context's
thread, or a thread that was started from one.
"""

import functools
import sys
import threading
import types

import __main__ as MAIN
import erlang
from erlang import _imports

#: The names of the interpreter's ``__main__``.
NAMES = MAIN.__dict__


def _stand():
    # Code of a module, which `compile` would take a ms for in a process that has not compiled yet.
    code = _INSIDE.__code__
    names = {"co_name": "<module>", "co_filename": "<elixir>", "co_firstlineno": 1}
    if hasattr(code, "co_qualname"):
        names["co_qualname"] = "<module>"
    consts = tuple(erlang._stand if const == 0.5 else const for const in code.co_consts)
    code = code.replace(co_consts=consts, co_flags=code.co_flags & ~_OF_A_FUNCTION, **names)
    # Of code that is no function's, a function has its globals as locals.
    return types.FunctionType(code, NAMES)


#: ``CO_OPTIMIZED`` and ``CO_NEWLOCALS``.
_OF_A_FUNCTION = 3

_INSIDE = lambda: (0.5).inside  # noqa: E731


#: In its frame calls stand. Its code asks for an attribute that does them (``python/interpreter/stand.rs``).
STAND = _stand()


class _Here(threading.local):
    #: What takes the place of ``__main__`` on this thread.
    module = None


_here = _Here()
_getattribute = types.ModuleType.__getattribute__


class _Main(types.ModuleType):
    """The class of ``__main__``. C code that asks for the dict of a module gets the interpreter's names."""

    def __getattribute__(self, name):
        module = _here.module
        if module is None or module is self:
            return _getattribute(self, name)
        return getattr(module, name)

    def __setattr__(self, name, value):
        module = _here.module
        if module is None or module is self:
            types.ModuleType.__setattr__(self, name, value)
        else:
            setattr(module, name, value)

    def __delattr__(self, name):
        module = _here.module
        if module is None or module is self:
            types.ModuleType.__delattr__(self, name)
        else:
            delattr(module, name)


# As every module shows its class.
_Main.__name__ = _Main.__qualname__ = "module"
_Main.__module__ = "builtins"


def install():
    MAIN.__class__ = _Main
    _imports.when_imported("runpy", _run_beside_others)


def take_over():
    """Somebody has put another module in the place of ``__main__``, as IPython does: contexts go on to find
    their own."""
    module = sys.modules.get("__main__")
    if type(module) is types.ModuleType:
        module.__class__ = _Main


def make():
    """A ``__main__`` for the current thread, with the names that a new one has in this version of Python."""
    import builtins

    module = types.ModuleType("__main__")
    module.__loader__ = NAMES.get("__loader__")
    module.__builtins__ = builtins
    if sys.version_info < (3, 14):
        module.__annotations__ = {}
    _here.module = module
    return module


def current():
    """The module that the current thread has in the place of ``__main__``, or ``None``."""
    return _here.module


def adopt(module):
    """Gives the current thread one: that of the thread which has started it, or the one that its own code has put
    in the place of ``__main__``."""
    _here.module = module


def _run_beside_others(runpy):
    """``run_path`` and ``run_module`` put a module in the place of ``__main__`` while they run, and that is
    everybody's."""
    temporary = getattr(runpy, "_TempModule", None)
    if temporary is None:
        return

    class _TempModule(temporary):
        _outer = None

        def __enter__(self):
            if self.mod_name != "__main__" or type(sys.modules.get("__main__")) is not _Main:
                return super().__enter__()
            self._outer = (_here.module,)
            _here.module = self.module
            return self

        def __exit__(self, *exception):
            if self._outer is None:
                return super().__exit__(*exception)
            (_here.module,), self._outer = self._outer, None

    runpy._TempModule = functools.wraps(temporary, updated=())(_TempModule)
