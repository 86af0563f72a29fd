"""Dialect: how one API's requests become an :class:`Ask`, and scores or refusals become its replies."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictStr, ValidationError

from darl.serving.core import Ask, Scored
from darl.serving.limits import too_many
from darl.serving.refusals import Refusal


def _whole(value: Any) -> Any:
    # JSON knows one kind of number: 3.0 is a whole one. A text or a truth value is none. An int is whole of any size,
    # beyond what a float can hold too.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value % 1:  # of ∞ or NaN: NaN, which is true
        raise ValueError("must be a whole number")
    return int(value)


Whole = Annotated[int, BeforeValidator(_whole)]
TopN = Annotated[Whole, Field(ge=1, description="How many results to return; default all.")]
Text = StrictStr
Flag = StrictBool
# A list of thousands of wrong entries costs one error, not thousands: `fail_fast` wherever a list is read.
TwoTexts = Annotated[list[Text], Field(min_length=2, max_length=2, fail_fast=True)]
AskOOD = Annotated[
    Flag, Field(description="Also say how far each pair is from what the model was trained on (a second pass).")
]


LONE_PAIR = 2  # entries of a list that is one pair, as TEI's `inputs` may be


class RequestBody(BaseModel):
    """A request; keys that are not named are ignored, as clients send more than is documented."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, protected_namespaces=())


class TextDocument(RequestBody):
    """A document given as an object."""

    text: Text


class OOD(BaseModel):
    """How far out a pair is: larger scores are further; the percentile is among held-out known pairs."""

    score: float
    percentile: float = Field(ge=0, le=100)
    flag: bool


class ReplyBody(BaseModel):
    """A reply, for the schema and the tests; what is sent is built as plain JSON values."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class RankedResult(ReplyBody):
    """One document of a ranking. ``relevance_score`` is the calibrated expected gain in [0, 1]."""

    index: int = Field(ge=0)
    relevance_score: float = Field(ge=0, le=1)
    grade: int = Field(ge=0)
    grade_name: str
    grade_probs: list[float]
    document: TextDocument | None = None
    ood: OOD | None = None


class Usage(ReplyBody):
    """Tokens as the model's tokenizer counts them, template and cut-offs included."""

    prompt_tokens: int
    total_tokens: int


class Dialect(ABC):
    """One API.

    Attributes:
        name: in logs, metrics and the traffic log.
        body: the request's model. reply_body: the reply's, for the OpenAPI schema.
        error_body: the error's, for the OpenAPI schema. example: a request.
        lists: the body's keys, aliases too, under which a list has an entry for each pair.
    """

    name: ClassVar[str]
    body: ClassVar[type[RequestBody]]
    reply_body: ClassVar[Any]
    error_body: ClassVar[type[ReplyBody]]
    example: ClassVar[dict[str, Any]]
    lists: ClassVar[tuple[str, ...]]

    @abstractmethod
    def ask(self, body: Any) -> Ask:
        """The pairs of a valid request."""

    @abstractmethod
    def reply(self, ask: Ask, scored: Scored) -> Any:
        """The reply, as JSON values."""

    @abstractmethod
    def error(self, refusal: Refusal) -> Any:
        """The body of an error, as JSON values."""

    def status(self, refusal: Refusal) -> int:
        """The status of an error."""
        return refusal.status

    def read(self, data: dict[str, Any], most: int) -> Ask:
        """The pairs of a JSON object.

        Args:
            most: pairs that a request may have. A longer list is refused before its entries are looked at: a body of
                a few bytes an entry would hold up everybody else's requests.

        Raises:
            Refusal: the object is not of this dialect's shape, or a list is too long.
        """
        for name in self.lists:
            entries = data.get(name)
            if isinstance(entries, list) and len(entries) > max(most, LONE_PAIR):
                raise too_many(len(entries), most)
        try:
            return self.ask(self.body.model_validate(data))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ""
            for part in first["loc"]:
                place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
            raise Refusal("invalid", first["msg"].removeprefix("Value error, "), where=place or None) from error


def texts(documents: list[Any]) -> list[str]:
    """The texts of documents given as such or as objects."""
    return [document if isinstance(document, str) else document.text for document in documents]


def ranked(ask: Ask, scored: Scored, *, echo: bool) -> list[dict[str, Any]]:
    """The results of a ranking, best first; with the documents' texts where ``echo``."""
    found = []
    for row in scored.ranking(ask.top_n):
        result: dict[str, Any] = {"index": row, "relevance_score": scored.rows[row].relevance}
        if echo:
            result["document"] = {"text": ask.items[row]}
        found.append(result | scored.extras(row))
    return found


def usage(scored: Scored) -> dict[str, int]:
    """Tokens read."""
    return {"prompt_tokens": scored.tokens, "total_tokens": scored.tokens}


def logit(probability: float) -> float:
    """log(p / (1 − p)), bounded; its sigmoid gives the score back.

    >>> round(logit(0.9), 3), logit(0.0) < -20
    (2.197, True)
    """
    inside = min(max(probability, 1e-12), 1 - 1e-12)
    return math.log(inside / (1 - inside))
