"""Scoring requests pass the web framework by; all else is the framework's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from darl.serving.straight import Straight


async def framework(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("the framework's")(scope, receive, send)


async def handler(request: Request) -> Response:
    return PlainTextResponse((await request.body()).decode() + request.headers["x-more"], status_code=201)


async def answer(method: str, path: str) -> tuple[int, bytes]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"a body", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"x-more", b" and a header")]}
    await Straight(framework, {"/score": handler})(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/score", (201, b"a body and a header")),
        ("GET", "/score", (200, b"the framework's")),
        ("POST", "/score/", (200, b"the framework's")),
        ("POST", "/other", (200, b"the framework's")),
    ],
)
def test_who_answers(method: str, path: str, expected: tuple[int, bytes]) -> None:
    assert asyncio.run(answer(method, path)) == expected


def test_what_is_no_request_is_the_frameworks() -> None:
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> None: ...

    asyncio.run(Straight(app, {"/score": handler})({"type": "lifespan"}, nothing, nothing))
    assert seen == ["lifespan"]
