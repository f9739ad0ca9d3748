"""Iterators for streams."""

from collections.abc import Generator


def iterate(iterable):
    """``iter(iterable)``; what is asynchronous is driven by an event loop of its own."""
    if hasattr(type(iterable), "__aiter__") and not hasattr(type(iterable), "__iter__"):
        return _Driven(iterable)
    return iter(iterable)


def close(iterator):
    """Ends a generator early, so that its ``finally`` blocks run.

    Other iterators are left alone, as ``for`` leaves them: a file that some lines were read from
    goes on to be somebody's.
    """
    if isinstance(iterator, (Generator, _Driven)):
        iterator.close()


class _Driven:
    """An asynchronous iterator as an iterator.

    Its event loop runs while an item is waited for. Tasks that it started go on then, and stand
    still in between.
    """

    def __init__(self, iterable):
        import asyncio

        self._asyncio = asyncio
        self._loop = asyncio.new_event_loop()
        self._iterator = type(iterable).__aiter__(iterable)

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self._run(self._next())
        except StopAsyncIteration:
            self._end()
            raise StopIteration from None
        except BaseException:
            self._end()
            raise

    async def _next(self):
        return await type(self._iterator).__anext__(self._iterator)

    def close(self):
        if not self._loop.is_closed():
            try:
                if hasattr(self._iterator, "aclose"):
                    self._run(self._iterator.aclose())
            finally:
                self._end()

    def _run(self, awaitable):
        return self._loop.run_until_complete(self._awakened(awaitable))

    async def _awakened(self, awaitable):
        # An interrupt takes effect between two bytecodes: a loop that sleeps has none.
        task = self._asyncio.ensure_future(awaitable)
        try:
            while not task.done():
                await self._asyncio.wait((task,), timeout=0.05)
            return task.result()
        finally:
            task.cancel()

    def _end(self):
        loop = self._loop
        if loop.is_closed():
            return
        try:
            for task in self._asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
