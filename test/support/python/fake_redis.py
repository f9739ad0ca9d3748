"""A server that speaks as much of the protocol of Redis as a client needs that sets, gets and counts."""

import asyncio

_data = {}


async def _read(reader):
    line = await reader.readline()
    if not line:
        return None
    assert line.startswith(b"*"), line
    words = []
    for _ in range(int(line[1:])):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2])
    return words


def _text(data):
    return b"$-1\r\n" if data is None else b"$%d\r\n%s\r\n" % (len(data), data)


async def _answer(command, words, reader):
    if command == b"SET":
        _data[words[0]] = words[1]
        return b"+OK\r\n"
    if command == b"GET":
        return _text(_data.get(words[0]))
    if command == b"INCRBY":
        _data[words[0]] = b"%d" % (int(_data.get(words[0], b"0")) + int(words[1]))
        return b":%s\r\n" % _data[words[0]]
    if command == b"BLPOP":
        # Until the client leaves.
        return await reader.read(1)
    if command == b"PING":
        return b"+PONG\r\n"
    if command in (b"CLIENT", b"SELECT"):
        return b"+OK\r\n"
    return b"-ERR unknown command '%s'\r\n" % command


class Server:
    """Counts its connections."""

    def __init__(self):
        _data.clear()
        self.open = 0
        self.opened = 0

    async def _serve(self, reader, writer):
        self.open += 1
        self.opened += 1
        try:
            while True:
                words = await _read(reader)
                if words is None:
                    return
                writer.write(await _answer(words[0].upper(), words[1:], reader))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def stop(self):
        self.server.close()


def counts(server):
    return server.open, server.opened
