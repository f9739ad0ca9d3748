"""Iterators that tell what becomes of them (notes.py), for test/python/streams."""

import asyncio
import contextlib
import itertools
import time

from notes import note, notes, wait, wait_async


@contextlib.contextmanager
def told(name):
    try:
        yield
        note(name, "end")
    except BaseException as exception:
        note(name, type(exception).__name__)
        raise
    finally:
        note(name, "finally")


def make(name, item):
    noted = notes(name)
    noted.here()
    noted.count(made=1)
    return item


def numbers(name, stop=None, pause=0):
    """Numbers from 0, without end if there is no `stop`."""
    with told(name):
        for number in itertools.count() if stop is None else range(stop):
            if pause:
                time.sleep(pause)
            yield make(name, number)


def gated(name, count):
    """`count` numbers at once, the next one behind the gate, and so on without end."""
    with told(name):
        for number in itertools.count():
            if number == count:
                note(name, "at the gate")
                wait(name)
            yield make(name, number)


def spinning(name, count):
    """The same, but at the gate it computes without end."""
    with told(name):
        for number in range(count):
            yield make(name, number)
        note(name, "at the gate")
        while True:
            pass


def stepped(name, steps, burst):
    """`steps` times as many numbers as a burst has, each time behind a gate."""
    for step in range(steps):
        yield from range(burst)
        wait("%s %d" % (name, step))


def failing(name, count):
    with told(name):
        for number in range(count):
            yield make(name, number)
        fail("no more than %d" % count)


class Failure(Exception):
    pass


def fail(text):
    raise Failure(text)


def unconvertible(name, count):
    """`count` numbers, then something that cannot cross, then more."""
    with told(name):
        for number in range(count):
            yield make(name, number)
        yield {"rows": [1, chr(0xD800)]}
        yield make(name, "after it")


def slow_to_close(name):
    """Whose `finally` waits at the gate."""
    try:
        for number in itertools.count():
            yield number
    finally:
        note(name, "closing")
        wait(name)
        note(name, "closed")


def never_closed(name):
    try:
        for number in itertools.count():
            yield number
    finally:
        note(name, "closing")
        try:
            while True:
                time.sleep(0.01)
        except BaseException as exception:
            note(name, type(exception).__name__)
            raise


def ignores_close(name):
    while True:
        try:
            yield 1
        except GeneratorExit:
            note(name, "ignored")


def fails_to_close(name):
    try:
        yield from itertools.count()
    finally:
        note(name, "closing")
        fail("it cannot be closed")


def exits_when_closed():
    try:
        yield from itertools.count()
    finally:
        raise SystemExit


def resists(name):
    """Goes on when it is interrupted, twice."""
    with told(name):
        yield make(name, 0)
        for _ in range(2):
            try:
                while True:
                    time.sleep(0.01)
            except BaseException as exception:
                note(name, type(exception).__name__)
        yield make(name, 1)


def delegating(name):
    yield from numbers(name)


def managed(name):
    with contextlib.ExitStack() as stack:
        stack.callback(note, name, "left")
        yield from itertools.count()


class Counted:
    """An iterator that is no generator, of which it is known how many there are."""

    def __init__(self, name, stop=None):
        self.name = name
        self.numbers = itertools.count() if stop is None else iter(range(stop))
        notes(name).count(alive=1)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.numbers)

    def __del__(self):
        notes(self.name).count(alive=-1)


class Closable(Counted):
    """As a file or a response: it can be closed, but a loop over it does not."""

    def close(self):
        note(self.name, "close")


class Raises:
    """Gives `count` numbers and then raises what it was given."""

    def __init__(self, exception, count):
        self.exception = exception
        self.numbers = iter(range(count))

    def __iter__(self):
        return self

    def __next__(self):
        for number in self.numbers:
            return number
        raise self.exception


class Restarting:
    """Against the protocol it goes on after its end."""

    def __init__(self):
        self.count = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.count += 1
        if self.count % 3 == 0:
            raise StopIteration
        return self.count


class Resource:
    """A generator by its methods only, whose `close` raises."""

    def __init__(self, name):
        self.name = name

    def __iter__(self):
        return self

    def __next__(self):
        return 1

    def send(self, _value):
        return 1

    def throw(self, *_):
        raise StopIteration

    def close(self):
        note(self.name, "close")
        fail("it cannot be closed")


class Old:
    """Iterable by its indexes."""

    def __getitem__(self, index):
        if index == 3:
            raise IndexError
        return index * index


class NoIterator:
    def __iter__(self):
        return 5


class Unreadable(Exception):
    def __str__(self):
        raise ValueError("not even this")


