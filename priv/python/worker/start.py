"""The main script of a Python process that works for a VM: ``python start.py LIBRARY``. The VM starts it.

With more behind it, workers are forked from this process: see ``template.py``.

Its standard input is a socket, by which the VM says what to do. User code finds a program of its own: this script
leaves nothing of itself in ``__main__``, ``sys.argv`` and ``sys.path``.
"""

import sys


def start(names):
    if sys.version_info < (3, 8):
        # The library would not load, and say so of a name in it.
        sys.exit("Python 3.8 or newer is needed, and %s is Python %d.%d.%d" % ((sys.executable,) + sys.version_info[:3]))
    import _frozen_importlib
    import _imp

    library, template = sys.argv[1], sys.argv[2:]
    script = names["__file__"]
    sys.argv[:] = [""]
    if not getattr(sys.flags, "safe_path", False):
        # The folder of this script.
        del sys.path[0]
    spec = _frozen_importlib.ModuleSpec("_erlang_python_worker", None, origin=library)
    worker = _imp.create_dynamic(spec)
    _imp.exec_dynamic(worker)
    # As in a Python that is started without a script.
    for name in set(names) - {"__name__", "__builtins__", "__annotations__"}:
        del names[name]
    names.update(__doc__=None, __package__=None, __spec__=None, __loader__=_frozen_importlib.BuiltinImporter)
    if template:
        from _frozen_importlib_external import SourceFileLoader

        path = script[: -len("start.py")] + "template.py"
        own = {"__name__": "_erlang_python_template"}
        exec(SourceFileLoader(own["__name__"], path).get_code(own["__name__"]), own)
        return own["fork_workers"](worker, template)
    return worker.serve


# The only frame that is below those of calls: that of a program, in ``__main__``.
start(globals())()
