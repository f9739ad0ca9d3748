"""What callers with deadlines call."""

import contextlib
import os
import socket
import threading
import time

from notes import note, wait as wait_at_gate


def until(seconds, answer):
    """Python code that ends after so many seconds."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return answer


def nap(seconds, answer):
    """The same in a C function."""
    time.sleep(seconds)
    return answer


def echo(value):
    return value


def spin():
    while True:
        pass


def wait():
    while True:
        time.sleep(0.001)


def sleep():
    time.sleep(1)


def sum_for(seconds):
    """A C function that keeps the GIL for about so long, however fast the machine is."""

    def taken(count):
        begun = time.perf_counter()
        sum(range(count))
        return time.perf_counter() - begun

    count = 1_000_000
    return taken(int(count * seconds / min(taken(count) for _ in range(3))))


def read_socket():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(1)
        return ours.recv(1)


def read_pipe():
    """A read that blocks, in a C function that has no timeout of its own."""
    ours, theirs = os.pipe()
    threading.Timer(1, os.write, [theirs, b"x"]).start()
    try:
        return os.read(ours, 1)
    finally:
        os.close(ours)


def comprehend():
    """A loop in which Python calls C, again and again."""
    return [0 for _ in iter(int, 1)]


def all_of_them():
    return all(1 for _ in iter(int, 1))


def take_lock():
    lock = threading.Lock()
    lock.acquire()
    return lock.acquire(timeout=1)


def wait_for_event():
    return threading.Event().wait(1)


def call(function, *args):
    return function(*args)


class Manager:
    def __init__(self, name):
        self.name = name

    def __enter__(self):
        note(self.name, "in")

    def __exit__(self, kind, *_):
        note(self.name, "out")
        self.kind = kind


@contextlib.contextmanager
def manager(name):
    try:
        yield
    finally:
        note(name, "left")


def guarded(name):
    """Tells what it is left by, whatever ends it."""
    with Manager(name), manager(name):
        try:
            wait()
        except Exception:
            note(name, "Exception")
        except BaseException as exception:
            note(name, type(exception).__name__)
            raise
        finally:
            note(name, "finally")


def gate(lock):
    with lock:
        return "done"


def pass_gate(name):
    wait_at_gate(name)
    return "done"
