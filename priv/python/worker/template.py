"""A process that workers are forked from: ``GUARD package:FOLDER path:FOLDER… module:NAME…`` say how.

Without modules nobody has asked for it: then it is one only if that makes no difference but time and memory.
"""


def fork_workers(worker, arguments):
    """Imports modules. Returns in each process that is forked from this one, a worker: the function that serves."""
    import gc
    import importlib
    import os
    import sys
    import threading

    guard, items = arguments[0], arguments[1:]
    package, folders, modules = (of_kind(items, kind) for kind in ("package:", "path:", "module:"))
    compiled = worker.template_begin()
    if not modules and not is_plain():
        worker.template_fail("code that runs at each start of Python has opened something")
        os._exit(1)
    # What is made now stays: to look through it takes time.
    collects = gc.isenabled()
    gc.disable()
    worker.template_import(package[0], compiled)
    compile_all()
    worker.template_compiled()
    # Modules find it as they would in a worker, and may change it.
    if collects:
        gc.enable()
    sys.path[:0] = folders
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
    seed()
    # It has the id of this process, which Python does not see to.
    getattr(threading.main_thread(), "_set_native_id", int)()
    return lambda: worker.serve(True)


def of_kind(items, kind):
    return [item[len(kind) :] for item in items if item.startswith(kind)]


def is_plain():
    """Whether code that runs at each start of Python has opened nothing, and shares no memory, which would be one thing
    for all workers then. Whoever names modules has asked for that."""
    import os

    with open("/proc/self/maps", "rb") as maps:
        if any(line.split(None, 2)[1] in (b"rw-s", b"-w-s") for line in maps):
            return False
    # Input, output, errors, the socket, and this folder.
    return len(os.listdir("/proc/self/fd")) <= 5


def compile_all():
    """What of the package ``erlang`` a worker imports when it needs it: its loader keeps the code."""
    import os
    import sys

    import erlang

    loader = type(erlang._errors.__loader__)
    for folder in erlang.__path__:
        for file in sorted(os.listdir(folder)):
            stem, suffix = os.path.splitext(file)
            name = "erlang." + stem
            if suffix == ".py" and stem != "__init__" and name not in sys.modules:
                loader(name, os.path.join(folder, file)).get_code(name)


def seed():
    """Other random numbers in each worker. The module ``random`` sees to itself."""
    import sys

    seed_numpy = getattr(sys.modules.get("numpy.random"), "seed", None)
    if seed_numpy is not None:
        seed_numpy()
