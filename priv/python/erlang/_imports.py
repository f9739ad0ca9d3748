"""Changes to modules of the standard library that a start should not pay the import of."""

import sys


def when_imported(name, change):
    """Calls ``change`` with a module, now or when it is imported."""
    if name in sys.modules:
        change(sys.modules[name])
    else:
        sys.meta_path.insert(0, _Finder(name, change))


class _Finder:
    """A finder that finds nothing itself but adds to what a module does when it is loaded."""

    def __init__(self, name, change):
        self._name = name
        self._change = change
        self._looking = False

    def find_spec(self, name, path=None, target=None):
        if name != self._name or self._looking:
            return None
        import importlib.util

        self._looking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._loaded)
        return spec

    def _loaded(self, module):
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._change(module)


class _Loader:
    """A loader, which may be one for many modules, and a change to what it loads."""

    def __init__(self, loader, loaded):
        self._loader = loader
        self._loaded = loaded

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def exec_module(self, module):
        # As it was: those who ask for a module's loader want what it can do.
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._loaded(module)
