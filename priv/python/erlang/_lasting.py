"""Modules that there are once, and that cannot be imported anew.

After ``del sys.modules["sys"]``, Python makes a module that has no ``stdout`` and no ``path``; it finds no ``__main__`` and
no ``erlang`` any more. A program ends soon after that. Here all that runs afterwards would have to do without.
"""

import builtins
import sys
import types

import __main__ as MAIN
import erlang

_modules = {"sys": sys, "builtins": builtins, "__main__": MAIN, "erlang": erlang}


def install():
    # Before Python's own, which would make them.
    sys.meta_path.insert(0, _Finder)


class _Finder:
    """Gives them back to those who import them, when they are no longer in ``sys.modules``."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        # It is there, and is to be reloaded.
        if target is not None or name in sys.modules:
            return None
        package, _, part = name.partition(".")
        module = _modules.get(name)
        if module is None and package == "erlang":
            module = erlang.__dict__.get(part)
        if not isinstance(module, types.ModuleType):
            return None
        from _frozen_importlib import ModuleSpec

        return ModuleSpec(name, _Loader(module))


class _Loader:
    def __init__(self, module):
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec):
        return self._module

    def exec_module(self, module):
        # As it was before the import machinery gave it another.
        module.__spec__ = self._spec
