"""Agreement figures against scikit-learn and scipy, and what is counted in them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_world import SCALE, answer, begin
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from darl.labelling import Answer, Answers, agreement_report, read_answers
from darl.labelling.answering import enter
from darl.labelling.figures import cohen_kappa, wilson


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60))
def test_between_annotators_as_scikit_learn_says(grades: list[tuple[int, int]]) -> None:
    rows = [
        Answer(f"q{i}", "item", name, "grade", pair[side])
        for i, pair in enumerate(grades)
        for side, name in enumerate(("ann", "bo"))
    ]
    found = agreement_report(Answers(SCALE, rows)).between["ann", "bo"]
    a, b = [pair[0] for pair in grades], [pair[1] for pair in grades]
    assert (found.n, found.share) == (len(grades), pytest.approx(np.mean(np.array(a) == np.array(b))))
    one_grade = len({*a, *b}) == 1  # chance agrees throughout: not defined, and scikit-learn warns
    for mine, weights in ((found.kappa, None), (found.qwk, "quadratic")):
        if one_grade:
            assert math.isnan(mine)
        else:
            assert mine == pytest.approx(cohen_kappa_score(a, b, labels=[0, 1, 2], weights=weights), abs=1e-9)


@given(n=st.integers(1, 400), share=st.floats(0, 1))
def test_wilson_as_scipy_says(n: int, share: float) -> None:
    hits = round(share * n)
    wanted = binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits, n) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_what_counts_in_which_figure(tmp_path: Path) -> None:
    project = begin(tmp_path / "a.sqlite", 40, gold=9, gold_share=0.2, repeat_share=0.2, repeat_gap=3, overlap=0.4)
    ann, bo = enter(project, "Ann"), enter(project, "Bo")
    for _ in range(40):
        answer(project, ann, 1, seconds=3.0)
        answer(project, bo, outcome="cannot_tell")
    found = read_answers(tmp_path / "a.sqlite")
    report = agreement_report(found)
    first, second = report.annotators
    assert (first.annotator, first.answers, first.cannot_tell, first.median_seconds) == ("Ann", 40, 0, 3.0)
    golden = [one for one in found.rows if one.annotator == "Ann" and one.gold is not None]
    assert first.gold.n == len(golden) == 8
    assert first.gold.share == pytest.approx(np.mean([one.gold == 1 for one in golden]))
    assert first.itself.n == sum(one.attempt == 1 for one in found.rows) > 4
    assert first.itself.share == 1.0
    assert (second.cannot_tell, second.gold.n, second.median_seconds) == (40, 0, None)
    assert report.between == {}
    assert "no two annotators" in report.to_text()
    assert report.to_dict()["mean"] == {"share": None, "kappa": None, "qwk": None}


def test_means_are_weighted_by_shared_pairs() -> None:
    rows = [Answer(f"q{i}", "x", "ann", "grade", i % 3) for i in range(12)]
    rows += [Answer(f"q{i}", "x", "bo", "grade", i % 3) for i in range(9)]  # agrees on 9
    rows += [Answer(f"q{i}", "x", "cy", "grade", (i + 1) % 3) for i in range(9, 12)]  # differs on 3
    report = agreement_report(Answers(SCALE, rows))
    assert set(report.between) == {("ann", "bo"), ("ann", "cy")}
    assert report.mean_share == pytest.approx(9 / 12)
    text = report.to_text()
    assert "ann, bo: 100% of 9 [70%, 100%] · 1.00 · 1.00" in text
    assert "mean, weighted by shared pairs: 0.75" in text


def test_kappa_of_nothing_is_nothing() -> None:
    assert math.isnan(cohen_kappa(np.zeros((3, 3))))
    assert all(math.isnan(end) for end in wilson(0, 0))
