"""Responses: JSON written by pydantic's encoder, and refusals worded by a dialect."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from darl.serving.dialects.base import Dialect
from darl.serving.refusals import Refusal

UNREAD = ("no_key", "too_large", "slow_body", "draining")  # refused before or amid the body


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON; what is not a finite number is null."""
    return Response(
        to_json(content, inf_nan_mode="null"),
        status_code=status,
        headers=dict(headers or {}),
        media_type="application/json",
    )


def refusal_response(dialect: Dialect, refusal: Refusal) -> Response:
    """The refusal in the dialect's own shape, with ``Retry-After`` where trying again makes sense.

    The connection is closed where the rest of the body is not to be read.
    """
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(refusal.retry_after))
    if refusal.kind == "no_key":
        headers["WWW-Authenticate"] = "Bearer"
    if refusal.kind in UNREAD:
        headers["Connection"] = "close"
    return json_response(dialect.error(refusal), dialect.status(refusal), headers)
