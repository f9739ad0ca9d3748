"""The names in the package ``erlang``: its own, those of registered functions, and no name twice."""

import sys

import erlang


class _Package(type(sys)):
    def __setattr__(self, name, value):
        if not erlang._take(name):
            raise AttributeError(
                "erlang.%s is a function that was registered; take another name, or unregister it "
                "with Python.unregister(%r)" % (name, name)
            )
        super().__setattr__(name, value)

    def __delattr__(self, name):
        super().__delattr__(name)
        erlang._give_back(name)


def watch():
    """From now on the native side knows which names are taken."""
    for name in list(vars(erlang)):
        erlang._take(name)
    erlang.__class__ = _Package
