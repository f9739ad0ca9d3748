"""Streams whose items are made in an event loop of a pool."""

import asyncio

from erlang import _stream

#: What ``filling`` says of its chunk, see ``native/erlang_python_nif/src/engine/asyncio/streams.rs``.
MORE, ANSWERED, OVER = range(3)

#: The tasks of streams: a loop itself would let go of them.
_tasks = set()


def any_in(loop):
    """Whether streams are open there."""
    return any(task.get_loop() is loop for task in _tasks.copy())


class Reader:
    """Asks for items as they are demanded, in one task for all of them, as ``async for`` has one.

    So a context variable lasts from item to item, and timeouts, task groups and cancel scopes, which belong to a
    task, may span a ``yield``. ``filling``: a request to fill a chunk, or to close the iterator.
    """

    closes_early = True

    def __init__(self, iterable):
        # As in other streams; those of Elixir are of both kinds, and read by a loop in one way only.
        kind = type(iterable)
        self._asynchronous = hasattr(kind, "__aiter__") and (
            not hasattr(kind, "__iter__") or kind is _stream.Pulled
        )
        self._iterable = iterable if self._asynchronous else iter(iterable)
        self._step = self._task = None
        self._demanded = self._demand = None

    def begin(self, filling):
        """Hands a request over to the task: that, or None if it has ended."""
        if self._task is None:
            self._step = filling.follow(self._run(filling))
            self._task = asyncio.Task(self._step, loop=asyncio.get_running_loop())
            _tasks.add(self._task)
            self._task.add_done_callback(_tasks.discard)
        elif self._task.done():
            return None
        else:
            filling.adopt(self._step)
            self._demanded = filling
            if self._demand is not None and not self._demand.done():
                self._demand.set_result(None)
        return self._task

    def close(self):
        """For when there is no loop to ask: at the end of it, the task is cancelled."""
        if self._task is not None and not self._task.done():
            loop = self._task.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._task.cancel)

    async def _next(self):
        while self._demanded is None:
            self._demand = asyncio.get_running_loop().create_future()
            await self._demand
        filling, self._demanded = self._demanded, None
        return filling

    async def _run(self, filling):
        iterable, self._iterable = self._iterable, None
        iterator = iterable
        fill = _fill
        try:
            if self._asynchronous:
                fill = _fill_asynchronously
                iterator = type(iterable).__aiter__(iterable)
            while not filling.closes:
                if filling.begin() == OVER or await fill(filling, iterator) == OVER:
                    return
                filling = await self._next()
        except BaseException as exception:
            # If it is not answered: the consumer is told, or knows.
            filling.failed(exception)
        finally:
            try:
                await _close(iterator)
            except Exception as exception:
                # Nobody waits for it any more.
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "an exception while a stream was closed", "exception": exception}
                )
            finally:
                if filling.closes:
                    filling.closed()


async def _fill(filling, iterator):
    while True:
        state = filling.fill(iterator)
        if state != MORE:
            return state
        # It takes its time: the loop goes on.
        await asyncio.sleep(0)


async def _fill_asynchronously(filling, iterator):
    following = type(iterator).__anext__
    try:
        while True:
            item = await following(iterator)
            state = filling.add(item)
            if state != MORE:
                return state
    except StopAsyncIteration:
        return filling.ended()
    except BaseException as exception:
        runner = None
        if isinstance(exception, (RuntimeError, AttributeError, TypeError, LookupError)):
            runner = _stream.foreign(exception)
        if runner is not None:
            exception = _stream.refusal(runner, exception)
        return filling.failed(exception)


async def _close(iterator):
    if hasattr(iterator, "aclose"):
        await iterator.aclose()
    else:
        _stream.close(iterator)
