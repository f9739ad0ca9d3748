"""The event loops of pools with the engine ``:asyncio``.

What is needed for each call is native (``native/erlang_python_nif/src/engine/asyncio``): here a loop is made, run, and
ended. ``own`` is the native side of a loop.
"""

import asyncio
import functools
import os
import selectors
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import CoroutineType

import erlang

#: How long tasks that have been cancelled have until they are cancelled again, in seconds.
AGAIN = 1

_OURS = os.path.dirname(__file__) + os.sep
_ASYNCIO = os.path.dirname(asyncio.__file__) + os.sep


class _Loop:
    """What our loops have beside those that they are made of."""

    def run_in_executor(self, executor, function, *args):
        # Processes are none of the call.
        if executor is None or isinstance(executor, ThreadPoolExecutor):
            origin = erlang._origin()
            if origin is not None:
                return super().run_in_executor(executor, _as_call, origin, function, *args)
        return super().run_in_executor(executor, function, *args)


def _as_call(origin, function, *args):
    before = erlang._origin()
    erlang._adopt(origin)
    try:
        return function(*args)
    finally:
        erlang._adopt(before)


class _Selector(_Loop, asyncio.SelectorEventLoop):
    # Code asks for this name to tell the kinds of loops apart.
    __module__ = asyncio.SelectorEventLoop.__module__

    def __init__(self, own):
        super().__init__(_LooksOut(own))


class _LooksOut(selectors.DefaultSelector):
    """Looks for some µs whether the next request comes, before it waits: to be woken takes longer than most calls."""

    def __init__(self, own):
        super().__init__()
        self._own = own

    def select(self, timeout=None):
        if (timeout is None or timeout > 0) and self._own.looks_out():
            try:
                return [(self.get_key(self._own.fileno()), selectors.EVENT_READ)]
            except KeyError:
                self._own.ring_again()
        return super().select(timeout)


def _make(kind, own):
    if kind != "asyncio":
        try:
            import uvloop
        except ImportError:
            if kind == "uvloop":
                raise
        else:
            return type("Loop", (_Loop, uvloop.Loop), {"__module__": uvloop.Loop.__module__})()
    return _Selector(own)


def run(own, kind, patience, call):
    """Runs a loop until it is to end. ``call``: the context variable that says whose code runs."""
    Coroutine.register(own.step)
    loop = _make(kind, own)
    asyncio.set_event_loop(loop)
    loop.set_task_factory(functools.partial(_task, own.follow, call))
    loop.add_reader(own.fileno(), _take, own, loop)
    for lost, where in own.lost():
        _forsake(lost, where)
    own.started(
        loop,
        {
            "task": _starter(loop),
            "coroutine": CoroutineType,
            "awaitable": awaitable,
            "together": together,
            "in_slices": in_slices,
            "place": place,
        },
    )
    try:
        while not own.stops:
            try:
                loop.run_forever()
            except BaseException as exception:
                # What a callback raises, or an interrupt that has come late, is not the end of the others.
                _report(loop, exception)
            if loop.is_closed():
                raise RuntimeError("the event loop was closed by code that runs in it")
    finally:
        if not loop.is_closed():
            _end(own, loop, patience / 1_000)
        own.ended()


#: What code asks of the loop that an object was made in.
_ASKED = ("call_soon", "call_later", "call_at", "create_future", "create_task", "run_in_executor")


def _forsake(loop, where):
    """Has a loop that is lost say so, when code in another loop takes what was made in it."""
    at = ", at %s:%d in %s" % where if where else ""
    text = (
        "the event loop in which this was made was held up for good%s, and another one has taken its place: "
        "make it again in the loop that runs" % at
    )

    def refusing(method):
        def ask(*args, **kwargs):
            if asyncio._get_running_loop() in (None, loop):
                return method(*args, **kwargs)
            raise RuntimeError(text)

        return ask

    for name in _ASKED:
        setattr(loop, name, refusing(getattr(loop, name)))


def _take(own, loop):
    # Code that has run another loop here, or tried to, may have left it without its mark.
    if asyncio._get_running_loop() is not loop:
        asyncio._set_running_loop(loop)
    if own.take():
        # Once: uvloop keeps a second one for its next run.
        loop.remove_reader(own.fileno())
        loop.stop()


def _task(follow, call, loop, coroutine, **options):
    """The task factory: what a call's code starts is a part of the call."""
    context = options.get("context")
    origin = call.get(None) if context is None else context.get(call)
    if origin is not None:
        coroutine = follow(coroutine, origin)
    return asyncio.Task(coroutine, loop=loop, **options)


