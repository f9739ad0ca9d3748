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
