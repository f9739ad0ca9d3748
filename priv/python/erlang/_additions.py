"""Packages that are added to a Python that runs: which ones there are, and the folders of those that have come."""

import os
import sys


def installed():
    """``(name, version, requirements)`` of each package that can be imported. Of two the first on ``sys.path`` holds."""
    from importlib import metadata

    found = {}
    for package in metadata.distributions():
        name, version = package.metadata["Name"], package.version
        if name and version and _plain(name) not in found:
            found[_plain(name)] = (name, version, [str(text) for text in package.requires or ()])
    return sorted(found.values())


def imported(names):
    """Those of the packages of which a module has been imported."""
    return [name for name in names if any(module in sys.modules for module in _modules(name))]


def check(names):
    """Raises if one of the packages has been imported: for a process whose answer nobody could tell from others'."""
    for name in imported(names):
        raise ImportError("%s has been imported" % name, name=name)


def _plain(name):
    return name.lower().replace("_", "-").replace(".", "-")


def _modules(name):
    """The modules at the top of a package, without namespaces that others share."""
    from importlib import metadata

    try:
        package = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return set()
    names = set()
    for file in package.files or ():
        parts = file.parts
        if file.suffix in (".py", ".so", ".pyd") and ".." not in parts:
            names.add(".".join((*parts[:-1], parts[-1].split(".")[0])))
    names.update((package.read_text("top_level.txt") or "").split())
    return {module[: -len(".__init__")] if module.endswith(".__init__") else module for module in names}


def add(folder):
    """Has the packages in a folder be imported, before others of the same name. Also runs its ``.pth`` files."""
    import importlib
    import site

    if folder in sys.path:
        return
    before = list(sys.path)
    site.addsitedir(folder)
    new = [path for path in sys.path if path not in before]
    old = [path for path in sys.path if path in before]
    places = [at for at, path in enumerate(old) if os.path.basename(path) in ("site-packages", "dist-packages")]
    at = places[0] if places else len(old)
    sys.path[:] = old[:at] + new + old[at:]
    importlib.invalidate_caches()


class Follower:
    """Looks, when a module is imported, whether there are new folders: their names are in a file, one a line, each
    after the prefix of the Python that it is for. This way a process gets them that was busy, or waits to be forked."""

    _name = "erlang_python_additions"

    def __init__(self, file):
        self._file = file
        self._size = 0

    def find_spec(self, name, path=None, target=None):
        try:
            size = os.stat(self._file).st_size
        except OSError:
            return None
        if size != self._size:
            self._size = size
            self._add_all()
        return None

    def _add_all(self):
        with open(self._file, encoding="utf-8") as lines:
            for line in lines:
                prefix, tab, folder = line.rstrip("\n").partition("\t")
                if tab and prefix == sys.prefix:
                    add(folder)


def follow():
    """In a process that works for a VM: the VM names the file in the environment."""
    file = os.environ.pop("ERLANG_PYTHON_ADDITIONS", None)
    if file:
        sys.meta_path.insert(0, Follower(file))
