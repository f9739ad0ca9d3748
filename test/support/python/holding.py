"""What holds an event loop up, for tests of what becomes of the loop."""

import asyncio
import threading
import time

from coroutines import after, keep
from notes import is_open, note

_locks = {}


def lock(name):
    return _locks.setdefault(name, threading.Lock())


def release(name):
    """Ends what `acquire` waits for."""
    lock(name).release()


def acquire(name):
    """Waits in C, until it is released."""
    own = lock(name)
    own.acquire(False)
    note(name, "begun")
    try:
        own.acquire()
    finally:
        note(name, "through")


async def acquire_in_coroutine(name):
    await asyncio.sleep(0)
    return acquire(name)


def spin(name):
    note(name, "begun")
    try:
        while True:
            pass
    finally:
        note(name, "interrupted")


def stubborn(name):
    """Catches interrupts, until the gate is open."""
    note(name, "begun")
    while not is_open(name):
        try:
            while True:
                pass
        except KeyboardInterrupt:
            note(name, "caught")
    note(name, "end")


def compute(name, seconds):
    """Keeps the loop busy, and comes to its end."""
    note(name, "begun")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    note(name, "end")
    return "computed"


def compute_until_open(name):
    note(name, "begun")
    while not is_open(name):
        pass
    return "computed"


async def in_callback(function, *args):
    """Has the loop call a function, in a moment. Its own call is over then."""
    asyncio.get_running_loop().call_later(0.01, globals()[function], *args)


async def in_own_callback(function, *args):
    await in_callback(function, *args)
    await after(1000)


async def sleep_in_callback(seconds):
    """A function in C that the loop calls itself."""
    asyncio.get_running_loop().call_later(0.01, time.sleep, seconds)


async def in_task(name, function, *args):
    """Leaves a task behind that does so."""

    async def run():
        try:
            await asyncio.sleep(0.01)
            globals()[function](*args)
        finally:
            await asyncio.sleep(0.01)
            note(name, "finally")

    keep(asyncio.ensure_future(run()))


async def spin_when_cancelled(name):
    note(name, "begun")
    try:
        await asyncio.sleep(1000)
    finally:
        spin(name)


async def items(count):
    for number in range(count):
        await asyncio.sleep(0)
        yield number


class Session:
    """An object of its loop, as those of libraries are."""

    def __init__(self):
        self._loop = asyncio.get_running_loop()
        self._lock = asyncio.Lock()

    async def get(self):
        future = self._loop.create_future()
        self._loop.call_soon(future.set_result, "got")
        return await future

    async def crowd(self):
        async def one():
            async with self._lock:
                await asyncio.sleep(0.01)

        await asyncio.gather(one(), one(), one())
        return "all"


async def session():
    session = Session()
    await session.crowd()
    return session


def loop_id():
    return id(asyncio.get_running_loop())
