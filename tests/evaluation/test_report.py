"""Evaluations, the ID–OOD gap, comparisons, and how they are shown."""

import json

import numpy as np
import pytest

from darl.errors import DataError
from darl.evaluation import (
    HEADLINE,
    Comparison,
    Evaluation,
    Predictions,
    SplitEvaluation,
    compare_predictions,
    evaluate_predictions,
    render,
)
from darl.grades import GradeScale

SCALE = GradeScale(("bad", "fair", "good"))


def task(n=600, seed=0, noise=0.6, K=3):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, K, n)
    logits = -((truth[:, None] + noise * rng.normal(size=(n, 1)) - np.arange(K)) ** 2) / (2 * noise**2)
    p = np.exp(logits)
    return truth, p / p.sum(1, keepdims=True), rng.integers(0, n // 4, n)


def evaluated(seed=0, **kwargs):
    truth, p, groups = task(seed=seed, **kwargs)
    return evaluate_predictions(truth, p, p.argmax(1), scale=SCALE, groups=groups, bootstrap=200, seed=seed)


def test_every_headline_metric_lies_in_its_interval():
    found = evaluated()
    assert list(found.metrics)[: len(HEADLINE)] != []
    assert set(HEADLINE) <= set(found.metrics)
    for name, interval in found.metrics.items():
        assert interval.low <= interval.estimate <= interval.high, name
    assert sum(map(sum, found.confusion)) == found.pairs == 600


def test_slices_by_column_with_the_small_ones_counted():
    truth, p, groups = task()
    slices = {"locale": ["us", "de", None] * 200, "category": [str(at // 100) if at < 500 else at for at in range(600)]}
    found = evaluate_predictions(
        truth, p, p.argmax(1), scale=SCALE, groups=groups, slices=slices, bootstrap=50, min_pairs=100
    )
    assert [(one.column, one.value, one.pairs) for one in found.slices][:2] == [
        ("locale", "de", 200),
        ("locale", "us", 200),
    ]
    assert found.slices_left_out == {"category": 100}
    rows = np.arange(600) % 3 == 0
    assert found.slices[1].metrics["accuracy"].estimate == pytest.approx((p.argmax(1) == truth)[rows].mean())
    with pytest.raises(DataError, match="locale"):
        evaluate_predictions(truth, p, p.argmax(1), scale=SCALE, groups=groups, slices={"locale": ["us"]})


def test_the_gap_is_id_minus_ood_with_an_interval():
    near, far = evaluated(0), evaluated(1, noise=1.5)
    found = Evaluation.of({"id": near, "ood": far}, id_split="id")
    gap = found.gap["ood"]
    assert gap["qwk"].estimate == pytest.approx(near.metrics["qwk"].estimate - far.metrics["qwk"].estimate)
    assert 0 < gap["qwk"].low < gap["qwk"].high
    assert gap["nll"].high < 0
    loaded = [SplitEvaluation.from_dict(split.to_dict()) for split in (near, far)]
    again = Evaluation.of({"id": loaded[0], "ood": loaded[1]}, id_split="id").gap["ood"]["qwk"]
    assert again.standard_error == pytest.approx(gap["qwk"].standard_error, rel=0.15)
    assert again.low == pytest.approx(gap["qwk"].low, abs=0.02)


def test_a_split_has_no_gap_to_its_like_and_a_wrong_name_is_named():
    one, two = evaluated(0), evaluated(7)
    gap = Evaluation.of({"id": one, "ood": two}, id_split="id").gap["ood"]["accuracy"]
    assert gap.low < 0 < gap.high
    assert Evaluation.of({"id": one}).gap == {}
    with pytest.raises(DataError, match="other"):
        Evaluation.of({"id": one}, id_split="other")


def test_json_round_trip_without_nan():
    found = Evaluation.of({"id": evaluated(0), "ood": evaluated(1)}, id_split="id")
    text = render(found, "json")
    assert Evaluation.from_dict(json.loads(text)).to_dict() == json.loads(text) == found.to_dict()
    for grades in ([0, 0], [1, 1]):  # one query, one grade: most figures are not defined
        p = np.array([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]])
        lone = evaluate_predictions(grades, p, grades, scale=SCALE, groups=["q", "q"])
        again = json.loads(render(lone, "json"))
        assert again["metrics"]["qwk"]["estimate"] is None
        assert again["metrics"]["accuracy"]["low"] is None
        assert "ndcg@5" not in again["metrics"]
        assert SplitEvaluation.from_dict(again).to_dict() == again
        assert "–" in render(lone)


@pytest.mark.parametrize("K", [2, 7])
def test_any_number_of_grades(K):
    truth, p, groups = task(K=K)
    scale = GradeScale(tuple(f"g{k}" for k in range(K)))
    found = evaluate_predictions(truth, p, p.argmax(1), scale=scale, groups=groups, bootstrap=20)
    assert sum(name.startswith("auc_ge_") for name in found.metrics) == K - 1
    assert len(found.per_grade["f1"]) == K


def test_no_bootstrap_gives_bare_figures():
    truth, p, groups = task()
    found = evaluate_predictions(truth, p, p.argmax(1), scale=SCALE, groups=groups, bootstrap=0)
    assert np.isnan(found.metrics["qwk"].low)
    assert "[" not in render(found).splitlines()[4]


def test_the_better_model_is_named_in_the_right_direction():
    truth, p, groups = task()
    flat = (p + 1) / (p + 1).sum(1, keepdims=True)
    noisy = np.random.default_rng(0).permutation(p)
    good, bad = Predictions(p, p.argmax(1), name="good"), Predictions(noisy, noisy.argmax(1), name="bad")
    options = {"grades": truth, "scale": SCALE, "groups": groups, "bootstrap": 300}
    one, two = compare_predictions(good, bad, **options), compare_predictions(bad, good, **options)
    for name in HEADLINE:
        if name != "ece":
            assert one.metrics[name].verdict == two.metrics[name].verdict == "good is better", name
            assert (one.metrics[name].better, two.metrics[name].better) == ("a", "b")
        assert one.metrics[name].difference.difference.low == pytest.approx(
            -two.metrics[name].difference.difference.high
        )
    soft = compare_predictions(good, Predictions(flat, p.argmax(1)), **options)
    assert soft.metrics["accuracy"].verdict.startswith("no difference that these 1")
    assert soft.metrics["nll"].verdict == "good is better"


def test_the_same_model_twice_differs_by_exactly_nothing():
    truth, p, groups = task()
    same = Predictions(p, p.argmax(1))
    found = compare_predictions(same, same, grades=truth, scale=SCALE, groups=groups, bootstrap=100)
    for row in found.metrics.values():
        interval = row.difference.difference
        assert (interval.estimate, interval.low, interval.high, row.difference.p) == (0, 0, 0, 1)
        assert row.better is None


def test_one_query_cannot_show_a_difference():
    truth, p, _ = task(n=20)
    one = Predictions(p, p.argmax(1))
    found = compare_predictions(one, one, grades=truth, scale=SCALE, groups=["q"] * 20)
    assert found.metrics["accuracy"].verdict == "one query cannot show a difference"


def test_renderings_of_a_comparison():
    truth, p, groups = task()
    a, b = Predictions(p, p.argmax(1), name="old|1"), Predictions(p[:, ::-1], p[:, ::-1].argmax(1), name="new")
    found = compare_predictions(a, b, grades=truth, scale=SCALE, groups=groups, bootstrap=50)
    again = json.loads(render(found, "json"))
    assert Comparison.from_dict(again).to_dict() == again
    markdown = render(found, "markdown")
    assert "old\\|1" in markdown
    assert len({line.replace("\\|", "").count("|") for line in markdown.splitlines() if line.startswith("|")}) == 1
    text = render(found)
    assert "old|1 is better" in text
    assert "NLL ↓" in text
    assert max(map(len, text.splitlines())) <= 160
    assert max(map(len, render(found, width=90).splitlines())) <= 90
    with pytest.raises(DataError, match="pdf"):
        render(found, "pdf")