def raises(kind, count=2):
    exceptions = {
        "KeyboardInterrupt": KeyboardInterrupt("stop"),
        "SystemExit": SystemExit(3),
        "GeneratorExit": GeneratorExit("odd"),
        "MemoryError": MemoryError("none"),
        "RecursionError": RecursionError("too deep"),
        "Unreadable": Unreadable(),
        "StopAsyncIteration": StopAsyncIteration("odd"),
    }
    return Raises(exceptions[kind], count)


def changing_dict():
    table = {number: number for number in range(100)}

    def keys():
        for key in table:
            if key == 5:
                table["new"] = 1
            yield key

    return keys()


def bursts(seed, count):
    """Numbers with pauses at random places."""
    import random

    rng = random.Random(seed)
    for number in range(count):
        if rng.random() < 0.05:
            time.sleep(rng.choice((0, 0.001, 0.004)))
        yield number


def texts(name, count, size):
    """Strings of `size` characters, each one new."""
    with told(name):
        for number in range(count):
            yield make(name, chr(97 + number % 26) * size)


# Asynchronous ones


async def anumbers(name, stop=None, pause=0):
    with told(name):
        try:
            for number in itertools.count() if stop is None else range(stop):
                await asyncio.sleep(pause)
                yield make(name, number)
        finally:
            # Not only run, but awaited.
            await asyncio.sleep(0.01)
            note(name, "awaited")


async def agated(name, count):
    with told(name):
        for number in itertools.count():
            if number == count:
                note(name, "at the gate")
                await wait_async(name)
            yield make(name, number)


async def afailing(name, count):
    with told(name):
        for number in range(count):
            yield make(name, number)
        await afail("no more than %d" % count)


async def afail(text):
    await asyncio.sleep(0)
    raise Failure(text)


async def aunconvertible(name):
    with told(name):
        yield 1
        yield chr(0xD800)


class Countdown:
    """An object with `__aiter__`, and nothing else of a generator."""

    def __init__(self, start):
        self.left = start

    def __aiter__(self):
        return self

    async def __anext__(self):
        await asyncio.sleep(0)
        if self.left == 0:
            raise StopAsyncIteration
        self.left -= 1
        return self.left


class Table:
    """An object whose `__aiter__` gives another, each time."""

    def __init__(self, *rows):
        self.rows = rows

    async def __aiter__(self):
        for row in self.rows:
            yield row


class Both:
    def __iter__(self):
        return iter(["sync"])

    async def __aiter__(self):
        yield "async"


async def queued(name, count):
    """What a task of its own puts into a queue."""
    queue = asyncio.Queue(2)

    async def produce():
        with told(name):
            for number in range(count):
                await queue.put(number)
            await asyncio.sleep(1000)

    task = asyncio.ensure_future(produce())
    for _ in range(count):
        yield await queue.get()
    assert not task.done()


async def gathered(count):
    async def square(number):
        await asyncio.sleep(0.001 * (count - number))
        return number * number

    for future in asyncio.as_completed([square(number) for number in range(count)]):
        yield await future


async def timed_out(name):
    with told(name):
        yield 1
        await asyncio.wait_for(asyncio.sleep(1000), 0.01)


async def same_task(count):
    first = asyncio.current_task()
    for _ in range(count):
        await asyncio.sleep(0)
        yield asyncio.current_task() is first


async def context_variable(count):
    import contextvars

    variable = contextvars.ContextVar("variable", default=0)
    for _ in range(count):
        variable.set(variable.get() + 1)
        await asyncio.sleep(0)
        yield variable.get()


async def task_group(count):
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            task = group.create_task(asyncio.sleep(0, number))
            yield await task


async def deadline(seconds):
    async with asyncio.timeout(seconds):
        for number in itertools.count():
            await asyncio.sleep(0.01)
            yield number


async def odd_task(name):
    """Leaves tasks behind: one that waits, one that fails at its end, one that has failed."""

    async def waits():
        with told(name):
            await asyncio.sleep(1000)

    async def fails():
        try:
            await asyncio.sleep(1000)
        finally:
            note(name, "failing")
            fail("at the end")

    asyncio.ensure_future(waits())
    asyncio.ensure_future(fails())
    asyncio.ensure_future(afail("before")).add_done_callback(lambda task: task.exception())
    for number in range(3):
        await asyncio.sleep(0.001)
        yield number


async def stops_its_loop(count):
    for number in range(count):
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.001)
        yield number


async def exits():
    yield 1
    raise SystemExit(3)


async def blocking(name):
    """Holds its event loop up."""
    with told(name):
        yield make(name, 0)
        while True:
            time.sleep(0.01)


async def asleep(name):
    """Whose event loop has nothing to do for long."""
    with told(name):
        yield make(name, 0)
        await asyncio.sleep(1000)


async def calls_back(name, count):
    import erlang

    for number in range(count):
        await asyncio.sleep(0)
        yield erlang.call(name, number)
