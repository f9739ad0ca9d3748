"""``sys.stdout``, ``sys.stderr`` and ``sys.stdin`` for code whose caller is a process."""

import codecs
import io
import sys
import threading

import erlang


class _Stream(io.TextIOBase):
    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None

    def __init__(self, name, descriptor):
        self.name = name
        self._descriptor = descriptor

    def isatty(self):
        return False

    def close(self):
        """Nothing: it is everybody's, and ``exit()`` closes ``sys.stdin``."""


class Output(_Stream):
    """Text goes to the group leader of the caller, or to the standard error of the VM."""

    mode = "w"

    def __init__(self, name, descriptor, write, flush):
        super().__init__(name, descriptor)
        self._write = write
        self._flush = flush
        self.buffer = _Bytes(self)

    def writable(self):
        return True

    def fileno(self):
        return self._descriptor

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not %s" % type(text).__name__)
        # Lone surrogates cannot be sent; as stderr does, they are shown.
        self._write(text.encode("utf-8", self.errors).decode("utf-8"))
        return len(text)

    def flush(self):
        if self._flush is not None:
            self._flush()

    def reconfigure(self, **_options):
        """There is nothing to choose: UTF-8, and written when it is time."""


class _Bytes(io.RawIOBase):
    """What ``sys.stdout.buffer`` is used for: UTF-8 that is there as bytes."""

    def __init__(self, text):
        self._text = text
        # Threads print each for themselves, and may have written half a character.
        self._decoders = threading.local()

    def writable(self):
        return True

    def write(self, data):
        data = bytes(data)
        decoder = getattr(self._decoders, "decoder", None)
        if decoder is None:
            decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
            self._decoders.decoder = decoder
        self._text.write(decoder.decode(data))
        return len(data)

    def flush(self):
        self._text.flush()


class Input(_Stream):
    """Lines come from the group leader of the caller."""

    mode = "r"

    def readable(self):
        return True

    def fileno(self):
        # `input` would read from a terminal behind the back of the VM.
        raise io.UnsupportedOperation("fileno")

    def readline(self, size=-1):
        if size is None or size < 0:
            return erlang._read_line()
        line = ""
        while len(line) < size and not line.endswith("\n"):
            character = self.read(1)
            if not character:
                break
            line += character
        return line

    def read(self, size=-1):
        if size is None or size < 0:
            return "".join(iter(erlang._read_line, ""))
        return erlang._read(size) if size else ""


def install():
    sys.stdout = Output("<stdout>", 1, erlang._write, erlang._flush)
    sys.stderr = Output("<stderr>", 2, erlang._write_error, None)
    sys.stdin = Input("<stdin>", 0)
