"""Load on an HTTP server: clients in a closed loop, or arrivals at a given rate; every request is accounted for.

The client is a few lines over asyncio's streams, because it shares the machine with the server it measures.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

NO_ANSWER_SECONDS = 600.0  # 32 lists of 100 take an LLM on two cores some minutes


@dataclass
class Load:
    """What became of the requests: seconds by status, and how many were lost (no answer, or a 5xx)."""

    seconds: float = 0.0
    latencies: dict[int, list[float]] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)

    @property
    def answered(self) -> int:
        return len(self.latencies.get(200, []))

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds

    def quantile(self, q: float, status: int = 200) -> float | None:
        """Seconds below which a share ``q`` of the answers with this status came."""
        found = self.latencies.get(status)
        return float(np.quantile(found, q)) if found else None

    def note(self, status: int, seconds: float) -> None:
        self.latencies.setdefault(status, []).append(seconds)
        if status != 200 and status != 429:
            self.lost[str(status)] += 1


class Connection:
    """One kept-alive connection."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, head_and_body: bytes) -> int:
        """The status of the reply, which is read to its end."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.host, self.port)
        reader, writer = self._streams
        writer.write(head_and_body)
        status = int((await reader.readuntil(b"\r\n")).split()[1])
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        return status

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def request_bytes(path: str, body: bytes) -> bytes:
    """A whole POST request."""
    head = f"POST {path} HTTP/1.1\r\nhost: b\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def closed_loop(
    address: tuple[str, int], requests: Iterator[bytes], *, clients: int, seconds: float = 0, count: int = 0
) -> Load:
    """``clients`` that each send the next request as soon as they have an answer, for a time or a number."""
    load, begin, sent = Load(), time.monotonic(), 0

    async def client() -> None:
        nonlocal sent
        connection = Connection(*address)
        while sent < count if count else time.monotonic() - begin < seconds:
            sent += 1
            await _timed(connection, next(requests), load, time.monotonic())
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    load.seconds = time.monotonic() - begin
    return load


async def arrivals(
    address: tuple[str, int], requests: Iterator[bytes], *, per_second: float, seconds: float, seed: int = 0
) -> Load:
    """Requests at exponentially distributed intervals, whether or not earlier ones are answered.

    A latency begins when the request is due, not when the client comes to send it.
    """
    load, draw, begin, due = Load(), random.Random(seed), time.monotonic(), 0.0
    idle: list[Connection] = []
    tasks: set[asyncio.Task[None]] = set()

    async def one(at: float) -> None:
        connection = idle.pop() if idle else Connection(*address)
        await _timed(connection, next(requests), load, at)
        idle.append(connection)

    while (due := due + draw.expovariate(per_second)) < seconds:
        await asyncio.sleep(max(0.0, begin + due - time.monotonic()))
        task = asyncio.create_task(one(begin + due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.wait(tasks)
    load.seconds = time.monotonic() - begin
    for connection in idle:
        connection.close()
    return load


async def _timed(connection: Connection, request: bytes, load: Load, begin: float) -> None:
    try:
        status = await asyncio.wait_for(connection.post(request), NO_ANSWER_SECONDS)
    except (OSError, EOFError, TimeoutError) as error:
        load.lost[type(error).__name__] += 1
        connection.close()
    else:
        load.note(status, time.monotonic() - begin)