def _starter(loop):
    if sys.version_info >= (3, 12):
        # As far as it goes without waiting, at once.
        return functools.partial(asyncio.Task, loop=loop, eager_start=True)
    return functools.partial(asyncio.Task, loop=loop)


def awaitable(value):
    """A coroutine for what can be awaited, as ``await`` says, or None for what cannot."""
    if hasattr(type(value), "__await__"):
        return value if isinstance(value, Coroutine) else _await(value)
    # A generator of `types.coroutine`.
    if getattr(getattr(value, "gi_code", None), "co_flags", 0) & 0x100:
        return _await(value)
    return None


async def _await(value):
    return await value


async def together(results, waiting):
    """Awaits some of the results of a ``map`` at the same time. If one fails, the others are cancelled: its index,
    with the exception."""
    tasks = [asyncio.ensure_future(coroutine) for _, coroutine in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        left = [task for task in tasks if not task.done()]
        for task in left:
            task.cancel()
        while left:
            left = list((await asyncio.wait(left))[1])
    for (index, _), task in zip(waiting, tasks):
        if not task.cancelled() and task.exception() is not None:
            return index, task.exception()
    for (index, _), task in zip(waiting, tasks):
        if task.cancelled():
            return index, asyncio.CancelledError()
        results[index] = task.result()
    return results


async def in_slices(slices):
    """Makes the calls of a ``map`` that takes its time, and gives what ``together`` gives."""
    try:
        made = None
        while made is None:
            await asyncio.sleep(0)
            made = slices.make()
    finally:
        slices.close()
    results, waiting = made
    # Of one that has failed, that is its index.
    if not isinstance(results, list) or not waiting:
        return results if isinstance(results, list) else made
    return await together(results, waiting)


def place(task):
    """Where a task waits: the file, the line and the function, those of asyncio and of this package left out."""
    found = None
    awaited = task.get_coro()
    while awaited is not None:
        frame = waits_for = None
        for kind in ("cr", "gi", "ag"):
            frame = getattr(awaited, kind + "_frame", None) or frame
        for name in ("cr_await", "gi_yieldfrom", "ag_await"):
            waits_for = getattr(awaited, name, None) or waits_for
        if frame is not None:
            code = frame.f_code
            if code.co_filename.startswith(_OURS):
                # Nothing but its locals leads from here to an asynchronous generator.
                waits_for = frame.f_locals.get("iterator", waits_for)
            elif found is None or not code.co_filename.startswith(_ASYNCIO):
                found = code.co_filename, frame.f_lineno, code.co_name
        awaited = waits_for
    return found


def _report(loop, exception):
    if isinstance(exception, erlang.Interrupt):
        return
    loop.call_exception_handler(
        {"message": "an exception has left the event loop, which goes on", "exception": exception}
    )


def _end(own, loop, patience):
    """What ``asyncio.run`` does at its end, in so many seconds."""
    # What comes now, such as the end of a call that waits, does not stop it.
    loop.add_reader(own.fileno(), own.take)
    deadline = loop.time() + patience
    ending = loop.create_task(_ending(loop, deadline))
    try:
        # Code that ends now may stop the loop, or raise in its callbacks.
        while not ending.done() and loop.time() < deadline + AGAIN:
            try:
                loop.run_until_complete(ending)
            except BaseException as exception:
                if ending.done():
                    _report(loop, exception)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _ending(loop, deadline):
    left = asyncio.all_tasks() - {asyncio.current_task()}
    # Those that were told before are in their `finally` blocks.
    told = {task for task in left if getattr(task.get_coro(), "_told", False)}
    while left and loop.time() < deadline:
        for task in left - told:
            task.cancel()
        # Those that do not end by themselves have the other half of the time.
        time = (deadline - loop.time()) / (2 if told else 1)
        told = set()
        done, left = await asyncio.wait(left, timeout=min(AGAIN, time))
        for task in done:
            _report_of(loop, task)
    ends = [loop.shutdown_asyncgens()]
    if hasattr(loop, "shutdown_default_executor"):
        ends.append(loop.shutdown_default_executor())
    for end in ends:
        end = asyncio.ensure_future(end)
        await asyncio.wait([end], timeout=max(deadline - loop.time(), 0))
        if end.done():
            _report_of(loop, end)


def _report_of(loop, task):
    if not task.cancelled() and task.exception() is not None:
        loop.call_exception_handler(
            {
                "message": "an exception at the end of the event loop",
                "exception": task.exception(),
                "task": task,
            }
        )
