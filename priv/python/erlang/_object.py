"""What Elixir asks of objects that it has handles to, and that no function of Python's gives."""

import erlang

#: What a manager is told whose body nobody waits for any more.
GIVEN_UP = "the function did not end in time, or its pool or context was stopped"


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


def memory():
    """Numbers for ``py:memory_stats/0``."""
    import gc
    import sys

    return [sys.getallocatedblocks(), list(gc.get_count())]
