"""Looks whether a bundle stands by itself. It runs under the bundle's interpreter, and prints lines for
lib/python/release/build.ex.

    python -E -s check.py FOREIGN...

Each extension module of the standard library is imported. `FOREIGN` are the folders that it was copied from: what is
mapped from there would be missing on another machine.
"""

import importlib
import importlib.machinery
import os
import sys

SYSTEM = ("/lib", "/usr/", "/etc/", "/dev/", "/nix/store/", "/gnu/store/")


def extension_modules():
    names = set()
    for folder in sys.path:
        if os.path.basename(folder) == "lib-dynload" and os.path.isdir(folder):
            for name in os.listdir(folder):
                if name.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES)):
                    names.add(name.split(".")[0])
    return sorted(names)


def failing(names):
    failed = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            failed[name] = str(error)
    return failed


def mapped(foreign):
    """The files that this process has mapped, and that are neither of the bundle nor of the system."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            paths = {line[line.find("/") :].rstrip("\n") for line in maps if "/" in line}
    except OSError:
        return []
    own = os.path.realpath(sys.prefix) + os.sep
    return sorted(
        path
        for path in paths
        if not path.startswith(own) and (path.startswith(foreign) or not path.startswith(SYSTEM))
    )


def main():
    failed = failing(extension_modules())
    foreign = mapped(tuple(os.path.realpath(folder) + os.sep for folder in sys.argv[1:]))
    tell("prefix", [sys.prefix])
    tell("path", [path for path in sys.path if os.path.isabs(path)])
    tell("failed", ["%s: %s" % one for one in sorted(failed.items())])
    tell("foreign", foreign)


def tell(what, values):
    for value in values:
        print("bundle\t%s\t%s" % (what, value.replace("\n", " ")))


if __name__ == "__main__":
    main()
