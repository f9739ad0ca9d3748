#!/usr/bin/env python3
"""Speaks the format between the VM and a Python process, without any native code: for tests of the VM's side.

It runs the operations of the engine, plainly. Some calls of the module `fake` let it send what is broken.
"""

import array
import importlib
import mmap
import os
import socket
import struct
import sys
import threading
import time

VERSION = 1

START, RUN, CANCEL, MESSAGE, CALLBACK_ANSWER, CALLBACK_DOWN, RELEASE = 1, 2, 3, 4, 5, 6, 7
REGISTER, UNREGISTER, DEMAND, FLUSH, CLOSE, REPLY, STOP, SERVE = 8, 9, 10, 11, 12, 13, 14, 15
MEMORY, FORGET, TRAY, TAKEN, TRIM, SEGMENT = 16, 17, 18, 19, 20, 21
AHEAD = 23
HELLO, READY, ANSWER, LOCATION, TOLD, SEND, DONE, RELEASE_KEPT = 1, 2, 3, 4, 5, 6, 7, 8
QUESTION, OVER, FAILED, FREE = 9, 10, 12, 13
COMPILED = 15


class Atom(str):
    pass


class Raw:
    """Bytes of a term."""

    def __init__(self, data):
        self.data = data

    def __eq__(self, other):
        return isinstance(other, Raw) and self.data == other.data

    def __hash__(self):
        return hash(self.data)


class Object:
    def __init__(self, kind, number, extra=0):
        self.kind, self.number, self.extra = kind, number, extra


OK, ERROR, NIL = Atom("ok"), Atom("error"), Atom("nil")


class Reader:
    def __init__(self, data, worker=None):
        self.data, self.at, self.worker = data, 0, worker

    def take(self, count):
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def term(self):
        begin = self.at
        tag = self.number("B")
        if tag == 97:
            return self.number("B")
        if tag == 98:
            return self.number(">i")
        if tag == 200:
            return self.number("<q")
        if tag == 70:
            return self.number(">d")
        if tag in (118, 119):
            name = self.take(self.number(">H" if tag == 118 else "B")).decode()
            return {"nil": None, "true": True, "false": False}.get(name, Atom(name))
        if tag == 106:
            return []
        if tag == 108:
            items = [self.term() for _ in range(self.number(">I"))]
            self.term()
            return items
        if tag in (104, 105):
            return tuple(self.term() for _ in range(self.number("B" if tag == 104 else ">I")))
        if tag == 116:
            pairs = [(self.term(), self.term()) for _ in range(self.number(">I"))]
            return Map(pairs)
        if tag == 109:
            data = self.take(self.number(">I"))
            try:
                return data.decode()
            except UnicodeDecodeError:
                return data
        if tag == 204:
            number, at, size = (self.number("<Q") for _ in range(3))
            return self.worker.memory[number][at : at + size]
        if tag in (110, 111):
            size = self.number("B" if tag == 110 else ">I")
            sign = self.number("B")
            value = int.from_bytes(self.take(size), "little")
            return -value if sign else value
        if tag == 88:
            self.term()
            self.take(12)
            return Raw(self.data[begin : self.at])
        if tag == 202:
            return Object(self.number("B"), self.number("<Q"), self.number("<Q"))
        if tag == 203:
            kind, number = self.number("B"), self.number("<Q")
            self.take(self.number("<I"))
            return Raw(struct.pack("<BBQI", 203, kind, number, 0))
        if tag == 90:
            words = self.number(">H")
            self.term()
            self.take(4 + 4 * words)
            return Raw(self.data[begin : self.at])
        raise ValueError("tag %d" % tag)


class Map(list):
    """A map, whose keys may be anything: pairs."""

    def get(self, key):
        return next((value for name, value in self if name == key), None)


