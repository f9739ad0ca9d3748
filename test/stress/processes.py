"""What the callers of test/stress/processes.exs call, in Python processes."""

import ctypes
import os
import subprocess
import time


def echo(value):
    return value


def fail(number):
    raise ValueError(str(number))


def items(number, count):
    for at in range(count):
        yield (number, at)


def items_that_crash(number, count):
    yield from items(number, count)
    os._exit(number % 200)


def back(number, function):
    return function(number)


class Thing:
    def __init__(self, number):
        self.number = number

    def get(self):
        return self.number


def size(data):
    return len(data)


def large(count, byte):
    return bytes([byte]) * count


def child(daemon):
    subprocess.Popen(["sleep", "1000"], start_new_session=daemon)


def crash(how, number):
    if how == "exit":
        os._exit(number % 200)
    if how == "segv":
        ctypes.string_at(0)
    if how == "abort":
        os.abort()
    if how == "kill":
        os.kill(os.getpid(), 9)
    if how == "fork":
        if os.fork() == 0:
            os.setsid()
            time.sleep(1000)
        os._exit(number % 200)


def spin():
    while True:
        pass


def hold():
    sum(range(10**11))
