"""What the tests of the engine :asyncio run on its loops."""

import asyncio
import contextvars
import functools
import gc
import sys
import threading
import time
import types

from notes import is_open, note, wait_async


def tasks():
    """How many tasks the running loop has."""
    return len([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])


async def answer(value=None):
    await asyncio.sleep(0)
    return value


async def after(seconds, value=None):
    await asyncio.sleep(seconds)
    return value


async def nothing(value=None):
    return value


async def fail(text):
    await asyncio.sleep(0)
    raise ValueError(text)


def plain(value=None):
    return value


class Awaitables:
    """One of each kind of what can be awaited."""

    def future(self, value):
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.005, future.set_result, value)
        return future

    def task(self, value):
        return asyncio.ensure_future(answer(value))

    def gathered(self, value):
        return asyncio.gather(answer(value), answer(value))

    def custom(self, value):
        return Custom(value)

    def partial(self, value):
        return functools.partial(answer, value)()

    @types.coroutine
    def generator(self, value):
        yield from asyncio.sleep(0).__await__()
        return value

    async def method(self, value):
        return await answer(value)

    async def __call__(self, value):
        return await answer(value)

    def shielded(self, value):
        return asyncio.shield(answer(value))

    def waited(self, value):
        return asyncio.wait_for(answer(value), 10)


class Custom:
    def __init__(self, value):
        self.value = value

    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return self.value


awaitables = Awaitables()


class Meeting:
    """Lets nobody through before all are there."""

    def __init__(self, size):
        self.size = size
        self.there = 0
        self.full = asyncio.Event()

    async def come(self, value=None):
        self.there += 1
        if self.there == self.size:
            self.full.set()
        await self.full.wait()
        return value


async def meeting(size):
    """Made on the loop: up to 3.9 an event belongs to the loop that it was made on."""
    return Meeting(size)


async def held(name):
    """Waits at a gate."""
    note(name, "begun")
    try:
        await wait_async(name)
        note(name, "through")
        return "through"
    except asyncio.CancelledError:
        note(name, "cancelled")
        raise
    finally:
        await asyncio.sleep(0.01)
        note(name, "finally")


async def stubborn(name, times=10**9):
    """Goes on when it is cancelled, so many times, unless the gate is open."""
    note(name, "begun")
    for _ in range(times):
        try:
            await wait_async(name)
            break
        except asyncio.CancelledError:
            note(name, "cancelled")
    note(name, "end")
    return "end"


async def spin(name):
    """Keeps the loop busy."""
    note(name, "begun")
    try:
        while True:
            pass
    finally:
        # Nothing else ends it there.
        await asyncio.sleep(0.01)
        note(name, "finally")


async def asleep(seconds, name=None):
    """Keeps the loop busy in C."""
    if name:
        note(name, "begun")
    time.sleep(seconds)
    return "awake"


async def shielded(name):
    return await asyncio.shield(asyncio.ensure_future(held(name)))


async def leave_task(name):
    """Answers before a task that it has started."""
    keep(asyncio.ensure_future(held(name)))
    await asyncio.sleep(0)
    return "answered"


_kept = set()


def keep(task):
    _kept.add(task)
    task.add_done_callback(_kept.discard)


async def gathered(names):
    return await asyncio.gather(*[held(name) for name in names])


async def gather_with_error(name):
    return await asyncio.gather(held(name), fail("in a gather"))


async def group(name):
    async with asyncio.TaskGroup() as group:
        group.create_task(held(name))
        await asyncio.sleep(0)
        group.create_task(fail("in a group"))


async def group_held(name):
    async with asyncio.TaskGroup() as group:
        group.create_task(held(name))
        await asyncio.sleep(1000)


async def cancel_self():
    asyncio.current_task().cancel()
    await asyncio.sleep(1000)


async def raise_cancelled():
    raise asyncio.CancelledError("by itself")


async def limited(seconds):
    await asyncio.wait_for(asyncio.sleep(1000), seconds)


async def numbers(count, name=None):
    try:
        for number in range(count):
            await asyncio.sleep(0)
            yield number
    finally:
        if name:
            await asyncio.sleep(0.01)
            note(name, "finally")


async def half_read(name):
    """Leaves an asynchronous generator half read, in a cycle and out of one."""
    async for number in numbers(10, name):
        if number == 3:
            break
    items = numbers(10, name)
    await items.__anext__()
    cycle = [items]
    cycle.append(cycle)


variable = contextvars.ContextVar("variable", default=None)


async def set_variable(value):
    before = variable.get()
    variable.set(value)
    await asyncio.sleep(0.001)
    inside = await asyncio.ensure_future(get_variable())
    return [before, inside, variable.get()]


async def get_variable():
    return variable.get()


class Entered:
    def __init__(self, name):
        self.name = name

    async def __aenter__(self):
        await asyncio.sleep(0)
        note(self.name, "enter")
        return self

    async def __aexit__(self, kind, error, traceback):
        await asyncio.sleep(0.005)
        note(self.name, "exit %s" % (kind.__name__ if kind else None))

    async def value(self):
        await asyncio.sleep(0)
        return 42


def collect():
    gc.collect()


def loop_id():
    return id(asyncio.get_running_loop())


def thread_id():
    return threading.get_ident()


def thread_after(seconds):
    """Its thread, which it keeps meanwhile."""
    time.sleep(seconds)
    return threading.get_ident()