def term(value):
    if isinstance(value, Raw):
        return value.data
    if isinstance(value, Object):
        return struct.pack("<BBQQ", 202, value.kind, value.number, value.extra)
    if value is None or value is True or value is False:
        value = Atom({None: "nil", True: "true", False: "false"}[value])
    if isinstance(value, Atom):
        name = value.encode()
        return struct.pack("BB", 119, len(name)) + name
    if isinstance(value, int):
        if -(1 << 63) <= value < 1 << 63:
            return struct.pack("<Bq", 200, value)
        data = abs(value).to_bytes((value.bit_length() + 7) // 8, "little")
        return struct.pack(">BIB", 111, len(data), value < 0) + data
    if isinstance(value, float):
        return struct.pack(">Bd", 70, value)
    if isinstance(value, (str, bytes)):
        data = value.encode() if isinstance(value, str) else value
        return struct.pack(">BI", 109, len(data)) + data
    if isinstance(value, tuple):
        return struct.pack(">BI", 105, len(value)) + b"".join(map(term, value))
    if isinstance(value, Map):
        parts = [part for pair in value for part in pair]
        return struct.pack(">BI", 116, len(value)) + b"".join(map(term, parts))
    if isinstance(value, dict):
        return term(Map(value.items()))
    if isinstance(value, (list, range)):
        items = b"".join(map(term, value))
        return (struct.pack(">BI", 108, len(value)) + items if items else b"") + b"\x6a"
    return term(handle(value))


class Cancelled(BaseException):
    pass


class Worker:
    def __init__(self, connection):
        self.connection = connection
        self.lock = threading.Lock()
        self.requests = []
        self.arrived = threading.Condition()
        self.current = None
        self.cancelled = set()
        self.answers = {}
        self.objects = {}
        self.numbers = 0
        self.settings = None
        self.compiled = b""
        self.server = None
        self.messages = []
        self.descriptors = []
        self.memory = {}
        self.tray = None
        self.heard = []
        self.names = {"__name__": "__main__", "worker": self}

    def send(self, kind, *parts):
        frame = bytes([kind]) + b"".join(parts)
        with self.lock:
            self.connection.sendall(struct.pack("<I", len(frame)) + frame)

    def send_raw(self, data):
        with self.lock:
            self.connection.sendall(data)

    def number(self):
        self.numbers += 1
        return self.numbers

    # What comes

    def listen(self):
        while True:
            size = self.read(4)
            frame = Reader(self.read(struct.unpack("<I", size)[0]), self)
            self.handle(frame.number("B"), frame)

    def read(self, count):
        data = b""
        while len(data) < count:
            more, control, _, _ = self.connection.recvmsg(min(count - len(data), 1 << 20), 1000)
            for _, _, content in control:
                self.descriptors.extend(array.array("i", content))
            if not more:
                os.killpg(0, 9)
            data += more
        return data

    def handle(self, kind, frame):
        self.heard.append(kind)
        if kind == START:
            self.compiled = frame.take(frame.number("<I"))
            self.settings = frame.term()
            self.server = self.settings.get(Atom("server"))
            self.post(None)
        elif kind == RUN:
            number, flags = frame.number("<Q"), frame.number("<I")
            timeout, callback = frame.number("<Q"), frame.number("<Q")
            caller, leader, operation = frame.term(), frame.term(), frame.term()
            self.post(("run_request", number, (flags, timeout, caller, leader), operation), callback)
        elif kind in (DEMAND, CLOSE):
            number, stream, callback = (frame.number("<Q") for _ in range(3))
            self.post(("demand" if kind == DEMAND else "close", number, stream), callback)
        elif kind == CANCEL:
            number = frame.number("<Q")
            with self.arrived:
                self.cancelled.add(number)
                self.arrived.notify_all()
        elif kind in (MESSAGE, AHEAD):
            frame.number("<Q")
            with self.arrived:
                self.messages.append(frame.term())
                self.arrived.notify_all()
        elif kind == CALLBACK_ANSWER:
            number, answer = frame.number("<Q"), frame.term()
            with self.arrived:
                self.answers[number] = answer
                self.arrived.notify_all()
        elif kind == CALLBACK_DOWN:
            with self.arrived:
                self.answers.setdefault(frame.number("<Q"), (ERROR, "down"))
                self.arrived.notify_all()
        elif kind == RELEASE:
            for _ in range(frame.number("<I")):
                self.objects.pop(frame.number("<Q"), None)
        elif kind == MEMORY:
            number, size = frame.number("<Q"), frame.number("<Q")
            self.memory[number] = mmap.mmap(
                self.descriptors.pop(0), size, prot=mmap.PROT_READ
            )
        elif kind == SEGMENT:
            # It answers by the socket.
            os.close(self.descriptors.pop(0))
        elif kind == TRAY:
            self.tray = self.descriptors.pop(0)
        elif kind == SERVE:
            self.server = frame.term()
        elif kind == STOP:
            self.post("stop")

    def post(self, request, callback=0):
        with self.arrived:
            self.requests.append((request, callback))
            self.arrived.notify_all()

    # What is done, on the main thread

    def next(self, done=lambda: False, callback=None):
        with self.arrived:
            while True:
                if done():
                    return None
                for at, (request, nested) in enumerate(self.requests):
                    if callback is None or nested == callback:
                        del self.requests[at]
                        return (request,)
                self.arrived.wait(0.02)

    def run(self):
        while True:
            (request,) = self.next()
            if request == "stop":
                sys.exit(0)
            self.serve(request)

    def serve(self, request):
        kind, number = request[:2]
        outer, self.current = self.current, number
        head = struct.pack("<Q", number)
        try:
            answer = getattr(self, kind)(*request[1:])
        except Cancelled:
            where = (Atom("location"), ("fake.py", 1, "fake", Atom("nil")))
            self.send(LOCATION, head, term(where))
            self.send(DONE, head)
        except Exception as error:
            # As `erlang._errors._data` makes it: class, module, whether it is built in, text, …
            data = (type(error).__name__, "builtins", True, str(error), [], [], None, None, None)
            chain = [(data, None)]
            answer = (ERROR, (Atom("exception"), chain))
            self.send(ANSWER, head, b"\x01", term(answer))
        else:
            if answer is not None:
                self.send(ANSWER, head, b"\x00", term(answer))
        finally:
            self.current = outer

    def wait(self, done):
        """Until it is so, or the request is given up."""
        with self.arrived:
            while not done():
                if self.current in self.cancelled:
                    raise Cancelled
                self.arrived.wait(0.02)

    def run_operation(self, operation):
        tag, operands = operation[0], operation[1:]
        if tag == "call":
            target, name, args, kwargs = operands
            return self.call(target, name, args, kwargs)
        if tag == "eval":
            names = dict(operands[1]) if operands[1] else {}
            return eval(operands[0], self.names, names)
        if tag == "exec":
            return exec(operands[0], self.names)
        if tag == "map":
            target, name, many, kwargs = operands
            return [self.call(target, name, args, kwargs) for args in many]
        if tag == "convert":
            return operands[0]
        raise ValueError(tag)

    def call(self, target, name, args, kwargs):
        if target == "fake":
            return getattr(self, "fake_" + name)(*args)
        if isinstance(target, Object):
            target = self.objects[target.number]
        else:
            target = importlib.import_module(target)
        for part in (name or "").split(".") if name else []:
            target = getattr(target, part)
        if target is time.sleep:
            end = time.monotonic() + args[0]
            return self.wait(lambda: time.monotonic() >= end)
        args = [self.own(arg) for arg in args]
        return target(*args, **dict(kwargs or []))

    def own(self, value):
        ref = value.get(Atom("ref")) if isinstance(value, Map) else None
        return self.objects[ref.number] if ref else value

    def run_request(self, number, about, operation):
        self.about = about
        if operation[0] == "stream":
            size, source = operation[1], operation[4]
            stream = self.number()
            self.objects[stream] = (iter(self.run_operation(source)), size)
            return (OK, Object(3, stream))
        value = self.run_operation(operation)
        if operation[0] == "exec":
            return OK
        if about[0] & 1:
            value = handle(value)
        return (OK, value)

    def demand(self, number, stream):
        items, size = self.objects[stream]
        chunk = []
        for item in items:
            chunk.append(item)
            if len(chunk) == size:
                return (OK, (Atom("more"), chunk))
        return (OK, (Atom("done"), chunk))

    def close(self, number, stream):
        self.objects.pop(stream, None)
        return (OK, Atom("closed"))

    # What tests ask for

    def fake_exit(self, status):
        os._exit(status)

    def fake_kill(self, signal):
        os.kill(os.getpid(), signal)
        time.sleep(60)

    def fake_hang(self):
        while True:
            time.sleep(1)

    def fake_sleep(self, seconds):
        self.call("time", "sleep", [seconds], None)

    def fake_where(self):
        time.sleep(0.05)

    def fake_name(self, name):
        time.sleep(0.01)
        return self.names[name]

    def fake_objects(self):
        return len(self.objects)

    def fake_settings(self, key):
        return self.settings.get(Atom(key))

    def fake_compiled(self):
        """What the VM has had from those before this one, and what this one has said."""
        return (self.compiled, b"by %d" % os.getpid())

    def fake_flags(self):
        return list(self.about[:2])

    def fake_raw(self, data):
        """Sends bytes as they are."""
        self.send_raw(bytes.fromhex(data))
        time.sleep(60)

    def fake_frame(self, kind, data):
        self.send(kind, bytes.fromhex(data))
        self.wait(lambda: False)

    def fake_beside(self, memory, at, size, length):
        """Answers with a binary that is said to be in the tray, which is so long."""
        os.ftruncate(self.tray, length)
        os.pwrite(self.tray, b"abc", 0)
        return Raw(struct.pack("<BQQQ", 204, memory, at, size))

    def fake_map(self, count, name, twice):
        """A large map, with an atom of this name, and a key of which there are two."""
        pairs = [(str(n), n) for n in range(count)] + [("atom", Atom(name))]
        return Map(pairs + pairs[:twice])

    def fake_shrink(self):
        """Makes all that the VM may see smaller, or writes to it, and says what it could."""
        could = []
        for name in os.listdir("/proc/self/fd"):
            descriptor = int(name)
            try:
                path = os.readlink("/proc/self/fd/" + name)
            except OSError:
                continue
            if "memfd:erlang_python" in path and descriptor != self.tray:
                try:
                    os.ftruncate(descriptor, 0)
                    could.append("shrink")
                except OSError:
                    pass
        return could

    def fake_late_part(self):
        """Items of which a part comes when it has been given up."""
        try:
            self.wait(lambda: False)
        except Cancelled:
            part = (OK, (Atom("more"), [1]))
            self.send(ANSWER, struct.pack("<QB", self.current, 2), term(part))
            raise
        yield 2

    def fake_fatal(self):
        os.write(2, b"Fatal Python error: out of luck\n\nCurrent thread: none\n")
        os.abort()

    def fake_child(self):
        import subprocess

        return subprocess.Popen(["sleep", "1000"]).pid

    def fake_object(self):
        time.sleep(0.02)
        return {"pid": os.getpid()}

    def fake_write(self, descriptor, text):
        os.write(descriptor, text.encode())

    def fake_receive(self):
        self.wait(lambda: self.messages)
        return self.messages.pop(0)

    def fake_callback(self, function, args):
        number = self.number()
        message = (
            Atom("callback"),
            Object(2, number, self.current),
            function,
            args,
            Map(),
            (self.about[2], self.about[3]),
        )
        self.send(SEND, term(self.server), term(message))
        while True:
            request = self.next(
                lambda: number in self.answers or self.current in self.cancelled, number
            )
            if request is None:
                break
            self.serve(request[0])
        self.send(OVER, struct.pack("<Q", number))
        if number not in self.answers:
            raise Cancelled
        answer = self.answers.pop(number)
        if answer[0] == OK:
            return answer[1]
        raise RuntimeError(str(answer[1]))


def handle(value):
    number = worker.number()
    worker.objects[number] = value
    names = Map()
    names.append((Atom("__struct__"), Atom("Elixir.Python.Object")))
    names.append((Atom("home"), worker.settings.get(Atom("home"))))
    names.append((Atom("ref"), Object(1, number)))
    return names


def main():
    global worker
    connection = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    worker = Worker(connection)
    mode = os.environ.get("FAKE_WORKER", "")
    if mode == "exit":
        print("cannot start", file=sys.stderr)
        sys.exit(3)
    if mode == "hang":
        time.sleep(3600)
    version = VERSION + 1 if mode == "version" else VERSION
    about = Map([(Atom("version"), "%d.%d.%d" % sys.version_info[:3])])
    worker.send(HELLO, struct.pack("<IQ", version, os.getpid()), term(about))
    if sys.argv[3:]:
        # Workers would be forked from it.
        worker.send(FAILED, term("it cannot fork"))
        sys.exit(0)
    if mode == "failed":
        worker.send(FAILED, term("it has no mood"))
    threading.Thread(target=worker.listen, daemon=True).start()
    if worker.next() != (None,):
        # It is to end before it has begun.
        sys.exit(0)
    if mode == "compiled":
        worker.send(COMPILED, b"by %d" % os.getpid() + bytes(int(os.environ.get("FAKE_COMPILED", 0))))
    worker.send(READY)
    worker.run()


if __name__ == "__main__":
    main()
