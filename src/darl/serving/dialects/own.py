"""darl's own: ``POST /v1/relevance``, everything that the model knows of each pair, in the request's order."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from darl.serving.core import Ask, Scored
from darl.serving.dialects.base import OOD, Dialect, Flag, ReplyBody, RequestBody, Text, Usage, Whole, usage
from darl.serving.refusals import Refusal

MOST_NEAREST = 10
Items = Annotated[list[Text], Field(min_length=1, fail_fast=True)]


class Pair(RequestBody):
    query: Text
    item: Text


class Relevance(RequestBody):
    """A query with items, or any pairs."""

    query: Text | None = None
    items: Items | None = None
    pairs: Annotated[list[Pair], Field(min_length=1, fail_fast=True)] | None = None
    ood: Annotated[Flag, Field(description="Say how far out each pair is; false saves a second pass.")] = True
    nearest: Annotated[
        Whole, Field(ge=0, le=MOST_NEAREST, description="How many of the nearest training pairs to name.")
    ] = 0

    @model_validator(mode="after")
    def _one_way(self) -> Relevance:
        if (self.pairs is None) == (self.query is None) or (self.query is None) != (self.items is None):
            raise ValueError("give 'query' and 'items', or 'pairs'")
        return self


class NearPair(ReplyBody):
    """A training pair; ``distance`` is 1 − cosine in the OOD reference's features. Long texts are cut."""

    query: str
    item: str
    grade: int
    grade_name: str
    distance: float = Field(ge=0, le=2)


class PairRelevance(ReplyBody):
    grade: int
    grade_name: str
    grade_probs: list[float]
    relevance_score: float = Field(ge=0, le=1)
    ood: OOD | None
    nearest: list[NearPair] | None = None
    """Where asked for; null where the server does not know them: ``no_nearest`` at ``/info`` says why."""
    model_version: str


class RelevanceReply(ReplyBody):
    """``grade_probs`` and ``grade`` follow the order of ``grades``, least relevant first."""

    id: str
    model: str
    model_version: str
    grades: list[str]
    results: list[PairRelevance]
    usage: Usage


class Problem(ReplyBody):
    type: str
    what: str
    where: str | None = None


class Error(ReplyBody):
    error: Problem


class Own(Dialect):
    """Per pair the grade, its probabilities, the relevance score and, unless not wanted, the OOD figures."""

    name = "darl"
    lists = ("items", "pairs")
    body, reply_body, error_body = Relevance, RelevanceReply, Error
    example: ClassVar[dict[str, Any]] = {
        "query": "cat insurance",
        "items": ["Vet fee cover for cats", "Motor breakdown cover"],
    }

    def ask(self, body: Relevance) -> Ask:
        if body.pairs is not None:
            queries, items = [pair.query for pair in body.pairs], [pair.item for pair in body.pairs]
        else:
            items = body.items or []
            queries = [body.query or ""] * len(items)
        return Ask(queries, items, body.ood, nearest=body.nearest)

    def reply(self, ask: Ask, scored: Scored) -> dict[str, Any]:
        version = scored.facts.version
        return {
            "id": scored.request_id,
            "model": scored.model,
            "model_version": version,
            "grades": list(scored.facts.grades),
            "results": [
                {
                    "relevance_score": found.relevance,
                    **scored.extras(row),
                    "ood": scored.ood_of(row),
                    **({"nearest": found.nearest} if ask.nearest else {}),
                    "model_version": version,
                }
                for row, found in enumerate(scored.rows)
            ],
            "usage": usage(scored),
        }

    def error(self, refusal: Refusal) -> dict[str, Any]:
        return {"error": {"type": refusal.kind, "what": refusal.what, "where": refusal.where}}
