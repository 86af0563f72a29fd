"""How the server and its workers talk: JSON messages over pipes, each after its length in four bytes."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any, BinaryIO

HEADER = struct.Struct(">I")


def pack(message: dict[str, Any]) -> bytes:
    """One message as bytes; lone surrogates travel as escapes.

    >>> pack({"a": 1})
    b'\\x00\\x00\\x00\\x08{"a": 1}'
    """
    body = json.dumps(message).encode("ascii")
    return HEADER.pack(len(body)) + body


def read(stream: BinaryIO) -> dict[str, Any] | None:
    """The next message, or None at the end of the stream."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    body = stream.read(HEADER.unpack(header)[0])
    return json.loads(body) if len(body) == HEADER.unpack(header)[0] else None


async def read_async(stream: asyncio.StreamReader) -> dict[str, Any] | None:
    """:func:`read` for a stream of asyncio's."""
    try:
        (size,) = HEADER.unpack(await stream.readexactly(HEADER.size))
        return json.loads(await stream.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
