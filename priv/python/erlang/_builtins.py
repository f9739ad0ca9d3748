"""The builtins that Python started with, for code of ours: a script may delete or change those that all others have."""

import builtins
from _operator import itemgetter

#: Those of ``erlang`` and its modules: a copy, which the native library has made.
KEPT = __builtins__

_names = builtins.__dict__

#: Those that are functions or classes.
_CALLED = [
    name
    for name, value in KEPT.items()
    if callable(value) and not name.startswith("__") or name in ("__import__", "__build_class__")
]

_all = itemgetter(*_CALLED)

#: As they were when none was missing.
_complete = _all(KEPT)


def changed():
    """What of the builtins is missing, or can no longer be called, by name."""
    global _complete
    found = None
    try:
        found = _all(_names)
        # Mostly they are the same objects, which is seen without asking them.
        if found == _complete:
            return []
    except BaseException:
        pass
    names = sorted(name for name in _CALLED if not callable(_names.get(name)))
    if not names:
        _complete = found
    return names


def hint():
    """A sentence about them for an error, or ``None``."""
    names = changed()
    if not names:
        return None
    shown = ", ".join(names[:5]) + (" and %d more" % (len(names) - 5) if len(names) > 5 else "")
    return (
        "The builtins of Python were changed: %s. Code has deleted or overwritten them in the module "
        "`builtins`, for all code in this VM. Do not do that, or put them back; a restart of the VM does." % shown
    )
