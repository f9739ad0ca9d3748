"""What takes locks and is interrupted."""

import queue
import threading
import time

#: Exceptions that came out of calls to ``queue`` or ``threading`` and are no interrupts.
errors = []
ended = []


def is_free(lock):
    """Whether nobody holds it for good."""
    if not lock.acquire(timeout=10):
        return False
    lock.release()
    return True


class Channel:
    """A queue that callers put to and get from."""

    def __init__(self):
        self.queue = queue.Queue(maxsize=2)
        self.endless = queue.Queue()

    def exchange(self):
        """Endless. As there is as much put as got, somebody is always going to wake who waits."""
        try:
            while True:
                try:
                    self.queue.put(1, timeout=0.02)
                except queue.Full:
                    pass
                try:
                    self.queue.get(timeout=0.02)
                except queue.Empty:
                    pass
        except Exception as error:
            errors.append(repr(error))
            raise

    def loop(self, n):
        """Endless, alone, and never waits."""
        try:
            while True:
                self.endless.put(n)
                self.endless.get()
        finally:
            ended.append((n, time.time()))

    def is_free(self):
        return is_free(self.queue.mutex) and is_free(self.endless.mutex)


class Waiting:
    def __init__(self, lock):
        self.condition = threading.Condition(lock)

    def wait(self):
        try:
            with self.condition:
                while True:
                    self.condition.wait(0.001)
        except Exception as error:
            errors.append(repr(error))
            raise

    def is_free(self):
        return is_free(self.condition)


class Counter:
    """Something that is done with a lock held."""

    def __init__(self, lock):
        self.lock = lock
        self.first = 0

    def run(self):
        while True:
            with self.lock:
                self.first += 1

    def is_free(self):
        return is_free(self.lock)
