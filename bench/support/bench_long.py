"""What the long run asks of Python, on threads and on event loops."""

import asyncio
import time


def call_back(function, count):
    for number in range(count):
        function(number)
    return count


async def await_back(function, count):
    for number in range(count):
        await function(number)
    return count


def nap(seconds):
    time.sleep(seconds)


async def await_nap(seconds):
    await asyncio.sleep(seconds)


def never():
    while True:
        pass


async def await_never():
    await asyncio.Event().wait()
