"""Waiting for Elixir in coroutines: ``erlang.acall`` and ``erlang.areceive``."""

import erlang

#: How often a loop that is none of ours looks for a message, in seconds.
TICK = 0.005


async def acall(function, /, *args, **kwargs):
    """Calls a function of Elixir or Erlang: a registered one, by its name, or one that was passed as an argument. Awaited,
    it gives what that returns. The event loop goes on meanwhile."""
    if erlang._in_loop():
        if not callable(function):
            function = erlang._registered(_name(function))
        return await function(*args, **kwargs)
    import asyncio
    import functools

    if callable(function):
        call = functools.partial(function, *args, **kwargs)
    else:
        call = functools.partial(erlang.call, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(None, call)


def _name(name):
    if not isinstance(name, str):
        raise TypeError("expected a function, or the name of a registered one, got: %r" % (name,))
    if not erlang._is_registered(name):
        # It says so itself, and how.
        getattr(erlang, name)
    return name


async def areceive(timeout=None):
    """Waits for a message that was sent with ``Python.send`` to the call or context that this is, and returns it. The event
    loop goes on meanwhile. ``timeout`` is in seconds; then ``TimeoutError`` is raised."""
    import asyncio

    if timeout is not None and timeout != timeout:
        raise ValueError("expected the timeout to be a number of seconds, got: nan")
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + max(timeout, 0)
    while True:
        message = erlang._take_message()
        if message is not None:
            return message[0]
        left = None if deadline is None else deadline - loop.time()
        if left is not None and left <= 0:
            raise TimeoutError("no message arrived within the timeout")
        future = erlang._mail_future()
        if future is None:
            await asyncio.sleep(TICK if left is None else min(TICK, left))
        else:
            await _wait(loop, future, left)


async def _wait(loop, future, left):
    # Longer than can be said is for ever.
    timer = None if left is None else loop.call_later(min(left, 1e8), _end, future)
    try:
        await future
    except BaseException:
        if future.done() and not future.cancelled():
            # It was told of a message, which is for another one then.
            erlang._pass_mail()
        raise
    finally:
        if timer is not None:
            timer.cancel()


def _end(future):
    if not future.done():
        future.set_result(None)
