"""The figures of agreement with gold, held against scikit-learn, numpy and a bootstrap written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from judge_world import SCALE
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix

from darl.labelling.judge.asking import Verdict
from darl.labelling.judge.gold import gold_agreement
from darl.labelling.judge.parsing import Reading
from darl.labelling.judge.votes import Judgement, judgement, judgements

RNG = np.random.default_rng(7)
GOLD = RNG.integers(0, 3, 200)
SAID = np.where(RNG.random(200) < 0.7, GOLD, RNG.integers(0, 3, 200))
GROUPS = np.repeat(np.arange(50), 4)


def said(grades: np.ndarray, share: float = 1.0) -> list[Judgement]:
    return [Judgement(int(grade), share, (int(grade),)) for grade in grades]


def test_the_figures_are_those_of_scikit_learn() -> None:
    found = gold_agreement(SCALE, GOLD, said(SAID), GROUPS)
    assert found.value("accuracy") == pytest.approx(accuracy_score(GOLD, SAID))
    assert found.value("kappa") == pytest.approx(cohen_kappa_score(GOLD, SAID))
    assert found.value("qwk") == pytest.approx(cohen_kappa_score(GOLD, SAID, weights="quadratic"))
    assert found.confusion.tolist() == confusion_matrix(GOLD, SAID).tolist()
    assert found.bias == pytest.approx([(SAID - GOLD)[grade == GOLD].mean() for grade in range(3)])
    assert found.mean_bias == pytest.approx((SAID - GOLD).mean())
    assert found.agreement.share == found.value("accuracy")
    assert (found.pairs, found.queries) == (200, 50)


def test_intervals_draw_whole_queries() -> None:
    """Against a plain bootstrap; and wider where the pairs of a query go wrong together."""
    found = gold_agreement(SCALE, GOLD, said(SAID), GROUPS, draws=4000)
    rng, drawn = np.random.default_rng(1), []
    for _ in range(2000):
        rows = (rng.integers(0, 50, 50)[:, None] * 4 + np.arange(4)).ravel()
        drawn.append((GOLD[rows] == SAID[rows]).mean())
    low, high = np.quantile(drawn, [0.025, 0.975])
    interval = found.intervals["accuracy"]
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.015)
    together = np.where(np.repeat(RNG.random(50) < 0.7, 4), GOLD, (GOLD + 1) % 3)
    clustered = gold_agreement(SCALE, GOLD, said(together), GROUPS).intervals["accuracy"]
    alone = gold_agreement(SCALE, GOLD, said(together), np.arange(200)).intervals["accuracy"]
    assert clustered.high - clustered.low > 1.5 * (alone.high - alone.low)


def test_pairs_without_a_grade_are_counted_and_not_judged() -> None:
    some = [*said(SAID[:150]), *[Judgement(None, 0.0, (), problem="it is empty")] * 50]
    found = gold_agreement(SCALE, GOLD, some, GROUPS)
    assert (found.pairs, found.agreement.n) == (200, 150)
    assert found.value("accuracy") == pytest.approx((GOLD == SAID)[:150].mean())
    none = gold_agreement(SCALE, GOLD, [Judgement(None, 0.0, ())] * 200, GROUPS)
    assert none.agreement.n == 0
    assert math.isnan(none.value("qwk"))
    assert none.to_dict()["mean_bias"] is None
    assert "on 0 of 200 gold pairs" in none.to_text()


def test_a_judge_with_one_word_has_no_kappa() -> None:
    found = gold_agreement(SCALE, [1] * 4, said(np.ones(4)), np.arange(4))
    assert found.value("accuracy") == 1
    assert math.isnan(found.value("qwk"))
    assert "QWK – [–, –]" in found.to_text()


def test_what_confidence_is_worth() -> None:
    sure, unsure = said(GOLD[:80]), said((GOLD[80:120] + 1) % 3, share=2 / 3)
    found = gold_agreement(SCALE, GOLD[:120], [*sure, *unsure], np.arange(120))
    assert found.by_confidence == [(1.0, 80, 1.0), (2 / 3, 40, 0.0)]
    assert "right by confidence: 100% of samples agree: 100% of 80 · 67% of samples agree: 0% of 40" in found.to_text()


def test_the_text_holds_the_table() -> None:
    text = gold_agreement(SCALE, [0, 0, 1, 2], said(np.array([0, 1, 1, 1])), np.arange(4)).to_text().splitlines()
    assert text[0].startswith("on 4 of 4 gold pairs (4 queries): same grade 0.500 [0.00, 1.00], kappa")
    assert [line.split() for line in text[2:5]] == [
        ["irrelevant", "1", "1", "0", "+0.50"],
        ["weak", "0", "1", "0", "+0.00"],
        ["strong", "0", "1", "0", "-1.00"],
    ]
    assert len({len(line) for line in text[1:5]}) == 1


@pytest.mark.parametrize(
    ("grades", "grade", "share"),
    [
        ([2, 2, 1], 2, 2 / 3),
        ([1, 1, 1], 1, 1.0),
        ([None, 2, None], 2, 1 / 3),
        ([0, 1, None], None, 1 / 3),
        ([0, 1, 2], None, 1 / 3),
        ([None, None], None, 0.0),
    ],
)
def test_votes(grades: list[int | None], grade: int | None, share: float) -> None:
    verdicts = [
        Verdict(0, at, Reading(one, problem="" if one is not None else "it is empty")) for at, one in enumerate(grades)
    ]
    found = judgement(verdicts)
    assert (found.grade, found.share) == (grade, pytest.approx(share))
    assert bool(found.problem) == (grade is None)
    assert judgements(reversed(verdicts), 1)[0].votes == found.votes


def test_too_little_confidence_decides_nothing() -> None:
    verdicts = [Verdict(0, at, Reading(grade)) for at, grade in enumerate((2, 2, 1))]
    assert judgement(verdicts, least=0.6).grade == 2
    assert judgement(verdicts, least=0.7).problem == "only 2 of 3 samples agree"
