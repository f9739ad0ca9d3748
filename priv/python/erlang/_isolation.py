"""What a call must not see of the one that its thread is in the middle of.

Elixir code that a coroutine or an ``except`` block has called may call Python again, and that runs on the
same thread. It starts as a call on a thread of its own would, and the outer one finds everything as it left
it. (Context variables, and the exception that is being handled, are seen to in ``engine/main/isolation.rs``.)
"""

import sys

from erlang._locks import ANYWHERE, DELICATE


def set_aside():
    """Takes the running event loop, its current task and its hooks away from the thread. What ``take_back``
    is to be given, or None if no loop runs. Called only where asyncio has been imported."""
    asyncio = sys.modules["asyncio"]
    try:
        loop = asyncio._get_running_loop()
        if loop is None:
            return None
        task = asyncio.current_task(loop)
    except (AttributeError, RuntimeError):
        # It is being imported.
        return None
    hooks = sys.get_asyncgen_hooks()
    try:
        if task is not None:
            asyncio.tasks._leave_task(loop, task)
        asyncio._set_running_loop(None)
        sys.set_asyncgen_hooks(None, None)
    except BaseException:
        # An interrupt that was meant for the outer call.
        take_back(loop, task, hooks)
        raise
    return loop, task, hooks


def take_back(loop, task, hooks):
    asyncio = sys.modules["asyncio"]
    sys.set_asyncgen_hooks(*hooks)
    asyncio._set_running_loop(loop)
    if task is not None and asyncio.current_task(loop) is None:
        asyncio.tasks._enter_task(loop, task)


def within_a_generator(function):
    """Calls a function in a generator, with the generator."""

    def generate():
        yield function(generator)

    generator = generate()
    next(generator)


def renewal(context):
    """A function that gives a copy of ``context``, which is to be the current one, its own of what all
    copies share and can change: the context of ``decimal``. None if there is nothing like that in it."""
    decimal = sys.modules.get("decimal")
    if decimal is None or not any(type(v) is decimal.Context for v in context.values()):
        return None
    return lambda: decimal.setcontext(decimal.getcontext().copy())


# Half of one of these would leave the thread with half of its state.
for _function in (set_aside, take_back):
    DELICATE[_function.__code__] = [ANYWHERE]
