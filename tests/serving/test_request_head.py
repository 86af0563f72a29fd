"""A request's head is bounded before anything is looked at, its body is not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from darl.serving.request_head import MOST_BYTES, BoundedHead


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written, self.closed = b"", False

    def get_extra_info(self, name: str) -> Any:
        return {"sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)}.get(name)

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def bodies_of(arrivals: Iterable[bytes]) -> tuple[list[int], Transport, int]:
    """Sizes of the bodies that an app behind the protocol reads, what it wrote, and the arrivals that it took."""
    sizes: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        sizes.append(size)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(app, http=BoundedHead, log_config=None, lifespan="off")
    config.load()
    transport, taken = Transport(), 0
    protocol = BoundedHead(config, ServerState(), {})
    protocol.connection_made(transport)  # type: ignore[arg-type]
    for data in arrivals:
        if transport.closed:
            break
        protocol.data_received(data)
        taken += 1
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    protocol._unset_keepalive_if_required()
    return sizes, transport, taken


LINE = b"x-a: " + b"a" * 1000 + b"\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n"


@pytest.mark.parametrize(
    "arrivals",
    [
        [POST + LINE * 70 + b"\r\n"],
        [POST, *[LINE] * 1000],
        [POST + b"x-a: ", *[b"a" * 1000] * 1000],
        [POST, *[b"a" * 1000] * 1000],
        [b"GET /", *[b"a" * 1000] * 1000],
        [b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n"],
        [POST + b"content-length: 1\r\n\r\na" + POST + LINE * 70 + b"\r\n"],
        [CHUNKED + b"0\r\n" + b"x-a: ", *[b"a" * 1000] * 1000],
        [CHUNKED + b"0\r\n", *[LINE] * 1000],
        [CHUNKED + b"1;", *[b"a" * 1000] * 1000],
    ],
    ids=["at once", "lines", "a value", "a name", "an address", "an address at once", "the second request", "a trailer",
         "trailers", "an extension"],
)  # fmt: skip
def test_an_endless_head_is_cut_off(arrivals: list[bytes]) -> None:
    _, transport, taken = asyncio.run(bodies_of(arrivals))
    assert transport.closed
    assert b"HTTP/1.1 431 " in transport.written
    assert sum(map(len, arrivals[1:taken])) <= MOST_BYTES + 2000


@pytest.mark.parametrize("size", [1, 1000, 60_000, 10**6])
def test_long_heads_and_longer_bodies_pass(size: int) -> None:
    body = b"b" * (300_000 if size > 1 else 9)
    one = POST + LINE * (60 if size > 1 else 2) + b"content-length: %d\r\n\r\n" % len(body) + body
    slow = POST + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nc\r\n" * 20_000 + b"0\r\n\r\n"
    stream = one + one + slow
    arrivals = [stream[at : at + size] for at in range(0, len(stream), size)]
    sizes, transport, taken = asyncio.run(bodies_of(arrivals))
    assert taken == len(arrivals)
    assert not transport.closed
    assert sizes == [len(body), len(body), 20_000]


def test_what_is_no_request_is_answered_as_before() -> None:
    _, transport, _ = asyncio.run(bodies_of([b"hello\r\n\r\n"]))
    assert transport.written.startswith(b"HTTP/1.1 400 ")
