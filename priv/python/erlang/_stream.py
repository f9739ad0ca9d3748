"""Iterators for streams."""

from collections.abc import Generator
from types import GeneratorType

import erlang

#: How often a loop that waits looks up, in seconds: an interrupt takes effect between two bytecodes,
#: and a loop that sleeps has none.
TICK = 0.05


def iterate(iterable):
    """``iter(iterable)``; what is asynchronous is driven by an event loop of its own."""
    if hasattr(type(iterable), "__aiter__") and not hasattr(type(iterable), "__iter__"):
        return _Driven(iterable)
    return iter(iterable)


def itself(iterable):
    """What a stream iterates over, for a handle of that."""
    return iterable


def close(iterator):
    """Ends a generator early, so that its ``finally`` blocks run.

    Other iterators are left alone, as ``for`` leaves them: a file that some lines were read from
    goes on to be somebody's.
    """
    if _is_closed_early(iterator):
        try:
            iterator.close()
        except ValueError as error:
            # Another stream, or a call, is in the generator this moment, and goes on with it. (What the
            # generator's own code raises has come through a frame of it.)
            if type(iterator) is not GeneratorType or error.__traceback__.tb_next is not None:
                raise


def _is_closed_early(iterator):
    if isinstance(iterator, (GeneratorType, _Driven)) or hasattr(type(iterator), "closes_early"):
        return True
    try:
        return isinstance(iterator, Generator)
    except NameError:
        # Code has deleted builtins that `abc` needs.
        return False


class _Driven:
    """An asynchronous iterator as an iterator.

    Its event loop runs while an item is waited for. Tasks that were started in it go on then, and
    stand still in between.
    """

    def __init__(self, iterable):
        self._iterable = iterable
        self._hand = _Hand()
        # Made with the first item.
        self._task = None

    def __iter__(self):
        return self

    def __next__(self):
        if self._iterable is None:
            raise StopIteration
        try:
            self._run(True)
            if not self._task.done():
                return self._hand.take()
            self._task.result()
        except BaseException:
            self._end()
            raise
        self._end()
        raise StopIteration

    def close(self):
        try:
            if self._task is not None and not self._task.done():
                self._run(False)
                self._task.result()
        finally:
            self._end()

    # Nothing that the loop knows refers to this object: dropped, it is gone at once.
    __del__ = close

    def _run(self, more):
        import asyncio

        if self._task is None:
            loop = asyncio.new_event_loop()
            self._hand.demand = loop.create_future()
            self._task = loop.create_task(_hand_over(self._iterable, self._hand))
            self._task.add_done_callback(lambda _: loop.stop())
            _tick(loop)
        loop = self._task.get_loop()
        self._hand.demand.set_result(more)
        # What runs in a loop can stop it, too.
        while not (self._hand.full or self._task.done()):
            _run(loop)

    def _end(self):
        task, self._task, self._iterable = self._task, None, None
        if task is None or task.get_loop().is_closed():
            return
        loop = task.get_loop()
        if task.done() and not task.cancelled():
            # It was raised, or is of no interest; either way there is nothing to be logged.
            task.exception()
        try:
            end = loop.create_task(_end(loop))
            end.add_done_callback(lambda _: loop.stop())
            while not end.done():
                _run(loop)
            end.result()
        finally:
            loop.close()


class _Hand:
    """Where an item is put down to be taken."""

    demand = None
    item = None
    full = False

    def take(self):
        item, self.item, self.full = self.item, None, False
        return item


async def _hand_over(iterable, hand):
    """One task for all items, as ``async for`` has one.

    So a context variable lasts from item to item, and timeouts, task groups and cancel scopes, which
    belong to a task, may span a ``yield``.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    iterator = type(iterable).__aiter__(iterable)
    following = type(iterator).__anext__
    while await hand.demand:
        try:
            hand.item = await following(iterator)
        except StopAsyncIteration:
            return
        except (RuntimeError, AttributeError, TypeError, LookupError) as exception:
            runner = foreign(exception)
            if runner is None:
                raise
            raise refusal(runner, exception)
        hand.demand = loop.create_future()
        hand.full = True
        loop.stop()
    if hasattr(iterator, "aclose"):
        await iterator.aclose()


def refusal(runner, cause):
    error = RuntimeError(
        "expected an asynchronous iterator that asyncio can run, got: one that waits for something else. "
        "Call a function that runs it with %s and returns the items, or write it with asyncio or anyio" % runner
    )
    error.__cause__ = cause
    return error


#: Libraries with event loops of their own, in which nothing of asyncio runs.
FOREIGN = ("trio", "curio")


def foreign(exception):
    """What should have run it, if that is what went wrong."""
    trace = exception.__traceback__
    innermost = None
    while trace is not None:
        innermost = trace.tb_frame
        trace = trace.tb_next
    library = str(innermost.f_globals.get("__name__")).partition(".")[0]
    if library in FOREIGN:
        return "%s.run" % library
    if str(exception).startswith("Task got bad yield"):
        return "the event loop that it was written for"
    return None


def _run(loop):
    """``loop.run_forever()``, also where another loop is running.

    That one waits for a function of Elixir, which reads this stream, on the same thread.
    """
    import asyncio

    outer = asyncio._get_running_loop()
    if outer is None:
        return loop.run_forever()
    swap = getattr(asyncio.tasks, "_swap_current_task", lambda _loop, _task: None)
    task = swap(outer, None)
    asyncio._set_running_loop(None)
    try:
        loop.run_forever()
    finally:
        asyncio._set_running_loop(outer)
        swap(outer, task)


def _tick(loop):
    loop.call_later(TICK, _tick, loop)


async def _end(loop):
    """Ends what was left running in a loop, as ``asyncio.run`` does."""
    import asyncio

    left = list(asyncio.all_tasks() - {asyncio.current_task()})
    for task in left:
        task.cancel()
    results = await asyncio.gather(*left, return_exceptions=True)
    for task, result in zip(left, results):
        if isinstance(result, Exception):
            loop.call_exception_handler(
                {
                    "message": "unhandled exception of a task at the end of a stream",
                    "exception": result,
                    "task": task,
                }
            )
    await loop.shutdown_asyncgens()


class Pulled:
    """The items of an enumerable of the other side, which ``pull`` gives in chunks: for ``async for`` too."""

    def __init__(self, pull):
        self._pull = pull
        self._items = iter(())

    def __iter__(self):
        return self

    def __next__(self):
        while True:
            for item in self._items:
                return item
            if self._pull is None:
                raise StopIteration
            if erlang._in_loop():
                raise RuntimeError(
                    "reading from Elixir would hold up the event loop, and with it all calls that run there. Use async for"
                )
            try:
                self._take(self._pull())
            except erlang.Error:
                # As a generator that has raised.
                self._pull = None
                raise

    def __aiter__(self):
        return self

    async def __anext__(self):
        while True:
            for item in self._items:
                return item
            if self._pull is None:
                raise StopAsyncIteration
            try:
                self._take(await erlang.acall(self._pull))
            except erlang.Error:
                self._pull = None
                raise

    def _take(self, pulled):
        state, items = pulled
        self._items = iter(items)
        if state == "done":
            self._pull = None
