"""What Python code tells a test: what happens, how often, and in which thread; and gates, at which it waits.

Under a name of its own, which is the path of a file that the test reads (test/support/notes.ex): so it does not
matter in which process the code runs.
"""

import asyncio
import contextlib
import fcntl
import mmap
import os
import struct
import threading
import time


class Notes:
    """What is told under a name: numbers of items made and of objects alive, the length of the text, the text.

    In memory that is shared: other threads do not get their turn at each item because of it.
    """

    NUMBERS = struct.Struct("=qqq")
    SIZE = 1 << 22

    def __init__(self, name):
        # Items are made, and come and go, on several threads, and counting is more than one step.
        self.lock = threading.RLock()
        self.threads = set()
        if not os.path.isabs(name):
            raise ValueError("the path of a file (Python.Notes.new_name), not %r" % name)
        self.file = os.open(name + ".notes", os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self.file, self.SIZE)
        self.memory = mmap.mmap(self.file, self.SIZE)

    @contextlib.contextmanager
    def alone(self):
        """No other thread counts meanwhile, and no other process does."""
        with self.lock:
            fcntl.flock(self.file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self.file, fcntl.LOCK_UN)

    def count(self, made=0, alive=0):
        with self.alone():
            had_made, had_alive, length = self.NUMBERS.unpack_from(self.memory)
            self.NUMBERS.pack_into(self.memory, 0, had_made + made, had_alive + alive, length)

    def tell(self, event):
        line = event.encode() + b"\n"
        with self.alone():
            made, alive, length = self.NUMBERS.unpack_from(self.memory)
            begin = self.NUMBERS.size + length
            self.memory[begin : begin + len(line)] = line
            self.NUMBERS.pack_into(self.memory, 0, made, alive, length + len(line))

    def here(self):
        """Tells of the thread, once."""
        ident = threading.get_ident()
        if ident not in self.threads:
            self.threads.add(ident)
            self.tell("@%d" % ident)


_notes = {}
_making = threading.RLock()


def notes(name):
    with _making:
        if name not in _notes:
            _notes[name] = Notes(name)
        return _notes[name]


def note(name, event):
    noted = notes(name)
    noted.here()
    noted.tell(event)


def is_open(name):
    return os.path.exists(name + ".gate")


def wait(name):
    """Waits at a gate, in a way that can be interrupted."""
    while not is_open(name):
        time.sleep(0.01)


async def wait_async(name):
    while not is_open(name):
        await asyncio.sleep(0.005)
