"""The app: every part put together, and the one handler behind every dialect's endpoint."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.requests import Request
from starlette.responses import Response

from darl.serving.auth import KeyRing
from darl.serving.batcher import Batcher
from darl.serving.core import ScoringCore
from darl.serving.dialects.paths import ENDPOINTS, Endpoint
from darl.serving.fleet import Fleet
from darl.serving.gate import Gate, RequestNote
from darl.serving.limits import parse_json, read_body
from darl.serving.metrics import Metrics
from darl.serving.openapi import describe_endpoints
from darl.serving.operations import add_operations, darl_version
from darl.serving.playground import PATHS, add_playground
from darl.serving.refusals import Refusal
from darl.serving.replies import json_response, refusal_response
from darl.serving.settings import ServeSettings
from darl.serving.straight import Handler, Straight
from darl.serving.traffic_columns import traffic_columns
from darl.serving.traffic_log import TrafficLog

log = logging.getLogger("darl.serving")


class Service:
    """A server's parts, in the order in which data flows through them.

    Args:
        settings: of the server.

    Attributes:
        gate: the ASGI app to serve.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.settings, self.version = settings, darl_version()
        self.metrics = Metrics()
        self.traffic = TrafficLog(settings, self.metrics) if settings.traffic_log else None
        self.batcher = Batcher(settings, self.metrics)
        self.fleet = Fleet(settings, self.batcher, self.metrics)
        self.core = ScoringCore(settings, self.fleet, self.batcher, self.metrics, self.traffic)
        handlers = {endpoint.path: _handler(self, endpoint) for endpoint in ENDPOINTS}
        app = Straight(self._app(handlers), {path: one for path, one in handlers.items() if "{" not in path})
        self.gate = Gate(app, settings, KeyRing(settings.all_keys()), self.metrics, self._pages())
        self.metrics.ready.set_function(lambda: self.ready)

    @property
    def ready(self) -> bool:
        """A worker has scored its probe, and requests are taken."""
        return self.fleet.ready and not self.gate.draining

    async def close(self) -> None:
        """End the workers and write out the traffic log."""
        await self.fleet.close()
        if self.traffic is not None:
            await asyncio.to_thread(self.traffic.close)

    def _pages(self) -> frozenset[str]:
        return PATHS if self.settings.playground else frozenset()

    def _app(self, handlers: Mapping[str, Handler]) -> FastAPI:
        facts = {"title": "darl", "version": self.version, "redoc_url": None}
        # FastAPI's own page loads its scripts from elsewhere; this one from the server itself.
        app = FastAPIOffline(docs_url="/docs", **facts) if self.settings.docs else FastAPI(openapi_url=None, **facts)
        for endpoint in ENDPOINTS:
            app.add_api_route(
                endpoint.path,
                handlers[endpoint.path],
                methods=["POST"],
                summary=endpoint.summary,
                response_class=Response,
                tags=[endpoint.dialects[0].name],
            )
        add_operations(app, self)
        if self.settings.playground:
            add_playground(app)
        describe_endpoints(app, self.version, self.settings.traffic_columns)
        return app


def _handler(service: Service, endpoint: Endpoint) -> Handler:
    settings, core, metrics = service.settings, service.core, service.metrics

    async def answer(request: Request) -> Response:
        note: RequestNote = request.scope["state"]["note"]
        dialect = endpoint.dialects[0]
        note.dialect = dialect.name
        try:
            data = parse_json(await read_body(request, settings.max_body_bytes, settings.deadline_seconds))
            dialect = endpoint.dialect(data, request.headers)
            note.dialect = dialect.name
            ask = dialect.read(data, settings.max_documents)
            note.facts["pairs"] = len(ask.items)
            if settings.log_texts:
                note.facts |= {"queries": list(dict.fromkeys(ask.queries)), "items": list(ask.items)}
            gone = asyncio.ensure_future(_gone(request))
            try:
                columns = traffic_columns(request.headers, settings.traffic_columns)
                scored = await core.score(
                    ask, dialect=dialect.name, request_id=note.request_id, gone=gone, columns=columns
                )
            finally:
                gone.cancel()
            note.facts |= {"tokens": scored.tokens, "version": scored.facts.version}
            return json_response(dialect.reply(ask, scored))
        except Refusal as refusal:
            note.facts |= {"refused": refusal.kind}
            metrics.refused.labels(refusal.kind).inc()
            return refusal_response(dialect, refusal)
        except Exception as error:
            log.exception("a defect of darl", extra={"facts": {"request_id": note.request_id}})
            metrics.refused.labels("defect").inc()
            return refusal_response(dialect, Refusal("defect", f"a defect of darl ({type(error).__name__})"))

    answer.__name__ = endpoint.path.strip("/").replace("/", "_").replace("{", "").replace("}", "")
    answer.__doc__ = endpoint.summary
    return answer


async def _gone(request: Request) -> None:
    """Returns when the client has left; the body must have been read."""
    message: dict[str, Any] = {}
    while message.get("type") != "http.disconnect":
        message = dict(await request.receive())
