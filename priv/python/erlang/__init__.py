"""What Python code that runs inside the BEAM can ask of it.

``call``, ``acall``, ``areceive``, ``send``, ``whereis``, ``self``, ``log``, ``time_left`` and ``on_interrupt``, and the classes ``Pid``, ``Ref``, ``Port`` and
``Function``, are put in by the native library. Registered functions can be had by their names:
``erlang.name(...)`` and ``from erlang import name``.
"""

import sys as _sys
from _frozen_importlib_external import FileFinder as _FileFinder
from _frozen_importlib_external import SourceFileLoader as _SourceFileLoader
from marshal import loads as _loads


class _Loader(_SourceFileLoader):
    """Gives the modules of the package the builtins that the package has: ``_builtins.py`` says why.

    Those of a Python process get their code from the processes before it: to compile it takes longer than all else
    at the start, and where no ``.pyc`` files can be written each process would do so.
    """

    def exec_module(self, module):
        module.__dict__["__builtins__"] = __builtins__
        super().exec_module(module)

    def get_code(self, fullname):
        # For the names of modules: the path, the time and the size of the file, and its code, or that in bytes. None if
        # it is not to be known. The native library fills it and reads it (``compiled.rs``).
        known = _known  # noqa: F821
        if known is None:
            return super().get_code(fullname)
        stats = self.path_stats(self.path)
        file = (self.path, stats["mtime"], stats["size"])
        found, code = known.get(fullname, (None, None))
        if found != file:
            code = super().get_code(fullname)
            known[fullname] = (file, code)
        return _loads(code) if isinstance(code, bytes) else code


_sys.path_importer_cache[__path__[0]] = _FileFinder(__path__[0], (_Loader, [".py"]))


from erlang._awaiting import acall, areceive  # noqa: E402, F401


class Interrupt(KeyboardInterrupt):
    """Raised in code whose caller no longer waits: it timed out, was cancelled, or died.

    It is a ``KeyboardInterrupt``, as libraries know what to do with one: ``asyncio.run`` cancels its tasks,
    event loops and test runners hand it on. ``except Exception`` lets it pass.
    ``finally`` blocks and context managers run. Code that catches it and goes on is interrupted
    again a second later.
    """


class Error(Exception):
    """Something was raised on the other side.

    ``kind`` is ``"error"``, ``"exit"`` or ``"throw"``; ``type`` is the name of the exception's
    struct, such as ``"RuntimeError"``, or empty; ``reason`` says what, and ``stacktrace`` where, as
    text. ``str`` of the exception is the reason, after the type.
    """

    def __init__(self, kind, reason, stacktrace="", type=""):
        super().__init__(kind, reason, stacktrace, type)
        self.kind = kind
        self.reason = reason
        self.stacktrace = stacktrace
        self.type = type

    def __str__(self):
        return "%s: %s" % (self.type or self.kind, self.reason)

    def __reduce__(self):
        # What was raised itself is kept for the other side, and is no part of a pickle.
        state = {name: value for name, value in self.__dict__.items() if name != "_original"}
        return type(self), self.args, state

    def __copy__(self):
        return self._copied(self.__dict__)

    def __deepcopy__(self, memo):
        import copy

        return self._copied(copy.deepcopy(self.__dict__, memo))

    def _copied(self, state):
        other = type(self)(*self.args)
        other.__dict__.update(state)
        return other


def __getattr__(name):
    # Only for names that the package does not have itself.
    # While the package is being imported it is asked for `__path__` and the like.
    if "_is_registered" in globals() and _is_registered(name):  # noqa: F821
        return _registered(name)  # noqa: F821
    text = "erlang has no function %r; register one with Python.register(%r, fun)" % (name, name)
    if not name.startswith("_"):
        from erlang import _hints

        other = _hints.other_erlang()
        text = "%s. %s" % (text, other) if other else text
    raise AttributeError(text)
