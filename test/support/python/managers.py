"""Context managers and iterables that remember what was done with them."""


class Manager:
    def __init__(self, swallow=False, on_enter=None, on_exit=None):
        self.swallow = swallow
        self.on_enter = on_enter
        self.on_exit = on_exit
        self.log = []

    def __enter__(self):
        self.log.append("enter")
        return self if self.on_enter is None else self.on_enter()

    def __exit__(self, kind, error, trace):
        self.log.append("exit")
        self.kind = kind
        self.error = error
        if self.on_exit is not None:
            self.on_exit()
        return self.swallow


class Noting:
    """Notes its name when it is left."""

    def __init__(self, names, name):
        self.names = names
        self.name = name

    def __enter__(self):
        pass

    def __exit__(self, *error):
        self.names.append(self.name)


class Numbers:
    """All numbers, and how many of their generators were closed."""

    def __init__(self):
        self.closed = 0
        self.made = 0

    def __iter__(self):
        try:
            number = 0
            while True:
                self.made = number
                yield number
                number += 1
        finally:
            self.closed += 1


class MissingKey(KeyError):
    pass


class Registry(dict):
    def __missing__(self, key):
        raise MissingKey(key)


# Managers that belong to a thread or a context of variables, as those of libraries do.

import contextlib
import contextvars
import threading
import time

STATE = contextvars.ContextVar("STATE", default="clean")
LOCAL = threading.local()


class Token:
    """Sets a context variable, and gives the token back in the same context."""

    def __init__(self, value):
        self.value = value

    def __enter__(self):
        self.token = STATE.set(self.value)
        return self.value

    def __exit__(self, *_error):
        STATE.reset(self.token)


class NoGrad:
    """As torch.no_grad: the thread's flag, and what it was before."""

    def __enter__(self):
        self.before = grad()
        LOCAL.grad = False

    def __exit__(self, *_error):
        LOCAL.grad = self.before


class Threads:
    """Remembers on which threads it was entered and left."""

    def __init__(self, leave=0):
        self.threads = []
        self.error = None
        self.leave = leave

    def __enter__(self):
        self.threads.append(threading.get_ident())
        return self

    def __exit__(self, kind, error, trace):
        until = time.monotonic() + self.leave
        while time.monotonic() < until:
            pass
        self.threads.append(threading.get_ident())
        self.error = error
        self.traced = trace is not None


def grad():
    return getattr(LOCAL, "grad", True)


def state():
    return [STATE.get(), grad(), __import__("decimal").getcontext().prec]


def ident():
    return threading.get_ident()


def idents():
    """A generator that says on which thread each item, and its end, is made."""
    try:
        while True:
            yield [threading.get_ident(), STATE.get()]
    finally:
        ENDS.append([threading.get_ident(), STATE.get()])


ENDS = []


@contextlib.contextmanager
def translating():
    """Makes an error of its own of what is raised."""
    try:
        yield
    except Exception as error:
        raise KeyError("translated") from error


def calling(function):
    return function()
