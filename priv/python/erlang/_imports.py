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
    _finders[name].add(change)


def change_again(names):
    """Modules of these names are to be changed when they are imported the next time, too."""
    for name in names:
        if name in _finders:
            _finders[name].due = True


class _Finder:
    """A finder that finds nothing itself but adds to what a module does when it is loaded.

    It stays where it is: an import of another thread may be passing through ``sys.meta_path``, and would miss
    one of the others if a finder that it has passed were taken out.
    """

    def __init__(self, name):
        self._name = name
        self._changes = []
        self.due = False

    def add(self, change):
        self._changes.append(change)
        self.due = True

    def find_spec(self, name, path=None, target=None):
        if name != self._name or not self.due:
            return None
        for finder in list(sys.meta_path):
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = None if find is None else find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _ChangingLoader(spec.loader, self._loaded)
                return spec
        return None

    def _loaded(self, module):
        for change in self._changes:
            change(module)
        self.due = False


class Loader:
    """What takes the place of a loader, which may be one for many modules, while one module is loaded."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def exec_module(self, module):
        # As it was: those who ask for a module's loader want what it can do.
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)


class _ChangingLoader(Loader):
    def __init__(self, loader, loaded):
        super().__init__(loader)
        self._loaded = loaded

    def exec_module(self, module):
        super().exec_module(module)
        self._loaded(module)
