"""Straight: scoring requests go to their handler, past the web framework's layers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Handler = Callable[[Request], Awaitable[Response]]


class Straight:
    """ASGI app: a POST to one of the paths is its handler's, everything else the framework's.

    The framework knows the handlers too, for what it describes and for paths with parameters. It gives a request to
    them through ten layers that have nothing to do for it, a fourth of the server's own time.

    Args:
        app: the framework's.
        handlers: by path; each answers whatever happens, its own errors included.
    """

    def __init__(self, app: ASGIApp, handlers: Mapping[str, Handler]) -> None:
        self.app, self.handlers = app, handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self.handlers.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if handler is None:
            await self.app(scope, receive, send)
            return
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)
