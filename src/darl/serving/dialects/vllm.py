"""vLLM: ``POST /score``, ``/rerank`` and ``/classify``."""

from __future__ import annotations

import time
from typing import Annotated, Any, ClassVar

from pydantic import AliasChoices, Field

from darl.serving.core import Ask, Scored
from darl.serving.dialects.base import (
    OOD,
    AskOOD,
    Dialect,
    RankedResult,
    ReplyBody,
    RequestBody,
    Text,
    TextDocument,
    TwoTexts,
    Usage,
    Whole,
    ranked,
    texts,
    usage,
)
from darl.serving.refusals import Refusal

Texts = Text | Annotated[list[Text], Field(min_length=1, fail_fast=True)]


class Score(RequestBody):
    """One query against N documents, or N against N; ``text_1``/``text_2`` and ``data_1``/``data_2`` do as well."""

    model: Text | None = None
    queries: Annotated[Texts, Field(validation_alias=AliasChoices("queries", "text_1", "data_1"))]
    documents: Annotated[Texts, Field(validation_alias=AliasChoices("documents", "text_2", "data_2"))]
    ood: AskOOD = False


class Rerank(RequestBody):
    model: Text | None = None
    query: Text
    documents: Annotated[list[Text | TextDocument], Field(min_length=1, fail_fast=True)]
    top_n: Annotated[Whole, Field(ge=0, description="0 means all.")] | None = 0
    ood: AskOOD = False


class TextPair(RequestBody):
    """A pair as an object, as Hugging Face pipelines write it."""

    text: Text
    text_pair: Text


class Classify(RequestBody):
    """``input`` is a list of pairs: a lone text cannot be judged without its query."""

    model: Text | None = None
    input: Annotated[list[TwoTexts | TextPair], Field(min_length=1, fail_fast=True)]
    ood: AskOOD = False


class Reply(ReplyBody):
    id: str
    object: str = "list"
    created: int
    model: str
    usage: Usage


class ScoreDatum(ReplyBody):
    index: int
    object: str = "score"
    score: float = Field(ge=0, le=1)
    grade: int
    grade_name: str
    grade_probs: list[float]
    ood: OOD | None = None


class ScoreReply(Reply):
    data: list[ScoreDatum]


class RerankReply(ReplyBody):
    id: str
    model: str
    usage: Usage
    results: list[RankedResult]


class ClassifyDatum(ReplyBody):
    index: int
    label: str
    probs: list[float]
    num_classes: int


class ClassifyReply(Reply):
    data: list[ClassifyDatum]


class ErrorInfo(ReplyBody):
    message: str
    type: str
    param: str | None = None
    code: int


class Error(ReplyBody):
    error: ErrorInfo


class _VLLM(Dialect):
    error_body = Error

    def error(self, refusal: Refusal) -> dict[str, Any]:
        code = self.status(refusal)
        kinds = {400: "BadRequestError", 401: "AuthenticationError", 413: "BadRequestError", 429: "RateLimitError"}
        kind = kinds.get(code, "ServiceUnavailableError" if code == 503 else "InternalServerError")
        return {"error": {"message": refusal.message, "type": kind, "param": refusal.where, "code": code}}

    def status(self, refusal: Refusal) -> int:
        return 400 if refusal.status == 422 else refusal.status


class VLLMScore(_VLLM):
    """Scores in the request's order."""

    name = "vllm_score"
    lists = ("queries", "text_1", "data_1", "documents", "text_2", "data_2")
    body, reply_body = Score, ScoreReply
    example: ClassVar[dict[str, Any]] = {
        "model": "rerank",
        "queries": "cat insurance",
        "documents": ["Vet fee cover for cats", "Motor breakdown cover"],
    }

    def ask(self, body: Score) -> Ask:
        queries = [body.queries] if isinstance(body.queries, str) else body.queries
        items = [body.documents] if isinstance(body.documents, str) else body.documents
        if len(queries) == 1:
            queries = queries * len(items)
        if len(queries) != len(items):
            raise Refusal("invalid", f"{len(queries)} queries for {len(items)} documents: give one, or as many")
        return Ask(queries, items, body.ood)

    def reply(self, ask: Ask, scored: Scored) -> dict[str, Any]:
        data = [
            {"index": row, "object": "score", "score": found.relevance, **scored.extras(row)}
            for row, found in enumerate(scored.rows)
        ]
        return _envelope("score", scored) | {"data": data, "usage": usage(scored)}


class VLLMRerank(_VLLM):
    """Results best first, always with the documents' texts."""

    name = "vllm_rerank"
    lists = ("documents",)
    body, reply_body = Rerank, RerankReply
    example: ClassVar[dict[str, Any]] = {
        "model": "rerank",
        "query": "cat insurance",
        "documents": ["Vet fee cover for cats", "Motor breakdown cover"],
        "top_n": 0,
    }

    def ask(self, body: Rerank) -> Ask:
        items = texts(body.documents)
        return Ask([body.query] * len(items), items, body.ood, body.top_n or None)

    def reply(self, ask: Ask, scored: Scored) -> dict[str, Any]:
        return {
            "id": f"rerank-{scored.request_id}",
            "model": scored.model,
            "model_version": scored.facts.version,
            "usage": usage(scored),
            "results": ranked(ask, scored, echo=True),
        }


class VLLMClassify(_VLLM):
    """Grade names and probabilities of pairs, in the request's order."""

    name = "vllm_classify"
    lists = ("input",)
    body, reply_body = Classify, ClassifyReply
    example: ClassVar[dict[str, Any]] = {"model": "rerank", "input": [["cat insurance", "Vet fee cover for cats"]]}

    def ask(self, body: Classify) -> Ask:
        pairs = [(p.text, p.text_pair) if isinstance(p, TextPair) else (p[0], p[1]) for p in body.input]
        return Ask([query for query, _ in pairs], [item for _, item in pairs], body.ood)

    def reply(self, ask: Ask, scored: Scored) -> dict[str, Any]:
        data = [
            {
                "index": row,
                "label": scored.facts.grades[found.grade],
                "probs": found.probabilities,
                "num_classes": len(scored.facts.grades),
                "relevance_score": found.relevance,
                **({"ood": scored.ood_of(row)} if scored.ood_of(row) else {}),
            }
            for row, found in enumerate(scored.rows)
        ]
        return _envelope("classify", scored) | {"data": data, "usage": usage(scored)}


def _envelope(kind: str, scored: Scored) -> dict[str, Any]:
    return {
        "id": f"{kind}-{scored.request_id}",
        "object": "list",
        "created": int(time.time()),
        "model": scored.model,
        "model_version": scored.facts.version,
    }
