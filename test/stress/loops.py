"""What the callers of test/stress/loops.exs call, on event loops: a client of HTTP, and coroutines that do their worst."""

import asyncio
import contextlib
import contextvars
import gc
import time

import erlang


class Client:
    """Connections that are kept, so many at a time."""

    def __init__(self, port, limit):
        self.port = port
        self.idle = []
        self.open = 0
        self.slots = asyncio.Semaphore(limit)

    @contextlib.asynccontextmanager
    async def request(self, path):
        async with self.slots:
            reader, writer = self.idle.pop() if self.idle else await self.connect()
            whole = False
            try:
                writer.write(b"GET /%s HTTP/1.1\r\n\r\n" % path.encode())
                await writer.drain()
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200"), head
                yield reader, head
                whole = True
            finally:
                if whole:
                    self.idle.append((reader, writer))
                else:
                    self.open -= 1
                    writer.close()

    async def connect(self):
        connection = await asyncio.open_connection("127.0.0.1", self.port)
        self.open += 1
        return connection

    async def get(self, path):
        async with self.request(path) as (reader, head):
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            return await reader.readexactly(length)

    async def lines(self, number, count):
        async with self.request("lines/%d/%d" % (number, count)) as (reader, _):
            while True:
                size = int(await reader.readline(), 16)
                data = await reader.readexactly(size + 2)
                if size == 0:
                    return
                yield data[:-3].decode()

    async def close(self):
        while self.idle:
            _, writer = self.idle.pop()
            self.open -= 1
            writer.close()

    def busy(self):
        return self.open - len(self.idle)


async def client(port, limit):
    return Client(port, limit)


class Clients:
    """One for each loop that uses it, as connections belong to their loop."""

    def __init__(self, port, limit):
        self.made = lambda: Client(port, limit)
        self.of = {}

    def here(self):
        loop = asyncio.get_running_loop()
        if loop not in self.of:
            self.of[loop] = self.made()
        return self.of[loop]

    def get(self, path):
        return self.here().get(path)

    def lines(self, number, count):
        return self.here().lines(number, count)

    def busy(self):
        return sum(client.busy() for client in self.of.values())

    async def close(self):
        for loop, client in self.of.items():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(client.close(), loop))


async def clients(port, limit):
    return Clients(port, limit)


async def future(number):
    """A task for another call to await."""
    return [asyncio.ensure_future(asyncio.sleep(0.001, number))]


variable = contextvars.ContextVar("variable", default=None)

#: How often a coroutine's `finally` has begun, and how often it has come to its end.
ends = {"begun": 0, "ended": 0}


@contextlib.asynccontextmanager
async def _followed(number):
    assert variable.get() is None, variable.get()
    variable.set(number)
    owner = erlang.self()
    ends["begun"] += 1
    try:
        yield
        assert variable.get() == number and erlang.self() == owner
    finally:
        await asyncio.sleep(0)
        ends["ended"] += 1


async def echo(client, number, pause):
    async with _followed(number):
        return int(await client.get("echo/%d/%d" % (number, pause)))


async def fail(client, number):
    async with _followed(number):
        await client.get("echo/%d/0" % number)
        raise ValueError(str(number))


async def several(client, numbers):
    """In tasks of their own."""
    return await asyncio.gather(*[_one(client, number) for number in numbers])


async def _one(client, number):
    return int(await client.get("echo/%d/1" % number))


async def back(client, number, function):
    async with _followed(number):
        asked, got = await asyncio.gather(function(number), _one(client, number))
        return asked + got


async def converse(number):
    async with _followed(number):
        total = 0
        while True:
            message = await erlang.areceive()
            if message is None:
                return number + total
            total += message


async def swallow(client, number):
    """Goes on when it is cancelled, once."""
    async with _followed(number):
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await client.get("echo/%d/1" % number)
        await asyncio.sleep(1000)


async def background(client, number, pid):
    """Answers before its task has."""

    async def later():
        await client.get("echo/%d/1" % number)
        erlang.send(pid, ("later", number, erlang.self()))

    task = asyncio.ensure_future(later())
    _kept.add(task)
    task.add_done_callback(_kept.discard)
    return number


_kept = set()


async def spin(number):
    async with _followed(number):
        while True:
            pass


def spin_plain():
    while True:
        pass


async def block(number):
    async with _followed(number):
        time.sleep(0.005)
        return number


async def in_thread(number, function):
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, function, number)


async def half_read(client, number):
    """Leaves a request half read; the loop closes the generator."""
    async for line in client.lines(number, 1000):
        return line


def state():
    """What is left of calls, when there are none."""
    gc.collect()
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    shown = [repr(task)[:200] for task in tasks[:3]]
    return {
        "tasks": len(tasks),
        "left": ends["begun"] - ends["ended"],
        "objects": sum(map(_is_of_calls, gc.get_objects())),
        "shown": shown,
    }


def _is_of_calls(thing):
    code = getattr(thing, "cr_code", None) or getattr(thing, "ag_code", None)
    return type(thing).__name__ == "_Step" or getattr(code, "co_filename", "") == __file__
