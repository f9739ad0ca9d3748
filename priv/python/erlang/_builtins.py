"""The builtins that Python started with, for code of ours: a script may delete or change those that all others have."""

import builtins

#: Those of ``erlang`` and its modules: a copy, which the native library has made.
KEPT = __builtins__

_names = builtins.__dict__


def changed():
    """What of the builtins is missing, or can no longer be called, by name."""
    return sorted(
        name
        for name, value in KEPT.items()
        if callable(value) and not callable(_names.get(name)) and not name.startswith("__")
        or name in ("__import__", "__build_class__") and not callable(_names.get(name))
    )


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
