"""The OpenAPI description of the endpoints, with an example of each dialect's requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from darl.serving.dialects.paths import ENDPOINTS, Endpoint
from darl.serving.traffic_columns import HEADER

REFUSALS = {
    400: "The body is not JSON, or not of the API's shape.",
    401: "A key is asked for and missing or wrong.",
    408: "The body did not arrive in time.",
    413: "The body, or the number of texts, is larger than allowed.",
    422: "The body is not of the API's shape.",
    424: "The model fails on this input.",
    429: "The queue is full: try again after `Retry-After` seconds.",
    503: "No model is ready, or the request was given up: try again after `Retry-After` seconds.",
}
INTRODUCTION = """\
A K-grade relevance model behind the rerank APIs that clients already speak. Every score is the calibrated
expected gain, scaled to [0, 1]; replies carry the grade and the grade probabilities beside it.
"""


def describe_endpoints(app: FastAPI, version: str, columns: Sequence[str] = ()) -> None:
    """Give the app a schema in which every endpoint names its dialects' bodies, replies and errors.

    Args:
        columns: what the traffic log keeps of a request's header, which is described where there are any.
    """
    schema: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not schema:
            schema.update(_schema(app, version, columns))
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _schema(app: FastAPI, version: str, columns: Sequence[str]) -> dict[str, Any]:
    dialects = {dialect.name: dialect for endpoint in ENDPOINTS for dialect in endpoint.dialects}
    models: list[Any] = []
    for dialect in dialects.values():
        models += [(dialect.body, "validation"), (dialect.reply_body, "serialization")]
        models += [(dialect.error_body, "serialization")]
    names, definitions = models_json_schema(
        list(dict.fromkeys(models)), ref_template="#/components/schemas/{model}", by_alias=True
    )
    found = get_openapi(title="darl", version=version, description=INTRODUCTION, routes=app.routes)
    found.setdefault("components", {}).setdefault("schemas", {}).update(definitions.get("$defs", {}))
    found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for endpoint in ENDPOINTS:
        operation = found["paths"][endpoint.path]["post"]
        operation["security"] = [{}, {"key": []}]
        operation["requestBody"] = _request(endpoint, names)
        if columns:
            operation["parameters"] = [*operation.get("parameters", []), _columns_header(columns)]
        operation["responses"] = _responses(endpoint, names)
        operation["description"] = "\n\n".join(f"**{d.name}** {d.__doc__}" for d in endpoint.dialects)
    return found


def _request(endpoint: Endpoint, names: dict) -> dict[str, Any]:
    schemas = [names[dialect.body, "validation"] for dialect in endpoint.dialects]
    examples = {dialect.name: {"value": dialect.example} for dialect in endpoint.dialects}
    return {"required": True, "content": {"application/json": {"schema": _either(schemas), "examples": examples}}}


def _columns_header(columns: Sequence[str]) -> dict[str, Any]:
    return {
        "name": HEADER.title(),
        "in": "header",
        "required": False,
        "description": f"Columns for the traffic log, as a query string; it keeps {', '.join(columns)}.",
        "schema": {"type": "string"},
        "example": "&".join(f"{name}=some+{name}" for name in columns),
    }


def _responses(endpoint: Endpoint, names: dict) -> dict[str, Any]:
    replies = [names[dialect.reply_body, "serialization"] for dialect in endpoint.dialects]
    errors = [names[dialect.error_body, "serialization"] for dialect in endpoint.dialects]
    found: dict[str, Any] = {
        "200": {"description": "Scores.", "content": {"application/json": {"schema": _either(replies)}}}
    }
    for status, text in REFUSALS.items():
        found[str(status)] = {"description": text, "content": {"application/json": {"schema": _either(errors)}}}
    return found


def _either(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    unique = list({schema["$ref"]: schema for schema in schemas}.values())
    return unique[0] if len(unique) == 1 else {"anyOf": unique}
