"""What a program may ask of the standard streams. ``seen`` is printed by plain Python and by the tests."""

import contextlib
import gc
import io
import os
import sys


def has(stream):
    """The names that a stream of this kind has in plain Python."""
    with open(os.devnull, "rb" if stream.readable() else "wb", buffering=0) as raw:
        plain = io.BufferedReader(raw) if stream.readable() else io.BufferedWriter(raw)
        text = io.TextIOWrapper(plain)
        wanted = [(text, stream), (plain, stream.buffer), (raw, stream.buffer.raw)]
        return [[name for name in dir(one) if name not in dir(other)] for one, other in wanted]


def about(stream):
    return [
        stream.name,
        stream.mode,
        stream.encoding,
        stream.newlines,
        stream.closed,
        stream.write_through,
        stream.readable(),
        stream.writable(),
        stream.seekable(),
        isinstance(stream, io.TextIOWrapper),
        isinstance(stream.buffer, io.BufferedReader if stream.readable() else io.BufferedWriter),
        isinstance(stream.buffer.raw, io.RawIOBase),
        stream.buffer.name,
        stream.buffer.mode,
        stream.buffer.closed,
        stream.buffer.raw.mode,
        stream.buffer.raw.closefd,
        repr(stream),
    ]


def refusal(function, *args):
    try:
        function(*args)
    except Exception as error:
        return type(error).__name__


def refusals():
    out = sys.stdout
    return [
        refusal(out.read),
        refusal(out.tell),
        refusal(out.seek, 0),
        refusal(out.write, b"bytes"),
        refusal(out.buffer.write, "text"),
        refusal(out.buffer.write, 5),
        refusal(out.buffer.read),
        refusal(out.reconfigure, "utf-8"),
        refusal(lambda: out.reconfigure(encoding="no such")),
        refusal(lambda: out.reconfigure(newline="x")),
        refusal(sys.stdin.write, "x"),
        refusal(sys.stdin.buffer.write, b"x"),
    ]


def wrapped():
    """Streams are wrapped, dropped, closed and detached, and what is printed after it is there."""
    out = sys.stdout
    for _ in range(3):
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", line_buffering=True)
    print("wrapped ä")
    sys.stdout.flush()
    sys.stdout = out
    gc.collect()
    print("dropped")
    io.TextIOWrapper(out.buffer).close()
    print("closed")
    io.TextIOWrapper(io.BufferedWriter(out.buffer.raw)).close()
    print("raw closed")
    io.TextIOWrapper(out.buffer).detach()
    with out, out.buffer, out.buffer.raw:
        print("entered")
    print("left")
    out.close(), out.buffer.close(), out.buffer.raw.close()
    assert not (out.closed or out.buffer.closed or out.buffer.raw.closed)
    sys.stdout = io.TextIOWrapper(out.detach(), encoding="utf-8", write_through=True)
    print("detached")
    sys.stdout = out
    print("attached")
    out.buffer.detach().write(b"raw\n")
    with contextlib.closing(io.TextIOWrapper(out.buffer)) as other:
        other.write("closing\n")
    import codecs

    codecs.getwriter("utf-8")(out.buffer).write("codecs ß\n")
    io.BufferedWriter(out.buffer.raw).write(b"buffered\n")
    gc.collect()
    print("end")


def configured():
    out = sys.stdout
    before = out.line_buffering, out.write_through, out.encoding, out.errors
    seen = []
    for options in [
        {"line_buffering": False},
        {"line_buffering": True, "write_through": True},
        {"encoding": "ascii", "errors": "replace"},
        {"encoding": "latin-1", "errors": "strict"},
        {"newline": "\r\n"},
    ]:
        out.reconfigure(**options)
        seen.append([out.line_buffering, out.write_through, out.encoding, out.errors])
        try:
            print("größe ☃")
        except UnicodeEncodeError as error:
            print("error", error.reason)
    out.reconfigure(
        line_buffering=before[0],
        write_through=before[1],
        encoding=before[2],
        errors=before[3],
        newline="\n",
    )
    print("as before ☃")
    return seen


def read():
    stream = sys.stdin.buffer
    peeked = stream.peek(3)[:1]
    target = bytearray(3)
    return [
        peeked,
        stream.read(2),
        stream.readinto(target),
        bytes(target),
        stream.readline(),
        stream.readline(3),
        stream.readline(),
        stream.read1(2)[:1],
        stream.readline()[-1:],
        next(stream),
        stream.readlines(1),
        stream.raw.read(0),
        next(iter(sys.stdin)),
        sys.stdin.readline(2),
        sys.stdin.read(1),
        sys.stdin.readlines(),
        sys.stdin.read(),
        stream.read(),
        stream.readline(),
    ]


def read_by_turns():
    stream = sys.stdin.buffer
    return [
        sys.stdin.readline(),
        stream.readline(),
        sys.stdin.read(1),
        stream.read(2),
        sys.stdin.readline(),
        stream.peek()[:1],
        sys.stdin.read(1),
        stream.peek()[:1],
        sys.stdin.read(),
    ]
