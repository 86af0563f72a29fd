"""Reading an answer strictly: it names exactly one grade of the scale, or it is no answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from darl.errors import GradeError
from darl.grades import GradeScale

_THOUGHTS = re.compile(r"\A\s*<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_BARE = re.compile(r"\A(?:(?:the )?(?:grade|answer)\s*(?:is|[:=])\s*)?(.*?)\.?\Z", re.IGNORECASE | re.DOTALL)
_LONGEST_REASON = 1_000


@dataclass(frozen=True)
class Reading:
    """What an answer says: a grade and perhaps its reason, or else what is wrong with it."""

    grade: int | None = None
    reason: str = ""
    problem: str = ""


def read_answer(text: str | None, scale: GradeScale, *, finish: str | None = None) -> Reading:
    """The grade that an answer names.

    Taken are a JSON object with the key ``grade`` (in a code block or between words too), and a grade's name or number
    alone, perhaps as ``Grade: …``. Where several objects, or one key given twice, name different grades, none counts:
    nothing is guessed. What stands in ``<think>`` before the answer is passed over.

    Args:
        text: the content of the answer.
        scale: the grades.
        finish: why the answer ended, as the endpoint said (``stop``, ``length``, …).

    >>> scale = GradeScale(("irrelevant", "weak", "strong"))
    >>> read_answer('{"grade": "Weak"}', scale).grade, read_answer("**strong**", scale).grade
    (1, 2)
    >>> read_answer("weak or strong", scale).problem
    'it names no grade: weak or strong'
    """
    rest = _THOUGHTS.sub("", text or "").strip()
    if not rest:
        return Reading(problem="it is empty" + (", cut off at max_tokens" if finish == "length" else ""))
    objects = _objects(rest)
    if not objects:
        bare = _BARE.fullmatch(rest.strip("`*\"'“”「」 \n\t"))
        try:
            return Reading(scale.parse((bare[1] if bare else rest).strip("`*\"'“”「」 ")))
        except GradeError:
            cut = "it was cut off at max_tokens: " if finish == "length" else "it names no grade: "
            return Reading(problem=cut + _short(rest))
    readings = []
    for given in objects:
        try:
            readings.append(Reading(scale.parse(given["grade"]), _reason(given.get("reason"))))
        except GradeError:
            return Reading(problem=f"{_short(str(given['grade']))} is not on the scale")
    if len({one.grade for one in readings}) > 1:
        return Reading(problem=f"it names several grades: {_short(rest)}")
    return readings[0]


class _Object(dict[str, Any]):
    """A JSON object that remembers every value of a key given twice."""

    def __init__(self, items: list[tuple[str, Any]]) -> None:
        super().__init__(items)
        self.grades = [value for key, value in items if key == "grade"]


def _objects(text: str) -> list[dict[str, Any]]:
    """The outermost JSON objects in a text that have a key ``grade``, once for each value of that key."""
    found: list[dict[str, Any]] = []
    decoder, start = json.JSONDecoder(object_pairs_hook=_Object), text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except ValueError:
            end = start + 1
        except RecursionError:  # thousands of open braces: no answer, and each of them would be tried
            break
        else:
            found += [{**value, "grade": grade} for grade in value.grades]
        start = text.find("{", end)
    return found


def _reason(value: Any) -> str:
    return " ".join(value.split())[:_LONGEST_REASON] if isinstance(value, str) else ""


def _short(text: str, limit: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
