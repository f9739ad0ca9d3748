"""``sys.stdout``, ``sys.stderr`` and ``sys.stdin`` for code whose caller is a process.

They are what Python has by these names, a text stream over a buffer over a raw stream, whose text and bytes go
another way. They are everybody's: nothing closes them and nothing detaches them, for instance a wrapper that is
made around a buffer and dropped.
"""

import codecs
import io
import os
import sys
import threading

import erlang
from erlang import _imports

#: The streams that Python started with, which nothing is to close either.
_kept = []


def _caller():
    """The process that made the call, or ``None`` in a thread that Python started."""
    try:
        return erlang.self()
    except RuntimeError:
        return None


class _Everybodys:
    """A layer of a stream that nothing closes."""

    def close(self):
        if self.writable():
            self.flush()

    def isatty(self):
        return erlang._terminal(self._device) is not None


class _Raw(io.RawIOBase):
    """The lowest layer. Whoever asks for it gets one of his own, which he may close."""

    closefd = False
    _blksize = io.DEFAULT_BUFFER_SIZE
    _finalizing = False

    def __init__(self, name, descriptor, device, mode):
        self.name = name
        self.mode = mode
        self._descriptor = descriptor
        self._device = device

    def __repr__(self):
        return "<_io.FileIO name=%r mode=%r closefd=False>" % (self.name, self.mode)

    def isatty(self):
        return erlang._terminal(self._device) is not None

    def _dealloc_warn(self, source):
        """There is nothing to warn of."""


## Output


class Output(_Everybodys, io.TextIOWrapper):
    """Text goes to the group leader of the caller, or to the standard error of the VM."""

    mode = "w"

    def __init__(self, name, descriptor, device, write, flush):
        self._device = device
        self._descriptor = descriptor
        self._send = write
        self._flush = flush
        self._newline = "\n"
        buffer = _BufferedOutput(name, descriptor, device, write, flush)
        super().__init__(buffer, "utf-8", "backslashreplace", newline="\n", line_buffering=True)

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not %s" % type(text).__name__)
        # Lone surrogates cannot be sent; as stderr does, they are shown.
        errors = self.errors
        encoding = self.encoding
        sent = text if self._newline == "\n" else text.replace("\n", self._newline)
        self._send(sent.encode(encoding, errors).decode(encoding, "backslashreplace"))
        return len(text)

    def flush(self):
        if self._flush is not None:
            self._flush()

    def fileno(self):
        return self._descriptor

    def __repr__(self):
        return _shown(self)

    def detach(self):
        self.flush()
        return self.buffer

    def reconfigure(self, **options):
        super().reconfigure(**options)
        if "newline" in options:
            newline = options["newline"]
            self._newline = os.linesep if newline is None else newline or "\n"


class _BufferedOutput(_Everybodys, io.BufferedWriter):
    """UTF-8 that is there as bytes. It is written at once, since threads and callers must not mix."""

    def __init__(self, *stream):
        self._stream = stream
        self._device = stream[2]
        # Threads print each for themselves, and may have written half a character.
        self._decoders = threading.local()
        self._raw = self.raw
        super().__init__(self._raw)

    @property
    def raw(self):
        return _RawOutput(*self._stream, self._decoders)

    def write(self, data):
        return self._raw.write(data)

    def flush(self):
        self._raw.flush()

    def detach(self):
        return self.raw

    def __repr__(self):
        return "<_io.BufferedWriter name=%r>" % self.name


class _RawOutput(_Raw):
    def __init__(self, name, descriptor, device, write, flush, decoders):
        super().__init__(name, descriptor, device, "wb")
        self._send = write
        self._flush = flush
        self._decoders = decoders

    def writable(self):
        return True

    def fileno(self):
        return self._descriptor

    def write(self, data):
        if self.closed:
            raise ValueError("write to closed file")
        data = memoryview(data).tobytes()
        caller = _caller()
        decoder = getattr(self._decoders, "decoder", None)
        if decoder is None or self._decoders.caller != caller:
            decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
            self._decoders.decoder = decoder
            self._decoders.caller = caller
        self._send(decoder.decode(data))
        return len(data)

    def flush(self):
        if self._flush is not None:
            self._flush()


## Input


class Input(_Everybodys, io.TextIOWrapper):
    """Lines come from the group leader of the caller."""

    mode = "r"

    def __init__(self, name, descriptor, device):
        self._device = device
        super().__init__(_BufferedInput(name, descriptor, device), "utf-8")

    def __repr__(self):
        return _shown(self)

    def fileno(self):
        # `input` would read from a terminal behind the back of the VM.
        raise io.UnsupportedOperation("fileno")

    def flush(self):
        """There is nothing to write."""

    def detach(self):
        return self.buffer

    def readline(self, size=-1):
        left = self.buffer._left()
        if left:
            if size is None or size < 0:
                return self.buffer.readline().decode("utf-8", "backslashreplace")
        elif size is None or size < 0:
            return erlang._read_line()
        line = ""
        while len(line) < size and not line.endswith("\n"):
            character = self.read(1)
            if not character:
                break
            line += character
        return line

    def read(self, size=-1):
        left = self.buffer._take()
        if size is None or size < 0:
            rest = "".join(iter(erlang._read_line, ""))
            return left.decode("utf-8", "backslashreplace") + rest if left else rest
        if left:
            text = left.decode("utf-8", "backslashreplace")
            if len(text) > size:
                self.buffer._keep(text[size:].encode("utf-8"))
                return text[:size]
            return text + (erlang._read(size - len(text)) if size > len(text) else "")
        return erlang._read(size) if size else ""


