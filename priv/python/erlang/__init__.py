"""What Python code that runs inside the BEAM can ask of it."""


class Interrupt(BaseException):
    """Raised in code whose caller no longer waits: it timed out, was cancelled, or died.

    Like ``KeyboardInterrupt`` it is not an ``Exception``, so ``except Exception`` lets it pass.
    ``finally`` blocks and context managers run. Code that catches it and goes on is interrupted
    again a second later.
    """
