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

    def find_spec(self, name, path=None, target=None):
        if name != self._name:
            return None
        import importlib.util

        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                self._change(module)

            spec.loader.exec_module = exec_module
        return spec
