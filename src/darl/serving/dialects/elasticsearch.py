"""Elasticsearch: ``POST /_inference/rerank/{id}``, and the same body at ``/rerank``."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from darl.serving.core import Ask, Scored
from darl.serving.dialects.base import OOD, AskOOD, Dialect, Flag, ReplyBody, RequestBody, Text, TopN
from darl.serving.refusals import Refusal


class TaskSettings(RequestBody):
    top_n: TopN | None = None
    return_documents: Flag | None = None


class Rerank(RequestBody):
    query: Text
    input: Text | Annotated[list[Text], Field(min_length=1, fail_fast=True)]
    top_n: TopN | None = None
    return_documents: Flag | None = None
    task_settings: TaskSettings = TaskSettings()
    ood: AskOOD = False


class Result(ReplyBody):
    index: int
    relevance_score: float = Field(ge=0, le=1)
    text: str | None = None
    grade: int
    grade_name: str
    grade_probs: list[float]
    ood: OOD | None = None


class RerankReply(ReplyBody):
    rerank: list[Result]


class Cause(ReplyBody):
    type: str
    reason: str


class Error(ReplyBody):
    error: Cause
    status: int


class Elasticsearch(Dialect):
    """Results best first, with texts unless ``return_documents`` is false."""

    name = "elasticsearch"
    lists = ("input",)
    body, reply_body, error_body = Rerank, RerankReply, Error
    example: ClassVar[dict[str, Any]] = {
        "query": "cat insurance",
        "input": ["Vet fee cover for cats", "Motor breakdown cover"],
    }

    def ask(self, body: Rerank) -> Ask:
        items = [body.input] if isinstance(body.input, str) else body.input
        own, task = body, body.task_settings
        top_n = own.top_n if own.top_n is not None else task.top_n
        echo = own.return_documents if own.return_documents is not None else task.return_documents
        return Ask([body.query] * len(items), items, body.ood, top_n, {"echo": echo is not False})

    def reply(self, ask: Ask, scored: Scored) -> dict[str, Any]:
        found = []
        for row in scored.ranking(ask.top_n):
            result: dict[str, Any] = {"index": row, "relevance_score": scored.rows[row].relevance}
            if ask.options["echo"]:
                result["text"] = ask.items[row]
            found.append(result | scored.extras(row))
        return {"rerank": found}

    def error(self, refusal: Refusal) -> dict[str, Any]:
        kinds = {400: "validation_exception", 401: "security_exception", 413: "content_too_long_exception"}
        kinds |= {429: "es_rejected_execution_exception", 503: "service_unavailable_exception"}
        status = self.status(refusal)
        cause = {"type": kinds.get(status, "status_exception"), "reason": refusal.message}
        return {"error": {"root_cause": [cause], **cause}, "status": status}

    def status(self, refusal: Refusal) -> int:
        return 400 if refusal.status == 422 else refusal.status
