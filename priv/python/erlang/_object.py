"""What Elixir asks of objects that it has handles to, and that no function of Python's gives."""

import contextvars

import erlang

#: What a manager is told whose body nobody waits for any more.
GIVEN_UP = "the function did not end in time, or its pool or context was stopped"


#: A body that dies with so many seconds left is one whose time is over: by the clock that deadlines are read from, it
#: may be a little early.
CLOSE = 0.02


def type_name(value):
    """The class of an object as ``repr`` names it: ``collections.Counter``, but ``int``."""
    cls = type(value)
    module = cls.__module__
    return cls.__qualname__ if module == "builtins" else "%s.%s" % (module, cls.__qualname__)


def says_missing(exception):
    """Whether it is an exception of those that look-ups raise when there is nothing."""
    return isinstance(exception, (KeyError, IndexError))


def hold(manager):
    """``with``, whose body runs on the other side. Says what came of it: ``"done"``, or of what the body has
    raised ``"swallowed"`` or ``"raised"``. Raises what the manager raises."""
    if erlang._in_loop():
        return hold_in_loop(manager)
    # So that it is said what is missing, as older versions of Python do.
    type(manager).__enter__, type(manager).__exit__
    raised = None
    outcome = "swallowed"
    try:
        with manager as entered:
            try:
                erlang._hold(entered)
            except erlang.Error as error:
                raised = error
                raise
            except erlang.Interrupt:
                raise erlang.Error("exit", GIVEN_UP, "", "Python.TimeoutError") from None
            outcome = "done"
    except erlang.Error as error:
        if error is not raised:
            raise
        outcome = "raised"
    finally:
        # Its traceback refers to this frame.
        raised = None
    return outcome


#: The tasks of the bodies within one, in what that asks for.
_within = contextvars.ContextVar("_within", default=None)


async def hold_in_loop(manager):
    """The same where the loop goes on meanwhile: for ``async with`` too, which goes first."""
    cls = type(manager)
    if hasattr(cls, "__aenter__") and hasattr(cls, "__aexit__"):
        enter, leave = cls.__aenter__, cls.__aexit__
        asynchronous = True
    else:
        enter, leave = cls.__enter__, cls.__exit__
        asynchronous = False
    entered = enter(manager)
    if asynchronous:
        entered = await entered
    raised = None
    try:
        await _body(entered)
    except BaseException as error:
        raised = error
        left = leave(manager, type(error), error, error.__traceback__)
        if asynchronous:
            left = await left
        if left:
            return "swallowed"
        if isinstance(error, erlang.Error):
            return "raised"
        raise
    finally:
        # Its traceback refers to this frame.
        raised = None  # noqa: F841
    left = leave(manager, None, None, None)
    if asynchronous:
        await left
    return "done"


async def _body(entered):
    import asyncio

    within, inner = _within.get(), set()
    own = asyncio.current_task()
    if within is not None:
        within.add(own)
        own.add_done_callback(within.discard)
    # What the body asks for has it: it runs with the context variables of this moment.
    token = _within.set(inner)
    try:
        held = erlang._hold_in_loop(entered)
    finally:
        _within.reset(token)
    try:
        await held
    except asyncio.CancelledError:
        await _inner_ones(inner)
        erlang._leave_in_loop(True)
        raise erlang.Error("exit", GIVEN_UP, "", "Python.TimeoutError") from None
    except erlang.Error as error:
        # Its process may have died in one of them.
        await _inner_ones(inner)
        erlang._leave_in_loop(False)
        left = erlang.time_left()
        if error.kind == "exit" and not error.type and left is not None and left <= CLOSE:
            # Its process died with the body of an outer `with`, whose time is over.
            raise erlang.Error("exit", GIVEN_UP, "", "Python.TimeoutError") from None
        raise
    erlang._leave_in_loop(False)


async def _inner_ones(tasks):
    """Bodies within a body that is over: they are cancelled, and left before it is."""
    import asyncio

    tasks = [task for task in tasks if not task.done()]
    if tasks:
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError:
            # That was their time.
            pass


def memory():
    """Numbers for ``py:memory_stats/0``."""
    import gc
    import sys

    return [sys.getallocatedblocks(), list(gc.get_count())]
