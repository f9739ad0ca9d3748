"""The names in the package ``erlang``: its own, those of registered functions, and no name twice."""

import os
import sys

import erlang


class _Package(type(sys)):
    def __setattr__(self, name, value):
        if not erlang._take(name):
            raise AttributeError(
                "erlang.%s is a registered function; use another name, or unregister it "
                "with Python.unregister(%r)" % (name, name)
            )
        super().__setattr__(name, value)

    def __delattr__(self, name):
        super().__delattr__(name)
        erlang._give_back(name)


def watch():
    """From now on the native side knows which names are taken."""
    # What every module has, and the modules of the package that nobody has imported yet, are taken, too.
    modules = [os.path.splitext(name)[0] for folder in erlang.__path__ for name in os.listdir(folder)]
    for name in {*vars(erlang), *dir(_Package), *modules}:
        erlang._take(name)
    erlang.__class__ = _Package
