"""A process that workers are forked from: ``GUARD package:FOLDER path:FOLDER… module:NAME…`` say how."""


def fork_workers(worker, arguments):
    """Imports modules. Returns in each process that is forked from this one, a worker: the function that serves."""
    import gc
    import importlib
    import os
    import sys

    guard, items = arguments[0], arguments[1:]
    package, folders, modules = (of_kind(items, kind) for kind in ("package:", "path:", "module:"))
    worker.template_begin()
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
    known = compile_all(package[0])
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
    seed()
    return lambda: worker.serve(known)


def of_kind(items, kind):
    return [item[len(kind) :] for item in items if item.startswith(kind)]


def compile_all(folder):
    """The code of the package ``erlang``, which each worker imports by itself: as its ``_Loader`` keeps it."""
    import os
    from importlib.machinery import SourceFileLoader

    known = {}
    for file in sorted(os.listdir(folder)):
        name, suffix = os.path.splitext(file)
        if suffix == ".py":
            name = "erlang" if name == "__init__" else "erlang." + name
            loader = SourceFileLoader(name, os.path.join(folder, file))
            stats = loader.path_stats(loader.path)
            known[name] = (loader.path, stats["mtime"], stats["size"]), loader.get_code(name)
    return known


def seed():
    """Other random numbers in each worker. The module ``random`` sees to itself."""
    import sys

    seed_numpy = getattr(sys.modules.get("numpy.random"), "seed", None)
    if seed_numpy is not None:
        seed_numpy()
