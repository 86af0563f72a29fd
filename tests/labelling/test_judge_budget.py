"""The budget holds whatever the prices, the lengths of answers, second tries, failures, and starts of the job."""

from __future__ import annotations

import asyncio
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from judge_world import MODEL, SCALE

from darl.labelling.judge import BudgetError, JudgeSettings, Prices
from darl.labelling.judge.cache import AnswerCache
from darl.labelling.judge.endpoint import GaveUpError, Reply
from darl.labelling.judge.model import Judge
from darl.labelling.judge.prompt import GradePrompt, Message
from darl.labelling.judge.spending import message_tokens

GOLD, PAIRS = ([{"query": f"{kind} {i}", "item": f"item {i}"} for i in range(n)] for kind, n in (("g", 4), ("q", 12)))


@dataclass
class Till:
    """An endpoint without a network, and what it charges: answers of any length, in any order, some unreadable."""

    prices: Prices
    most: int
    counts: bool
    draw: random.Random
    fails: bool = False
    answered: int = 0
    prompt: float = 0.0
    completion: int = 0

    async def __aenter__(self) -> Till:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def ask(self, messages: list[Message]) -> Reply:
        await asyncio.sleep(self.draw.choice((0, 0, 0.001)))
        self.fails = not self.fails and self.draw.random() < 0.2  # never many in a row: that would end the job
        if self.fails:
            raise GaveUpError("a dropped connection")
        own = self.most if self.draw.random() < 0.5 else self.draw.randint(1, self.most)
        sent = int(message_tokens(messages)) if self.counts else None
        self.answered += 1
        self.prompt += message_tokens(messages) if sent is None else sent
        self.completion += own
        return Reply("hm" if self.draw.random() < 0.4 else '{"grade": "weak"}', "stop", sent, own)

    @property
    def cost(self) -> float:
        return self.prices.cost(self.prompt, self.completion)


@settings(max_examples=60, deadline=None)
@given(
    price=st.tuples(st.sampled_from([0.0, 0.1, 3.0, 1000.0]), st.sampled_from([0.15, 60.0, 1000.0])),
    most=st.sampled_from([1, 20, 256, 4000]),
    share=st.floats(0.02, 1.2),
    concurrency=st.integers(1, 16),
    counts=st.booleans(),
    seed=st.integers(0, 2**32),
)
@example(price=(0.0, 1.0), most=256, share=0.5, concurrency=8, counts=True, seed=0)
def test_no_job_costs_more_than_its_budget_gold_and_earlier_starts_included(
    price: tuple[float, float], most: int, share: float, concurrency: int, counts: bool, seed: int
) -> None:
    prompt = GradePrompt(SCALE)
    dearest = Prices(*price).cost(message_tokens(prompt.messages(PAIRS[-1], 1)), most)
    prices = Prices(*price, budget=share * dearest * (len(GOLD) + len(PAIRS)))
    till = Till(prices, most, counts, random.Random(seed))
    options: dict[str, Any] = {"max_tokens": most, "tries": 2, "concurrency": concurrency}
    asked = JudgeSettings("http://127.0.0.1/v1", MODEL, **options)
    with tempfile.TemporaryDirectory() as folder, AnswerCache(Path(folder) / "answers.sqlite") as cache:
        for _ in range(3):
            judge = Judge(asked, prompt, cache, prices=prices)
            judge.endpoint = till  # type: ignore[assignment]
            assert judge.estimate([*GOLD, *PAIRS]).spent == pytest.approx(till.cost)
            try:
                judge.grade(GOLD)
                judge.grade(PAIRS)
            except BudgetError:
                left = prices.budget - till.cost  # type: ignore[operator]
                assert left < 1.01 * dearest  # it stopped no sooner than it had to
            assert judge.spending.cost == pytest.approx(till.cost)
            # tokens counted are whole ones, and what a request will take is known but for such a part
            assert till.cost <= prices.budget * (1 + 1e-9) + counts * prices.cost(concurrency, 0)  # type: ignore[operator]
