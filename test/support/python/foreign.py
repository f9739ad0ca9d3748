"""C libraries that call Python back."""

import ctypes
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


def counts(path):
    lib = library(path)
    return {name: lib.__getattr__(name)() for name in ("begun", "ended", "wrong")}
