"""The main script of a Python process that works for a VM: ``python start.py LIBRARY``. The VM starts it.

With ``GUARD path:FOLDER… module:NAME…`` behind it, workers are forked from this process when it has imported these.

Its standard input is a socket, by which the VM says what to do. User code finds a program of its own: this script
leaves nothing of itself in ``__main__``, ``sys.argv`` and ``sys.path``.
"""

import sys


def start(names):
    import _frozen_importlib
    import _imp

    library, preload = sys.argv[1], sys.argv[2:]
    # These names go too.
    import_and_fork, seed_again = fork_workers, seed
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
    if preload:
        import_and_fork(worker, preload[0], preload[1:])
        seed_again()
    return worker.serve


def fork_workers(worker, guard, items):
    """Imports modules. Returns in each process that is forked from this one, which is a worker."""
    import gc
    import importlib
    import os
    import sys

    worker.template_begin()
    folders = [item[len("path:") :] for item in items if item.startswith("path:")]
    modules = [item[len("module:") :] for item in items if item.startswith("module:")]
    sys.path[:0] = folders
    # What is made now stays: to look through it takes time.
    collects = gc.isenabled()
    gc.disable()
    for module in modules:
        threads = worker.template_threads()
        try:
            importlib.import_module(module)
        except BaseException as error:
            worker.template_fail("%s cannot be preloaded: %s: %s" % (module, type(error).__name__, error))
            os._exit(1)
        # Some end their threads for a fork.
        if worker.template_threads() > threads and not worker.template_can_fork():
            worker.template_fail(
                "a process with threads cannot be forked, and importing %s has started some" % module
            )
            os._exit(1)
    gc.collect()
    if not worker.template_can_fork():
        worker.template_fail("a process with threads cannot be forked, and the preloaded modules have started some")
        os._exit(1)
    if collects:
        gc.enable()
    # Its objects are not looked at by the collectors of the workers, so that these share their memory.
    gc.freeze()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    worker.template_serve(guard)
    # Each worker is told of them.
    for folder in folders:
        if folder in sys.path:
            sys.path.remove(folder)


def seed():
    """Other random numbers in each worker. The module ``random`` sees to itself."""
    import sys

    seed_numpy = getattr(sys.modules.get("numpy.random"), "seed", None)
    if seed_numpy is not None:
        seed_numpy()


# The only frame that is below those of calls: that of a program, in ``__main__``.
start(globals())()
