"""Context managers and iterables that remember what was done with them."""


class Manager:
    def __init__(self, swallow=False, on_enter=None, on_exit=None):
        self.swallow = swallow
        self.on_enter = on_enter
        self.on_exit = on_exit
        self.log = []

    def __enter__(self):
        self.log.append("enter")
        return self if self.on_enter is None else self.on_enter()

    def __exit__(self, kind, error, trace):
        self.log.append("exit")
        self.kind = kind
        self.error = error
        if self.on_exit is not None:
            self.on_exit()
        return self.swallow


class Numbers:
    """All numbers, and how many of their generators were closed."""

    def __init__(self):
        self.closed = 0
        self.made = 0

    def __iter__(self):
        try:
            number = 0
            while True:
                self.made = number
                yield number
                number += 1
        finally:
            self.closed += 1


class MissingKey(KeyError):
    pass


class Registry(dict):
    def __missing__(self, key):
        raise MissingKey(key)
