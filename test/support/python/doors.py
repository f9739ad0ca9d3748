"""Managers that say where they are, and stay there."""

import time

import erlang


def spin(_door):
    while True:
        pass


def doze(_door):
    while True:
        time.sleep(0.01)


def stay(_door):
    """It is interrupted by a `try`, and ends then."""
    try:
        while True:
            time.sleep(0.01)
    except BaseException:
        pass


def hang(_door):
    """Nothing interrupts it."""
    time.sleep(4)


def linger(_door):
    until = time.monotonic() + 0.4
    while time.monotonic() < until:
        time.sleep(0.01)


def pass_by(_door):
    pass


def ask(door):
    """It waits for Elixir."""
    door.function()


class Door:
    def __init__(self, pid, entering, leaving, function=None, name=""):
        self.name = name
        self.pid = pid
        self.entering, self.leaving = globals()[entering], globals()[leaving]
        self.function = function
        self.log = []

    def note(self, what):
        self.log.append(what)
        erlang.send(self.pid, self.name + what)

    def __enter__(self):
        self.note("entering")
        self.entering(self)
        self.note("entered")
        return self

    def __exit__(self, kind, error, trace):
        self.note("leaving")
        self.leaving(self)
        self.note("left")
