"""C libraries that call Python back."""

import ctypes
import os
import subprocess
import sys
import threading

libc = ctypes.CDLL(None)

COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
STEP = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)

#: What was seen after each call of the library, by the name of the call's test.
seen = {}


def spin(times):
    for _ in range(times):
        pass


def sort(name, size, pause):
    """Sorts with a slow comparison, and notes whether the result is sorted."""
    values = (ctypes.c_int * size)(*((n * 7919) % size for n in range(size)))

    def compare(left, right):
        spin(pause)
        return left[0] - right[0]

    try:
        libc.qsort(values, size, ctypes.sizeof(ctypes.c_int), COMPARE(compare))
    finally:
        seen.setdefault(name, []).append(list(values) == sorted(values))
    return "sorted"


def sort_for_ever(name, size, pause):
    while True:
        sort(name, size, pause)


def never_returns(name, started):
    """A callback that never returns by itself."""

    def compare(_left, _right):
        started.append(1)
        while name not in seen:
            spin(100)
        return 0

    values = (ctypes.c_int * 2)(2, 1)
    libc.qsort(values, 2, ctypes.sizeof(ctypes.c_int), COMPARE(compare))


def library(path):
    """The library of `foreign.c`."""
    lib = ctypes.CDLL(path)
    lib.work.argtypes = [ctypes.c_int, ctypes.c_int, STEP]
    return lib


def work(path, steps, pause_us, nap=0):
    """Has the library take so many steps, in each of which it calls Python."""
    import time

    def step(number):
        spin(200)
        if nap:
            time.sleep(nap)
        return number + 1

    return library(path).work(steps, pause_us, STEP(step))


def work_in_threads(path, steps, pause_us):
    threads = [threading.Thread(target=work, args=(path, steps, pause_us)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def work_with_callback(path, steps, function):
    """The same, where each step calls `function`."""
    return library(path).work(steps, 0, STEP(lambda number: function(number) + 1))


def nested(path, steps):
    """Callbacks that call the library, which calls back."""
    lib = library(path)
    inner = STEP(lambda number: spin(100) or number + 1)

    def outer(number):
        lib.work(steps, 0, inner)
        return number + 1

    return lib.work(steps, 0, STEP(outer))


def held(path, steps):
    """The library is called with the GIL held."""
    lib = ctypes.PyDLL(path)
    kind = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_int)
    lib.work.argtypes = [ctypes.c_int, ctypes.c_int, kind]
    step = kind(lambda number: spin(200) or number + 1)
    return lib.work(steps, 0, step)


def through_cffi(path, steps, pause_us):
    import cffi

    ffi = cffi.FFI()
    ffi.cdef("int work(int steps, int pause_us, int (*step)(int));")
    step = ffi.callback("int(int)", lambda number: spin(200) or number + 1, error=-1)
    return ffi.dlopen(path).work(steps, pause_us, step)


def build_extension(path, folder):
    """Builds an extension module around the library, as packages with cffi are."""
    import cffi

    ffi = cffi.FFI()
    ffi.cdef(
        "int work(int steps, int pause_us, int (*step)(int));"
        'extern "Python" int step_in_python(int);'
    )
    ffi.set_source("_foreign_extension", "int work(int, int, int (*)(int));", extra_objects=[path])
    ffi.compile(tmpdir=folder)


def cffi_extension(path, folder):
    # In a process of its own: before 3.12 a compiler is run by os.fork().
    build = "import sys, foreign; foreign.build_extension(*sys.argv[1:])"
    environment = dict(os.environ, PYTHONPATH=os.path.dirname(__file__))
    subprocess.run([sys.executable, "-c", build, path, folder], env=environment, check=True)
    sys.path.insert(0, folder)
    import _foreign_extension

    @_foreign_extension.ffi.def_extern(error=-1)
    def step_in_python(number):
        spin(200)
        return number + 1


def through_cffi_extension(_path, steps, pause_us):
    import _foreign_extension

    lib = _foreign_extension.lib
    return lib.work(steps, pause_us, lib.step_in_python)


def train(rows):
    """xgboost's own callbacks, and an objective of ours."""
    import numpy
    import xgboost

    values = numpy.random.rand(rows, 8)

    def objective(prediction, _data):
        spin(2_000)
        return prediction - values[:, 0], numpy.ones(len(prediction))

    data = xgboost.DMatrix(values, label=values[:, 0])
    options = {"max_depth": 4, "nthread": 2, "verbosity": 0}
    return xgboost.train(options, data, num_boost_round=2_000, obj=objective).num_boosted_rounds()


def feed(batches):
    """xgboost fetches its data by a callback, a batch at a time."""
    import numpy
    import xgboost

    class Batches(xgboost.DataIter):
        def __init__(self):
            super().__init__()
            self.left = batches

        def next(self, input_data):
            spin(3_000)
            if not self.left:
                return False
            self.left -= 1
            rows = numpy.random.rand(300, 6)
            input_data(data=rows, label=rows[:, 0])
            return True

        def reset(self):
            self.left = batches

    data = xgboost.QuantileDMatrix(Batches())
    options = {"max_depth": 3, "nthread": 2, "verbosity": 0}
    return xgboost.train(options, data, num_boost_round=20).num_boosted_rounds()


def counts(path):
    lib = library(path)
    return {name: lib.__getattr__(name)() for name in ("begun", "ended", "wrong")}
