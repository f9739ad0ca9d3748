"""What Python code that runs inside the BEAM can ask of it."""


class Interrupt(BaseException):
    """Raised in code whose caller no longer waits: it timed out, was cancelled, or died.

    Like ``KeyboardInterrupt`` it is not an ``Exception``, so ``except Exception`` lets it pass.
    ``finally`` blocks and context managers run. Code that catches it and goes on is interrupted
    again a second later.
    """


class Error(Exception):
    """Something was raised on the other side.

    ``kind`` is ``"error"``, ``"exit"`` or ``"throw"``, ``reason`` says what, and ``stacktrace`` is
    text. ``str`` of the exception is the reason.
    """

    def __init__(self, kind, reason, stacktrace=""):
        super().__init__(kind, reason, stacktrace)
        self.kind = kind
        self.reason = reason
        self.stacktrace = stacktrace

    def __str__(self):
        return str(self.reason)
