"""What the benchmark of event loops asks of Python."""

import asyncio
import time

import erlang


async def nothing():
    return None


def run_nothing():
    return asyncio.run(nothing())


async def sleep(seconds):
    await asyncio.sleep(seconds)
    return True


async def _gather(count, seconds):
    started = time.perf_counter_ns()
    assert all(await asyncio.gather(*[sleep(seconds) for _ in range(count)]))
    return time.perf_counter_ns() - started


def time_gather(count, seconds):
    """The ns that so many coroutines take that are awaited together."""
    return asyncio.run(_gather(count, seconds))


async def await_elixir(function, count):
    """The ns that a call of Elixir takes."""
    started = time.perf_counter_ns()
    for number in range(count):
        assert await erlang.acall(function, number) == number + 1
    return (time.perf_counter_ns() - started) / count


async def in_executor(function, count):
    """The same, on a thread of the executor."""
    loop = asyncio.get_running_loop()
    started = time.perf_counter_ns()
    for number in range(count):
        assert await loop.run_in_executor(None, function, number) == number + 1
    return (time.perf_counter_ns() - started) / count


async def wait_to_be_cancelled(number):
    try:
        await asyncio.sleep(1000)
    finally:
        _ended[number] = time.time_ns()


_ended = {}


def ended(number):
    """When its task was cancelled, in ns since 1970; None: not yet."""
    return _ended.pop(number, None)


def tasks():
    """How many tasks the loop has, besides the one that asks."""
    return len([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
