"""Somebody in between two ports of this machine, who cuts, is gone, or answers 500 in the name of the other side.

    relay.py LISTEN TO CONTROL

A line to the port CONTROL says what it does from now on, and one line comes back:
    well       hands everything on; answers what was seen since the last one: {"bytes": .., "connections": .., "bad": ..}
    cut N      the connection over which the byte after so many comes is cut, once
    gone N     from the byte after so many on every connection is cut, until `well`
    fail N C   from the byte after so many on the next C requests get 500 (0: all of them, until `well`); for HTTP only
    slow MS    small pieces, which are questions, wait so many milliseconds on their way there, until `well`
Bytes are counted in both directions of all connections, from the line on.
"""

import asyncio
import json
import sys

PIECE = 16 * 1024
SMALL = 2048
HEAD_MAX = 64 * 1024
BODY_MAX = 1 << 30
ANSWER = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Relay:
    def __init__(self, to):
        self.to = to
        self.open = set()
        self.behave()

    def behave(self):
        self.plan, self.left, self.failures, self.pause = "well", 0, None, 0
        self.seen = {"bytes": 0, "connections": 0, "bad": 0}

    def is_bad(self):
        """Whether the byte came after which all is bad."""
        return self.plan in ("gone", "fail") and self.left <= 0

    def spend(self, count):
        """How many of these bytes are handed on."""
        self.seen["bytes"] += count
        if self.plan == "well":
            return count
        allowed, self.left = min(count, max(self.left, 0)), self.left - count
        if allowed == count:
            return count
        self.seen["bad"] += 1
        if self.plan == "cut":
            self.plan = "well"
        else:
            self.end_all()
        return allowed

    def end_all(self):
        for writer in list(self.open):
            writer.transport.abort()

    async def serve(self, reader, writer):
        self.seen["connections"] += 1
        try:
            if self.is_bad() and self.plan == "gone":
                self.seen["bad"] += 1
                writer.transport.abort()
            elif self.is_bad():
                await self.refuse(reader, writer)
            else:
                await self.hand_on(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def hand_on(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
        both = {writer, far_writer}
        self.open |= both
        try:
            passing = [asyncio.create_task(self.passing(reader, far_writer, True)), asyncio.create_task(self.passing(far_reader, writer, False))]
            _, other = await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            for task in other:
                task.cancel()
            await asyncio.gather(*passing, return_exceptions=True)
        finally:
            self.open -= both
            far_writer.close()

    async def passing(self, reader, writer, is_question):
        while piece := await reader.read(PIECE):
            if self.pause and is_question and len(piece) < SMALL:
                await asyncio.sleep(self.pause / 1000)
            allowed = self.spend(len(piece))
            writer.write(piece[:allowed])
            await writer.drain()
            if allowed < len(piece):
                return

    async def refuse(self, reader, writer):
        """Takes a whole request, as a storage would, and refuses it."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next((line[15:] for line in head.split(b"\r\n") if line.startswith(b"content-length:")), b"0")
        left = min(int(length), BODY_MAX)
        while left > 0 and (piece := await reader.read(min(PIECE, left))):
            left -= len(piece)
        self.seen["bad"] += 1
        writer.write(ANSWER)
        await writer.drain()
        if self.failures is not None:
            self.failures -= 1
            if self.failures <= 0:
                self.plan = "well"

    async def control(self, reader, writer):
        words = (await reader.readline()).decode().split()
        seen, plan = self.seen, words[0] if words else ""
        if plan == "slow":
            self.behave()
            self.pause = int(words[1])
        elif plan in ("well", "cut", "gone", "fail"):
            self.behave()
            self.plan, self.left = plan, int(words[1]) if plan != "well" else 0
            if plan == "fail":
                self.failures = int(words[2]) or None
        writer.write((json.dumps(seen) + "\n").encode())
        await writer.drain()
        writer.close()


async def main(listen, to, control):
    relay = Relay(to)
    servers = [
        await asyncio.start_server(relay.serve, "127.0.0.1", listen, limit=HEAD_MAX),
        await asyncio.start_server(relay.control, "127.0.0.1", control),
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main(*(int(word) for word in sys.argv[1:4])))
