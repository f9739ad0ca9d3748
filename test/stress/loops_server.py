"""An HTTP server in a process of its own, for test/stress/loops.exs. Ends when its standard input does."""

import asyncio
import json
import sys


class Server:
    def __init__(self):
        self.connections = 0
        self.requests = 0

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                await self.answer(head.split(b" ", 2)[1].decode().strip("/").split("/"), writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connections -= 1
            writer.close()

    async def answer(self, path, writer):
        if path[0] == "echo":
            await asyncio.sleep(int(path[2]) / 1000)
            await send(writer, path[1].encode())
        elif path[0] == "lines":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for number in range(int(path[2])):
                line = b"%s %d\n" % (path[1].encode(), number)
                writer.write(b"%x\r\n%s\r\n" % (len(line), line))
                await writer.drain()
                if number % 10 == 0:
                    await asyncio.sleep(0.001)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        elif path[0] == "status":
            status = {"connections": self.connections - 1, "requests": self.requests}
            await send(writer, json.dumps(status).encode())
        else:
            raise ConnectionError(path)


async def send(writer, body):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    await writer.drain()


async def main():
    server = await asyncio.start_server(Server().serve, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
