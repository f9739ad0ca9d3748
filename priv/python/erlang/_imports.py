"""Changes to modules of the standard library that a start should not pay the import of."""

import sys

_finders = {}


def when_imported(name, change):
    """Calls ``change`` with a module, now or when it is imported."""
    if name in sys.modules:
        change(sys.modules[name])
        return
    if name not in _finders:
        _finders[name] = _Finder(name)
        sys.meta_path.insert(0, _finders[name])
    _finders[name].changes.append(change)


class _Finder:
    """A finder that finds nothing itself but adds to what a module does when it is loaded.

    It stays where it is: an import of another thread may be passing through ``sys.meta_path``, and would miss
    one of the others if a finder that it has passed were taken out.
    """

    def __init__(self, name):
        self._name = name
        self.changes = []

    def find_spec(self, name, path=None, target=None):
        if name != self._name or not self.changes:
            return None
        for finder in list(sys.meta_path):
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = None if find is None else find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, self._loaded)
                return spec
        return None

    def _loaded(self, module):
        changes, self.changes = self.changes, []
        for change in changes:
            change(module)


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
