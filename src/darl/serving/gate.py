"""Gate: what happens to a request before any work is done for it, and what is written down after.

Key, declared size and draining are looked at here, on the headers alone. Everything that passes is counted
as active, so that a server that shuts down knows what it still owes.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darl.serving.auth import KeyRing
from darl.serving.dialects.paths import OWN, endpoint_of
from darl.serving.limits import check_declared_size
from darl.serving.metrics import Metrics
from darl.serving.refusals import Refusal
from darl.serving.replies import refusal_response
from darl.serving.settings import ServeSettings

log = logging.getLogger("darl.serving.requests")

ALWAYS_OPEN = ("/health", "/healthz", "/ping")  # what a load balancer asks has no key
SAFE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass
class RequestNote:
    """What is known of a request when it ends; handlers add to it.

    Attributes:
        request_id: the client's ``X-Request-ID`` where it is a sane one, else a new one.
        dialect: ``other`` for what scores nothing.
    """

    request_id: str
    dialect: str = "other"
    facts: dict[str, Any] = field(default_factory=dict)


class Gate:
    """ASGI middleware around the whole app.

    Args:
        app: what it guards.
        settings: limits. keys: who may pass. metrics: what is counted.
        pages: paths of files that hold nothing of the model: to read them needs no key.

    Attributes:
        active: requests that passed and are not answered. draining: nothing new passes.
    """

    def __init__(
        self, app: ASGIApp, settings: ServeSettings, keys: KeyRing, metrics: Metrics, pages: Collection[str] = ()
    ) -> None:
        self.app, self.settings, self.keys, self.metrics, self.pages = app, settings, keys, metrics, pages
        self.active = 0
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin = time.monotonic()
        note = RequestNote(_request_id(scope["headers"]))
        scope.setdefault("state", {})["note"] = note
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", note.request_id.encode("ascii"))]
                if self.draining:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        self.active += 1
        self.metrics.active.set(self.active)
        try:
            refusal = self._refusal(scope)
            if refusal is None:
                await self.app(scope, receive, sending)
            else:
                endpoint = endpoint_of(scope["path"])
                dialect = endpoint.dialects[0] if endpoint else OWN
                note.dialect = dialect.name if endpoint else "other"
                note.facts["refused"] = refusal.kind
                self.metrics.refused.labels(refusal.kind).inc()
                await refusal_response(dialect, refusal)(scope, receive, sending)
        finally:
            self.active -= 1
            self.metrics.active.set(self.active)
            self._write_down(scope, note, status, time.monotonic() - begin)

    def _refusal(self, scope: Scope) -> Refusal | None:
        if scope["path"] in ALWAYS_OPEN or (scope["path"] in self.pages and scope["method"] in ("GET", "HEAD")):
            return None
        if not self.keys.opens(scope["headers"]):
            return Refusal("no_key", "the API key is missing or wrong")
        if self.draining and scope["method"] == "POST":
            return Refusal("draining", "the server is shutting down")
        try:
            check_declared_size(scope["headers"], self.settings.max_body_bytes)
        except Refusal as refusal:
            return refusal
        return None

    def _write_down(self, scope: Scope, note: RequestNote, status: int, seconds: float) -> None:
        status = status or 499  # nothing was sent: the client had left
        self.metrics.requests.labels(note.dialect, status).inc()
        if note.dialect != "other":
            self.metrics.latency.labels(note.dialect).observe(seconds)
        level = logging.INFO if note.dialect != "other" else logging.DEBUG
        if log.isEnabledFor(level):
            client = scope.get("client")
            facts = {
                "request_id": note.request_id,
                "method": scope["method"],
                "path": scope["path"],
                "dialect": note.dialect,
                "status": status,
                "latency_ms": round(seconds * 1000, 2),
                "client": client[0] if client else None,
            }
            log.log(level, "request", extra={"facts": facts | note.facts})


def _request_id(headers: list[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"x-request-id" and SAFE_ID.fullmatch(value.decode("latin-1")):
            return value.decode("ascii")
    return uuid.uuid4().hex