class _BufferedInput(_Everybodys, io.BufferedReader):
    """The same as UTF-8. What was read of a character, or looked at, is the caller's."""

    def __init__(self, *stream):
        self._stream = stream
        self._device = stream[2]
        self._kept = threading.local()
        super().__init__(self.raw)

    @property
    def raw(self):
        return _RawInput(*self._stream, self)

    def __repr__(self):
        return "<_io.BufferedReader name=%r>" % self.name

    def fileno(self):
        raise io.UnsupportedOperation("fileno")

    def flush(self):
        """There is nothing to write."""

    def detach(self):
        return self.raw

    def _left(self):
        data = getattr(self._kept, "data", b"")
        return data if data and self._kept.caller == _caller() else b""

    def _take(self):
        data = self._left()
        if data:
            self._kept.data = b""
        return data

    def _keep(self, data):
        if data:
            self._kept.caller = _caller()
        self._kept.data = data

    def read(self, size=-1):
        data = self._take()
        if size is None or size < 0:
            return b"".join([data, *iter(_line, b"")])
        while len(data) < size:
            # A character has up to four bytes.
            more = _encoded(erlang._read(max((size - len(data)) // 4, 1)))
            if not more:
                break
            data += more
        self._keep(data[size:])
        return data[:size]

    def read1(self, size=-1):
        return self.readline(io.DEFAULT_BUFFER_SIZE if size is None or size < 0 else size)

    def readline(self, size=-1):
        data = self._take()
        if b"\n" not in data and (size is None or size < 0):
            data += _line()
        while size is not None and b"\n" not in data and 0 <= len(data) < size:
            more = _encoded(erlang._read(1))
            if not more:
                break
            data += more
        end = data.find(b"\n") + 1 or len(data)
        if size is not None and size >= 0:
            end = min(end, size)
        self._keep(data[end:])
        return data[:end]

    def readlines(self, hint=-1):
        return io.RawIOBase.readlines(self.raw, -1 if hint is None else hint)

    def readinto(self, buffer):
        return _fill(buffer, self.read)

    def readinto1(self, buffer):
        return _fill(buffer, self.read1)

    def peek(self, size=0):
        data = self._take() or _line()
        self._keep(data)
        return data

    def __iter__(self):
        return self

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line


class _RawInput(_Raw):
    def __init__(self, name, descriptor, device, buffer):
        super().__init__(name, descriptor, device, "rb")
        self._buffer = buffer

    def readable(self):
        return True

    def fileno(self):
        raise io.UnsupportedOperation("fileno")

    def readinto(self, buffer):
        return self._buffer.readinto1(buffer)

    def readline(self, size=-1):
        return self._buffer.readline(size)


def _shown(text):
    return "<_io.TextIOWrapper name=%r mode=%r encoding=%r>" % (text.name, text.mode, text.encoding)


def _encoded(text):
    return text.encode("utf-8", "surrogatepass")


def _line():
    return _encoded(erlang._read_line())


def _fill(buffer, read):
    view = memoryview(buffer).cast("B")
    data = read(len(view))
    view[: len(data)] = data
    return len(data)


## Terminals


def _follow_terminals():
    """The size of a terminal is asked for by descriptor. Those of the VM's own streams stand for the group
    leader, which may be a terminal far away, or none."""
    size = os.get_terminal_size

    def get_terminal_size(fd=1, /):
        stream = {0: sys.__stdin__, 1: sys.__stdout__, 2: sys.__stderr__}.get(fd)
        if stream is None or not isinstance(stream, _Everybodys):
            return size(fd)
        found = erlang._terminal(stream._device)
        if found is None:
            return _no_terminal()
        return os.terminal_size(found)

    get_terminal_size.__doc__ = size.__doc__
    get_terminal_size.__module__ = "os"
    os.get_terminal_size = get_terminal_size


def _no_terminal():
    import errno

    raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))


def _answer_ioctl(fcntl):
    """As above, for those who ask the system itself (tqdm)."""
    import struct
    import termios

    original = fcntl.ioctl

    def ioctl(fd, request, arg=0, mutate_flag=True, /):
        if request == termios.TIOCGWINSZ and isinstance(arg, (bytes, str)) and len(arg) == 8:
            descriptor = fd if isinstance(fd, int) else fd.fileno()
            if descriptor in (0, 1, 2):
                columns, rows = os.get_terminal_size(descriptor)
                return struct.pack("HHHH", rows, columns, 0, 0)
        return original(fd, request, arg, mutate_flag)

    ioctl.__doc__ = original.__doc__
    fcntl.ioctl = ioctl


def install():
    _kept.extend([sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__])
    sys.stdout = Output("<stdout>", 1, "stdout", erlang._write, erlang._flush)
    sys.stderr = Output("<stderr>", 2, "stderr", erlang._write_error, None)
    sys.stdin = Input("<stdin>", 0, "stdout")
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    if hasattr(os, "get_terminal_size"):
        _follow_terminals()
    if os.name == "posix":
        _imports.when_imported("fcntl", _answer_ioctl)
