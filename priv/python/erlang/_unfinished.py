"""Modules whose import an interrupt has ended: they can be imported again.

Python removes such a module from ``sys.modules``, but not the submodules that were finished by then. A package that is
imported anew finds these there, and does not make them attributes of itself; what they have of the package is of the
module that is gone. So the next import fills that very module again, with its submodules as attributes. Modules that
have taken a class or a function from it are made again too. The others stay: extension modules refer to them, and many
of those cannot be made twice in a process.
"""

import sys
import threading
import types

import _frozen_importlib as bootstrap
import _frozen_importlib_external as external
import erlang
from erlang import _imports, _locks

#: The modules by name.
_modules = {}

#: The names of modules that were finished since the current thread began to load the one that it is at.
_here = threading.local()

#: So many causes of an exception are looked at.
_CAUSES = 100

_attributes = type.__dict__["__dict__"].__get__

_original = bootstrap._load_unlocked

#: Code that is on the stack while a module is loaded, and while an extension module is.
LOADS = [_original.__code__, bootstrap._exec.__code__]
EXTENSION_LOADS = [
    external.ExtensionFileLoader.create_module.__code__,
    external.ExtensionFileLoader.exec_module.__code__,
    # Between the two.
    external._get_cached.__code__,
]


def install():
    # A part of the import machinery, for code that looks at the stack, and for the interrupter.
    code = _load_unlocked.__code__
    _load_unlocked.__code__ = code.replace(co_filename=_original.__code__.co_filename)
    bootstrap._load_unlocked = _load_unlocked
    for function in _UNINTERRUPTED:
        _locks.DELICATE[function.__code__] = [_locks.ANYWHERE]


def _load_unlocked(spec):
    outer = getattr(_here, "finished", None)
    finished = _here.finished = []
    if spec.name in _modules:
        _fill_again(spec)
    try:
        module = _original(spec)
        finished.append(spec.name)
        return module
    except BaseException as error:
        if _is_by_interrupt(error):
            _keep(spec, finished, error)
        raise
    finally:
        _here.finished = outer
        if outer is not None:
            outer += finished


def _is_by_interrupt(error):
    for _ in range(_CAUSES):
        if error is None or isinstance(error, erlang.Interrupt):
            break
        error = error.__context__ if error.__cause__ is None else error.__cause__
    return isinstance(error, erlang.Interrupt)


def _keep(spec, finished, error):
    module = _made_for(spec, error)
    if module is None:
        return
    _modules[spec.name] = module
    within = spec.name + "."
    gone = [(name, kept) for name, kept in _modules.items() if name == spec.name or name.startswith(within)]
    rest = {name: sys.modules[name] for name in finished if name in sys.modules}
    for name, kept in gone:
        classes = _classes(kept)
        for taker in [taker for taker in rest if _takes(rest[taker], name, kept.__dict__, classes)]:
            # So do those that take from this one: the list grows.
            module = rest.pop(taker)
            gone.append((taker, module))
            _remove(taker, module)
            # Others may be using one that is not of the package. It stays as it is, and is made anew.
            if taker.startswith(within):
                _modules[taker] = module
    _imports.change_again([name for name, _ in gone])


def _remove(name, module):
    del sys.modules[name]
    parent, _, attribute = name.rpartition(".")
    names = getattr(sys.modules.get(parent), "__dict__", {})
    if names.get(attribute) is module:
        del names[attribute]


def _made_for(spec, error):
    """The module that could not be loaded. None if there was none yet, or one of a class that nobody knows."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code is not _original.__code__:
        traceback = traceback.tb_next
    for value in traceback.tb_frame.f_locals.values() if traceback is not None else ():
        if type(value) is types.ModuleType and value.__dict__.get("__spec__") is spec:
            return value
    return None


def _takes(module, name, names, classes):
    """Whether a module that can be made again has something that was defined by another."""
    if type(module) is not types.ModuleType or not isinstance(_loader(module), external._LoaderBasics):
        return False
    for value in list(module.__dict__.values()):
        if type(value) is types.FunctionType:
            if value.__globals__ is names:
                return True
        else:
            # Not asked itself: a metaclass may run code.
            of = value if issubclass(type(value), type) else type(value)
            called = type.__getattribute__(of, "__name__")
            # None for types of extension modules that have not readied them.
            attributes = _attributes(of) or {}
            if called in classes and names.get(called) is of and attributes.get("__module__") == name:
                return True
    return False


def _classes(module):
    """The names of classes that a module defines. Others may say that they are from it: of submodules, of extensions."""
    try:
        code = _loader(module).get_code(module.__name__)
    except Exception:
        return set()
    return {const.co_name for const in code.co_consts if isinstance(const, types.CodeType)} if code else set()


def _loader(module):
    return getattr(module.__dict__.get("__spec__"), "loader", None)


def _fill_again(spec):
    module = _modules.pop(spec.name)
    if hasattr(spec.loader, "create_module") and hasattr(spec.loader, "exec_module"):
        spec.loader = _Loader(spec.loader, module)


class _Loader(_imports.Loader):
    """A loader that fills a module which is there, instead of one that it makes."""

    def __init__(self, loader, module):
        super().__init__(loader)
        self._module = module

    def create_module(self, spec):
        made = self._loader.create_module(spec)
        if made is not None:
            return made
        names = self._module.__dict__
        attributes = _submodules(spec.name, names)
        names.clear()
        self._module.__init__(spec.name)
        names.update(attributes)
        return self._module


def _submodules(package, names):
    """Those that are there, as far as the package has had them as attributes."""
    there = {}
    for name, module in list(sys.modules.items()):
        parent, _, attribute = name.rpartition(".")
        if parent == package and names.get(attribute) is module:
            there[attribute] = module
    return there


_UNINTERRUPTED = [
    _is_by_interrupt,
    _keep,
    _remove,
    _made_for,
    _takes,
    _classes,
    _loader,
    _fill_again,
    _Loader.create_module,
    _submodules,
]
