"""A WebSocket by the `websockets` package, through whatever stands between, to a server of the same.

Prints `listening PORT`, reads where to call from its input, and prints `ok NAME` for each thing
that went as it should. It ends with an error at the first that did not.
"""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedError, InvalidStatus

LARGE = 3 * 1024 * 1024
credentials = []


def admit(connection, request):
    credentials.append(request.headers.get_all("Authorization"))
    if request.path.startswith("/refused"):
        return connection.respond(403, "not you\n")
    return None


async def converse(connection):
    if connection.request.path == "/closing":
        await connection.close(4001, "enough")
        return
    async for message in connection:
        await connection.send(message)


async def messages(base):
    async with connect(f"{base}/chat", max_size=None, subprotocols=None) as socket:
        for message in ["", "hello", "gr\u00fc\u00df dich", b"\x00\xff", "x" * 70_000, b"y" * LARGE]:
            await socket.send(message)
            assert await socket.recv() == message
        # Fragments, and many messages under way at once.
        await socket.send(["one ", "two ", "three"])
        assert await socket.recv() == "one two three"
        for number in range(200):
            await socket.send(str(number))
        assert [await socket.recv() for _ in range(200)] == [str(n) for n in range(200)]


async def pings(base):
    async with connect(f"{base}/chat", ping_interval=None) as socket:
        for _ in range(3):
            await asyncio.wait_for(await socket.ping(), 20)


async def ends(base):
    async with connect(f"{base}/chat") as socket:
        await socket.close(4000, "done")
    assert (socket.close_code, socket.close_reason) == (4000, "done")
    async with connect(f"{base}/closing") as socket:
        try:
            await socket.recv()
        except ConnectionClosedError as error:
            assert (error.rcvd.code, error.rcvd.reason) == (4001, "enough")
        else:
            raise AssertionError("no end")


async def refusals(base):
    for _ in range(3):
        try:
            async with connect(f"{base}/refused"):
                raise AssertionError("let in")
        except InvalidStatus as error:
            assert error.response.status_code == 403
            assert error.response.body == b"not you\n"
        await pings(base)


async def many(base):
    async def one(number):
        async with connect(f"{base}/chat") as socket:
            await socket.send(str(number))
            assert await socket.recv() == str(number)

    await asyncio.gather(*(one(number) for number in range(50)))


async def main():
    async with serve(converse, "127.0.0.1", 0, process_request=admit, max_size=None) as server:
        print("listening", server.sockets[0].getsockname()[1], flush=True)
        line = await asyncio.to_thread(sys.stdin.readline)
        base = "ws://" + line.strip()
        for story in [messages, pings, ends, refusals, many]:
            await asyncio.wait_for(story(base), 60)
            print("ok", story.__name__, flush=True)
    for values in credentials:
        assert len(values) == 1 and values[0].startswith("Bearer "), values


asyncio.run(main())
