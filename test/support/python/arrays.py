"""What numpy adds to the values that cross. To be imported where there is a numpy."""

import numpy


def hostile():
    """Scalars whose class says that their items are others of their kind, without end."""

    class First(numpy.float32):
        def item(self):
            return Second(1)

    class Second(numpy.float32):
        def item(self):
            return [First(1)]

    First.__module__ = Second.__module__ = "numpy"
    return [First(1.5), Second(2.5)]


def shares(view, size):
    """Whether an array over a view has the view's bytes, not a copy of them."""
    array = numpy.frombuffer(view, dtype=numpy.uint8)
    return array.nbytes == size and not array.flags.owndata and not array.flags.writeable


# Arrays of all kinds, made from a description, and what they hold.


class Interface:
    """Has ``__array_interface__`` alone: an address, or the memory from an offset on."""

    def __init__(self, array, by_address):
        self._array = array
        interface = dict(array.__array_interface__)
        if not by_address:
            base = _memory_of(array)
            start = base.__array_interface__["data"][0]
            interface["offset"] = interface["data"][0] - start
            interface["data"] = memoryview(base)
            interface["strides"] = array.strides
        self.__array_interface__ = interface


def _memory_of(array):
    while array.base is not None:
        array = array.base
    return array


class Capsule:
    """Has DLPack alone."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


class Convertible:
    """Has ``__array__`` alone."""

    def __init__(self, array):
        self._array = array

    def __array__(self, *_args, **_options):
        return self._array


def made(seed):
    """An exporter of an array, its kind, dtype and shape, and its items in row-major order."""
    random = numpy.random.RandomState(seed)
    name = random.choice(["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16", "b1"])
    dtype = numpy.dtype(random.choice(["<", ">", "="]) + name)
    count = random.randint(0, 5)
    shape = tuple(int(n) for n in random.randint(0 if random.rand() < 0.2 else 1, 7, size=count))
    steps = [int(random.choice([1, 1, 1, 2, 3, -1, -2])) for _ in shape]
    whole = tuple(n * abs(step) for n, step in zip(shape, steps))
    offset = random.randint(0, 3)
    size = int(numpy.prod(whole, dtype=int)) * dtype.itemsize
    memory = random.randint(0, 2 if name == "b1" else 256, size=size + offset, dtype=numpy.uint8)
    order = random.permutation(len(whole)) if whole else []
    # Its dimensions lie in memory in another order than they are named.
    array = memory[offset:].view(dtype).reshape([whole[at] for at in order])
    array = array.transpose(numpy.argsort(order)) if count else array.reshape(())
    array = array[tuple(slice(None, None, step) for step in steps)] if count else array
    if count and random.rand() < 0.1:
        array = numpy.broadcast_to(array[:1] if shape[0] else array, array.shape)
    assert array.shape == shape
    items = numpy.ascontiguousarray(array.astype(dtype.newbyteorder("="))).tobytes()
    kinds = ["array", "read-only", "interface", "memory", "convertible", "view"]
    if name[0] != "b" and dtype.isnative and hasattr(array, "__dlpack__") and array.flags.writeable:
        kinds.append("capsule")
    kind = kinds[random.randint(len(kinds))]
    exporter = array
    if kind == "read-only":
        exporter = array.view()
        exporter.flags.writeable = False
        exporter = exporter[...]
    elif kind in ("interface", "memory"):
        exporter = Interface(array, kind == "interface")
    elif kind == "capsule":
        exporter = Capsule(array)
    elif kind == "convertible":
        exporter = Convertible(array)
    elif kind == "view":
        exporter = memoryview(array)
    letters = {"i": "s", "b": "bool"}
    letter = letters.get(name[0], name[0])
    return exporter, "%s of %r, steps %r" % (kind, array.dtype.str, steps), (letter, dtype.itemsize * 8), shape, items


def seen(array):
    """What an array is, and that its memory is another's."""
    plain = isinstance(array, numpy.ndarray) and not array.flags.owndata and not array.flags.writeable
    return plain, array.dtype.kind, array.dtype.itemsize * 8, array.dtype.isnative, array.shape, array.tobytes()
