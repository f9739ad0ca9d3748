"""Context variables, and what reads and sets them."""

import contextvars
import decimal
import sys

VAR = contextvars.ContextVar("VAR", default="none")


def get():
    return VAR.get()


def set_to(value):
    """What it was before."""
    before = VAR.get()
    VAR.set(value)
    return before


def count(name):
    """Counts in the variable, by one for each item."""
    VAR.set((name, 0))
    while True:
        name, number = VAR.get()
        VAR.set((name, number + 1))
        yield [name, number]


async def acount(name):
    VAR.set((name, 0))
    while True:
        name, number = VAR.get()
        VAR.set((name, number + 1))
        yield [name, number]


def tokens(closed):
    """A generator that gives its token back when it is closed."""
    token = VAR.set("mine")
    try:
        while True:
            yield VAR.get()
    finally:
        VAR.reset(token)
        closed.append(VAR.get())


class Tokens:
    """An iterator that was entered when it was made."""

    def __init__(self):
        self.token = VAR.set("made")

    def __iter__(self):
        return self

    def __next__(self):
        if self.token is None:
            raise StopIteration
        value = VAR.get()
        VAR.reset(self.token)
        self.token = None
        return value


def precision(digits=None):
    """The precision before it is set."""
    before = decimal.getcontext().prec
    if digits is not None:
        decimal.getcontext().prec = digits
    return before


def handling(function):
    """What a function sees that is called where an exception is handled, and what is handled after that."""
    try:
        raise LookupError("outer")
    except LookupError as error:
        seen = function()
        return [seen, sys.exc_info()[1] is error]


def raising(function):
    """The context of an exception that is raised after a function was called in a handler."""
    try:
        raise LookupError("outer")
    except LookupError:
        function()
        try:
            raise ValueError("inner")
        except ValueError as error:
            return type(error.__context__).__name__


def generating(function):
    """What a function sees that a generator calls whose caller handles an exception, while it handles one of
    its own and while it does not; and what they all handle after that."""

    def generate():
        seen = function()
        after = handled()
        try:
            raise ValueError("generator")
        except ValueError:
            yield [seen, after, function(), handled()]
            yield [function(), handled()]

    try:
        raise LookupError("outer")
    except LookupError:
        generator = generate()
        first, second = next(generator), next(generator)
        return [first, second, handled()]


async def _coroutine(function):
    try:
        raise ValueError("coroutine")
    except ValueError:
        return [function(), handled()]


def in_a_handling_coroutine(function):
    import asyncio

    async def main():
        try:
            raise LookupError("main")
        except LookupError:
            return [await _coroutine(function), handled()]

    try:
        raise KeyError("outer")
    except KeyError:
        return [asyncio.run(main()), handled()]


def handled():
    return None if sys.exc_info()[0] is None else sys.exc_info()[0].__name__


def in_a_coroutine(function):
    """What a function gives that a coroutine calls, and whether its loop, its task and its hooks are there
    again after that."""
    import asyncio

    async def main():
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        hooks = sys.get_asyncgen_hooks()
        VAR.set("coroutine")
        seen = function()
        await asyncio.sleep(0)
        same = [
            asyncio.get_running_loop() is loop,
            asyncio.current_task() is task,
            sys.get_asyncgen_hooks() == hooks,
            VAR.get() == "coroutine",
        ]
        return [seen, same]

    return asyncio.run(main())


def run_a_coroutine(value):
    import asyncio

    async def main():
        await asyncio.sleep(0.001)
        return value

    return asyncio.run(main())


def running():
    import asyncio

    try:
        asyncio.get_running_loop()
        return True
    except RuntimeError:
        return False


def in_a_thread(function):
    """What it gives on a thread of its own, which has set the variable."""
    import threading

    result = []

    def run():
        VAR.set("thread")
        result.append(function())
        result.append(VAR.get())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return result
