"""Text Embeddings Inference: ``POST /rerank`` with ``texts``, and ``POST /predict``."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, RootModel

from darl.serving.core import Ask, Scored
from darl.serving.dialects.base import OOD, AskOOD, Dialect, Flag, ReplyBody, RequestBody, Text, TwoTexts, logit
from darl.serving.refusals import Kind, Refusal

Direction = Literal["right", "Right", "left", "Left"]
ERRORS: dict[Kind, tuple[int, str]] = {
    "empty": (400, "empty"),
    "too_many": (413, "validation"),
    "too_large": (413, "validation"),
    "unscorable": (424, "backend"),
    "worker_died": (503, "backend"),
    "overloaded": (429, "overloaded"),
    "not_ready": (503, "unhealthy"),
    "draining": (503, "unhealthy"),
    "deadline": (503, "overloaded"),
    "no_key": (401, "unauthorized"),
    "defect": (500, "backend"),
}


class Options(RequestBody):
    """``truncate`` and its direction are accepted: the model always cuts the item's end, never the query first."""

    raw_scores: Flag = False
    truncate: Flag | None = None
    truncation_direction: Direction = "right"
    ood: AskOOD = False


class Rerank(Options):
    query: Text
    texts: Annotated[list[Text], Field(fail_fast=True)]
    return_text: Flag = False


class Predict(Options):
    """One pair or several; a lone text is refused, as there is nothing to judge it by."""

    inputs: Annotated[list[TwoTexts], Field(min_length=1, fail_fast=True)] | TwoTexts


class Rank(ReplyBody):
    index: int
    score: float
    text: str | None = None
    grade: int
    grade_name: str
    grade_probs: list[float]
    ood: OOD | None = None


class Label(ReplyBody):
    label: str
    score: float


class RerankReply(RootModel[list[Rank]]):
    pass


class PredictReply(RootModel[list[list[Label]] | list[Label]]):
    pass


class Error(ReplyBody):
    error: str
    error_type: str


class _TEI(Dialect):
    error_body = Error

    def error(self, refusal: Refusal) -> dict[str, Any]:
        return {"error": refusal.message, "error_type": ERRORS.get(refusal.kind, (0, "validation"))[1]}

    def status(self, refusal: Refusal) -> int:
        return ERRORS[refusal.kind][0] if refusal.kind in ERRORS else refusal.status


class TEIRerank(_TEI):
    """A bare list, best first. ``score`` is the relevance score; raw, the number whose sigmoid it is."""

    name = "tei"
    lists = ("texts",)
    body, reply_body = Rerank, RerankReply
    example: ClassVar[dict[str, Any]] = {
        "query": "cat insurance",
        "texts": ["Vet fee cover for cats", "Motor breakdown cover"],
        "return_text": True,
    }

    def ask(self, body: Rerank) -> Ask:
        options = {"raw": body.raw_scores, "echo": body.return_text}
        return Ask([body.query] * len(body.texts), body.texts, body.ood, None, options)

    def reply(self, ask: Ask, scored: Scored) -> list[dict[str, Any]]:
        found = []
        for row in scored.ranking(None):
            relevance = scored.rows[row].relevance
            rank: dict[str, Any] = {"index": row, "score": logit(relevance) if ask.options["raw"] else relevance}
            if ask.options["echo"]:
                rank["text"] = ask.items[row]
            found.append(rank | scored.extras(row))
        return found


class TEIPredict(_TEI):
    """Per pair the grades by name, the likeliest first. Raw scores are log-probabilities."""

    name = "tei_predict"
    lists = ("inputs",)
    body, reply_body = Predict, PredictReply
    example: ClassVar[dict[str, Any]] = {"inputs": [["cat insurance", "Vet fee cover for cats"]]}

    def ask(self, body: Predict) -> Ask:
        lone = bool(body.inputs) and isinstance(body.inputs[0], str)
        pairs: list[Any] = [body.inputs] if lone else list(body.inputs)
        options = {"raw": body.raw_scores, "lone": lone}
        return Ask([pair[0] for pair in pairs], [pair[1] for pair in pairs], body.ood, None, options)

    def reply(self, ask: Ask, scored: Scored) -> list[Any]:
        found = []
        for row in scored.rows:
            labels = [
                {"label": name, "score": math.log(max(p, 1e-12)) if ask.options["raw"] else p}
                for name, p in zip(scored.facts.grades, row.probabilities, strict=True)
            ]
            found.append(sorted(labels, key=lambda label: -label["score"]))
        return found[0] if ask.options["lone"] else found
