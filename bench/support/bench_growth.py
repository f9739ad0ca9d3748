"""What the benchmark of growth asks of Python."""

import functools


@functools.lru_cache(maxsize=1)
def blob(size):
    """Bytes that are there already when they are asked for again."""
    return b"\xff" * size


class Counted:
    """Its instances are counted."""

    alive = 0

    def __init__(self):
        Counted.alive += 1

    def __del__(self):
        Counted.alive -= 1


def alive():
    return Counted.alive
