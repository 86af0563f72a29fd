"""Cohere: ``POST /v2/rerank`` and ``POST /v1/rerank`` as the ``cohere`` SDK, LangChain and LlamaIndex call them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from darl.serving.core import Ask, Scored
from darl.serving.dialects.base import (
    AskOOD,
    Dialect,
    Flag,
    RankedResult,
    ReplyBody,
    RequestBody,
    Text,
    TopN,
    ranked,
)
from darl.serving.refusals import Refusal

Scalar = Text | int | float | bool | None


def _of_scalars(document: Any) -> Any:
    # pydantic would collect some errors for each key
    for name, value in document.items() if isinstance(document, dict) else ():
        if not isinstance(value, (str, int, float, bool, type(None))):
            raise ValueError(f"{name[:50]!r} must be a text, a number, true, false or null")
    return document


Fields = Annotated[dict[Text, Scalar], BeforeValidator(_of_scalars)]


class RerankV2(RequestBody):
    """``max_tokens_per_doc`` and ``priority`` are accepted and not used: the model cuts at its own length."""

    model: Text | None = None
    query: Text
    documents: Annotated[list[Text | Fields], Field(min_length=1, fail_fast=True)]
    top_n: TopN | None = None
    return_documents: Flag | None = None
    rank_fields: Annotated[list[Text], Field(fail_fast=True)] | None = None
    ood: AskOOD = False


class Meta(ReplyBody):
    api_version: dict[str, Any]
    billed_units: dict[str, Any]


class RerankReply(ReplyBody):
    id: str
    results: list[RankedResult]
    meta: Meta


class Error(ReplyBody):
    message: str


class CohereV2(Dialect):
    """Results best first, without the documents' texts unless ``return_documents`` asks for them."""

    name = "cohere_v2"
    lists = ("documents",)
    version: ClassVar[str] = "2"
    body, reply_body, error_body = RerankV2, RerankReply, Error
    example: ClassVar[dict[str, Any]] = {
        "model": "rerank",
        "query": "cat insurance",
        "documents": ["Vet fee cover for cats", "Motor breakdown cover"],
        "top_n": 2,
    }

    def ask(self, body: RerankV2) -> Ask:
        items = [_text(document, at, body.rank_fields) for at, document in enumerate(body.documents)]
        return Ask([body.query] * len(items), items, body.ood, body.top_n, {"echo": bool(body.return_documents)})

    def reply(self, ask: Ask, scored: Scored) -> dict[str, Any]:
        return {
            "id": scored.request_id,
            "results": ranked(ask, scored, echo=ask.options["echo"]),
            "meta": {
                "api_version": {"version": self.version},
                "billed_units": {"search_units": 1},
                "tokens": {"input_tokens": scored.tokens},
                "model": scored.model,
                "model_version": scored.facts.version,
            },
        }

    def error(self, refusal: Refusal) -> dict[str, Any]:
        return {"message": refusal.message}

    def status(self, refusal: Refusal) -> int:
        return 400 if refusal.kind in ("empty", "too_many") else refusal.status


class CohereV1(CohereV2):
    """The older version; documents may be objects, of which ``rank_fields`` names the keys to read."""

    name = "cohere_v1"
    version = "1"


def _text(document: str | dict[str, Any], at: int, fields: list[str] | None) -> str:
    """A document's text: itself, its ``text``, or lines ``key: value`` of the fields named."""
    if isinstance(document, str):
        return document
    if fields:
        return "\n".join(f"{name}: {document[name]}" for name in fields if name in document)
    if not isinstance(document.get("text"), str):
        raise Refusal("invalid", "an object needs a 'text', or rank_fields to name its keys", where=f"documents[{at}]")
    return document["text"]
