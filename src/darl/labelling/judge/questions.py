"""The questions of a job: one for each pair and sample, with the key under which its answers are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from darl.labelling.judge.prompt import GradePrompt, framed, shown_fields
from darl.labelling.judge.settings import JudgeSettings


@dataclass(frozen=True)
class Question:
    """One sample of one pair.

    Attributes:
        pair: the pair's place among those to judge. sample: 0 … samples − 1.
        content: the pair as the judge sees it.
        key: of endpoint, model, what is sent with it, prompt, pair and sample.
    """

    pair: int
    sample: int
    content: str
    key: str


def questions(records: Sequence[dict[str, Any]], prompt: GradePrompt, settings: JudgeSettings) -> Iterator[Question]:
    """The questions, all samples of a pair after one another.

    >>> from darl.grades import GradeScale
    >>> prompt, settings = GradePrompt(GradeScale(("bad", "good"))), JudgeSettings("http://a/v1", "m", samples=2)
    >>> found = list(questions([{"query": "lamp", "item": "desk lamp"}], prompt, settings))
    >>> [one.sample for one in found], found[0].key == found[1].key
    ([0, 1], False)
    """
    start = hashlib.sha256(json.dumps([settings.identity(), prompt.hash, prompt.reason]).encode())
    for pair, record in enumerate(records):
        content = framed(shown_fields(record, prompt.show))
        for sample in range(settings.samples):
            own = start.copy()
            own.update(json.dumps([content, sample]).encode())
            yield Question(pair, sample, content, own.hexdigest())
