"""A server of aiohttp, and clients of aiohttp and httpx, for the tests of event loops."""

import asyncio
import json

import aiohttp
import httpx
import erlang
from aiohttp import web


class Shop:
    """Counts the requests that are at work."""

    def __init__(self):
        self.now = 0
        self.cancelled = 0
        self.served = 0

    @web.middleware
    async def count(self, request, handler):
        self.now += 1
        try:
            return await handler(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.now -= 1
            self.served += 1

    async def start(self):
        application = web.Application(middlewares=[self.count], client_max_size=10**7)
        application.router.add_get("/number/{number}", self.number)
        application.router.add_get("/slow", self.slow)
        application.router.add_get("/events/{count}", self.events)
        application.router.add_get("/elixir/{function}/{value}", self.elixir)
        application.router.add_post("/echo", self.echo)
        # As gunicorn's worker does, and as was the default once: a client that leaves cancels its handler.
        try:
            self.runner = web.AppRunner(application, handler_cancellation=True)
        except TypeError:
            self.runner = web.AppRunner(application)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        return "http://%s:%d" % self.runner.addresses[0][:2]

    async def stop(self):
        await self.runner.cleanup()

    async def number(self, request):
        await asyncio.sleep(0.001)
        return web.json_response({"number": int(request.match_info["number"])})

    async def slow(self, request):
        await asyncio.sleep(1000)

    async def echo(self, request):
        return web.Response(body=await request.read())

    async def elixir(self, request):
        function, value = request.match_info["function"], request.match_info["value"]
        return web.json_response({"value": await erlang.acall(function, value)})

    async def events(self, request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(int(request.match_info["count"])):
            await response.write(b"data: %d\n\n" % number)
            await asyncio.sleep(0)
        return response

    def numbers(self):
        return {"now": self.now, "cancelled": self.cancelled, "served": self.served}


async def session(address, limit=100):
    return aiohttp.ClientSession(address, connector=aiohttp.TCPConnector(limit=limit))


async def client(address):
    return httpx.AsyncClient(base_url=address, timeout=60, limits=httpx.Limits(max_connections=100))


async def number(session, number):
    async with session.get("/number/%d" % number) as response:
        return (await response.json())["number"]


async def get(session, path):
    async with session.get(path) as response:
        response.raise_for_status()
        return await response.read()


async def post(session, data):
    async with session.post("/echo", data=data) as response:
        return await response.read()


async def httpx_number(client, number):
    return (await client.get("/number/%d" % number)).json()["number"]


async def events(session, count):
    async with session.get("/events/%d" % count) as response:
        async for line in response.content:
            if line.startswith(b"data: "):
                yield int(line[6:])


async def httpx_events(client, count):
    async with client.stream("GET", "/events/%d" % count) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                yield json.loads(line[6:])


def acquired(session):
    """How many connections of a session are in use."""
    return len(session.connector._acquired)
