"""What operators ask: health, information, metrics, reload."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from darl.errors import ModelError
from darl.serving.dialects.paths import OWN
from darl.serving.link import WorkerDiedError
from darl.serving.refusals import Refusal
from darl.serving.replies import json_response, refusal_response

if TYPE_CHECKING:
    from darl.serving.app import Service

LOOPBACK = ("127.0.0.1", "::1")


def add_operations(app: FastAPI, service: Service) -> None:
    """Register the operators' endpoints."""

    async def health() -> Response:
        """200 when a probe has scored and requests are taken, 503 else."""
        facts = service.fleet.facts
        ready = service.ready
        status = "ready" if ready else "draining" if service.gate.draining else "loading" if not facts else "healing"
        body = {"status": status, "model": service.settings.model_name, "version": facts.version if facts else None}
        return json_response(body, 200 if ready else 503)

    async def info() -> Response:
        """The model and the limits, in TEI's words."""
        facts = service.fleet.facts
        if facts is None:
            return refusal_response(OWN, Refusal("not_ready", "the model is being loaded"))
        settings, labels = service.settings, dict(enumerate(facts.grades))
        return json_response(
            {
                "model_id": settings.model_name,
                "model_sha": facts.version,
                "model_dtype": facts.dtype,
                "model_type": {"reranker": {"id2label": labels, "label2id": {name: at for at, name in labels.items()}}},
                "max_input_length": facts.max_length,
                "max_batch_tokens": settings.batch_tokens,
                "max_client_batch_size": settings.max_documents,
                "auto_truncate": True,
                "tokenization_workers": settings.workers,
                "version": service.version,
                "gains": facts.gains,
                "backbone": facts.backbone,
                "runtime": facts.runtime,
                "device": facts.device,
                "has_ood": facts.has_ood,
                "ood": settings.ood,
                "ood_flag_at": settings.ood_flag_at,
                "has_nearest": facts.has_nearest,
                "no_nearest": facts.no_nearest,
            }
        )

    async def models() -> Response:
        """The one model, as OpenAI's and vLLM's clients ask for it."""
        name = service.settings.model_name
        return json_response({"object": "list", "data": [{"id": name, "object": "model", "owned_by": "darl"}]})

    async def metrics() -> Response:
        """Prometheus' text format."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def reload(request: Request) -> Response:
        """Load what stands in the model folder now; on an error the old model goes on.

        Without API keys it is taken from this machine alone, and from no web page.
        """
        client = request.client.host if request.client else ""
        if service.gate.keys.open and (client not in LOOPBACK or "origin" in request.headers):
            return refusal_response(OWN, Refusal("no_key", "without API keys only this machine may reload"))
        try:
            facts = await service.fleet.reload()
        except ModelError as error:
            body: dict[str, Any] = {"type": "model_refused", "what": error.what, "where": error.where}
            return json_response({"error": body | {"mend": error.mend}}, 409)
        except WorkerDiedError as error:
            body = {"type": "model_refused", "what": str(error), "where": str(service.settings.model)}
            return json_response({"error": body | {"mend": "see the server's log"}}, 409)
        return json_response({"model": service.settings.model_name, "version": facts.version})

    tags: list[Any] = ["operations"]
    for path, handler in (("/health", health), ("/info", info), ("/v1/models", models), ("/metrics", metrics)):
        app.add_api_route(path, handler, methods=["GET"], tags=tags, response_class=Response, responses=_answers(path))
    for path in ("/healthz", "/ping"):
        app.add_api_route(path, health, methods=["GET"], include_in_schema=False)
    app.add_api_route(
        "/admin/reload", reload, methods=["POST"], tags=tags, response_class=Response,
        responses={200: _json("The new model serves."), 401: _json("Not allowed."), 409: _json("Refused."),
                   503: _json("Shutting down.")},
    )  # fmt: skip


def darl_version() -> str:
    """The installed version."""
    try:
        return importlib.metadata.version("darl")
    except importlib.metadata.PackageNotFoundError:
        return "0+source"


def _answers(path: str) -> dict[int | str, dict[str, Any]]:
    if path == "/metrics":
        found: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
    else:
        found = {200: _json("The answer.")}
    return found | {401: _json("A key is asked for and missing or wrong."), 503: _json("Not ready.")}


def _json(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": {"type": "object"}}}}
