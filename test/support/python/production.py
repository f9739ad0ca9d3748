"""What callers with deadlines call."""

import socket
import threading
import time

log = []
_log_lock = threading.Lock()


def note(entry):
    with _log_lock:
        log.append(entry)


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


def sum_of(count):
    """A C function that keeps the GIL."""
    return sum(range(count))


def read_socket():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(1)
        return ours.recv(1)


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
        note("in " + self.name)

    def __exit__(self, kind, *_):
        note("out " + self.name)
        self.kind = kind


def guarded(name):
    with Manager(name):
        try:
            wait()
        finally:
            note("finally " + name)


def count(name):
    return log.count(name)


def gate(lock):
    with lock:
        return "done"
