"""Limits: how much of a request is read at all, and what its JSON may be."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from darl.pairs.text import clean_text
from darl.serving.refusals import Refusal
from darl.serving.settings import ServeSettings

SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # an escape that is half a pair


def check_declared_size(headers: Sequence[tuple[bytes, bytes]], most: int) -> None:
    """Refuse by the Content-Length alone, before a byte of the body is read.

    Raises:
        Refusal: too large.
    """
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value) > most:
            raise _too_large(most)


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """The body, read up to ``most`` bytes and for at most ``seconds``.

    Raises:
        Refusal: too large, too slow, or the client left.
    """
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise _too_large(most)
                parts.append(part)
    except TimeoutError as error:
        raise Refusal("slow_body", f"the body did not arrive within {seconds:.0f} s") from error
    except ClientDisconnect as error:
        raise Refusal("client_gone", "the client left") from error
    return b"".join(parts)


def parse_json(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; NaN, nesting deeper than 200, and anything else than an object are refused.

    Lone surrogates, which clients make when they cut texts between UTF-16 units, are read as U+FFFD, as the
    encoder reads them.

    Raises:
        Refusal: unreadable.
    """
    try:
        found = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        found = _with_surrogates(body, error) if SURROGATE.search(body) else _unreadable(error)
    if not isinstance(found, dict):
        raise Refusal("unreadable", f"the body must be a JSON object, not {_kind(found)}")
    return found


def check_size(queries: Sequence[str], items: Sequence[str], settings: ServeSettings) -> None:
    """Bounds on the number of pairs and the length of texts.

    Raises:
        Refusal: nothing, or too much, to score.
    """
    if not items:
        raise Refusal("empty", "there is nothing to score: give at least one document")
    if len(items) > settings.max_documents:
        raise too_many(len(items), settings.max_documents)
    for name, texts in (("query", queries), ("document", items)):
        for row, text in enumerate(texts):
            if len(text) > settings.max_text_chars:
                at = f"{name} {row}" if len(texts) > 1 else name
                raise Refusal("too_many", f"{len(text)} characters, {settings.max_text_chars} are allowed", where=at)


def too_many(count: int, most: int) -> Refusal:
    """The refusal of a request of more than ``most`` documents."""
    return Refusal("too_many", f"{count} documents, more than the {most} allowed here")


def _with_surrogates(body: bytes, error: ValueError) -> Any:
    def no_constants(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON number")

    try:
        found = json.loads(body.decode("utf-8"), parse_constant=no_constants)
        return from_json(clean_text(json.dumps(found, ensure_ascii=False)), allow_inf_nan=False)
    except (ValueError, RecursionError):
        _unreadable(error)


def _unreadable(error: ValueError) -> NoReturn:
    raise Refusal("unreadable", f"the body is not JSON: {str(error)[:200]}") from error


def _too_large(most: int) -> Refusal:
    return Refusal("too_large", f"the body is larger than the {most} bytes allowed here")


def _kind(value: object) -> str:
    return {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")
