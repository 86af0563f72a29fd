"""The routes of the playground's files, read once and held in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from fastapi import FastAPI
from starlette.responses import Response

TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
HOME = "index.html"
FILES = (HOME, "page.css", "page.js", "calls.js", "curl.js", "elements.js", "results.js", "icon.svg")
PATHS = frozenset("/" if name == HOME else f"/playground/{name}" for name in FILES)
"""Where the files lie: GET of these needs no key."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def add_playground(app: FastAPI) -> None:
    """Register the page and its files."""
    folder = files("darl.serving.playground") / "page"
    for name in FILES:
        content = (folder / name).read_bytes()
        kind = TYPES[name[name.rindex(".") :]] + "; charset=utf-8"
        path = "/" if name == HOME else f"/playground/{name}"
        app.add_api_route(path, _sends(content, kind), methods=["GET", "HEAD"], include_in_schema=False)


def _sends(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def send() -> Response:
        return Response(content, headers={**HEADERS, "Content-Type": kind})

    return send
