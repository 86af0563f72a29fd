"""Jina: ``POST /v1/rerank``."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from darl.serving.core import Ask, Scored
from darl.serving.dialects.base import (
    AskOOD,
    Dialect,
    Flag,
    RankedResult,
    ReplyBody,
    RequestBody,
    Text,
    TextDocument,
    TopN,
    Usage,
    ranked,
    texts,
    usage,
)
from darl.serving.refusals import Refusal


class Rerank(RequestBody):
    model: Text | None = None
    query: Text
    documents: Annotated[list[Text | TextDocument], Field(min_length=1, fail_fast=True)]
    top_n: TopN | None = None
    return_documents: Flag | None = True
    ood: AskOOD = False


class RerankReply(ReplyBody):
    model: str
    usage: Usage
    results: list[RankedResult]


class Error(ReplyBody):
    detail: str


class Jina(Dialect):
    """Results best first, with the documents' texts unless ``return_documents`` is false."""

    name = "jina"
    lists = ("documents",)
    body, reply_body, error_body = Rerank, RerankReply, Error
    example: ClassVar[dict[str, Any]] = {
        "model": "rerank",
        "query": "cat insurance",
        "documents": ["Vet fee cover for cats", {"text": "Motor breakdown cover"}],
        "top_n": 2,
        "return_documents": True,
    }

    def ask(self, body: Rerank) -> Ask:
        items = texts(body.documents)
        echo = body.return_documents is not False
        return Ask([body.query] * len(items), items, body.ood, body.top_n, {"echo": echo})

    def reply(self, ask: Ask, scored: Scored) -> dict[str, Any]:
        return {
            "id": scored.request_id,
            "model": scored.model,
            "model_version": scored.facts.version,
            "usage": usage(scored),
            "results": ranked(ask, scored, echo=ask.options["echo"]),
        }

    def error(self, refusal: Refusal) -> dict[str, Any]:
        return {"detail": refusal.message}
