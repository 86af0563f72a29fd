"""The probe against scikit-learn's logistic regression, and what must not change it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from darl.errors import ModelError
from darl.losses import make_loss
from darl.training.probe import Probe, fit_probe

K = 3


def blobs(n: int, seed: int, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Features of very different sizes, centred away from 0, and grades that depend on some of them."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, d))
    scores = np.column_stack([z[:, 0], z[:, 1] - 0.3, 0.8 * z[:, 2]]) + rng.gumbel(size=(n, K)) * 0.7
    size = np.array([0.01, 1.0, 30.0, 5.0, 0.3, 2.0][:d])
    return (z * size + 3 * size).astype(np.float32), scores.argmax(1)


TRAIN, DEV = blobs(300, 0), blobs(150, 1)


def probe(l2: list[float], *, train=TRAIN, dev=DEV, **options) -> Probe:
    return fit_probe(*train, *dev, make_loss("cross_entropy", K), l2=l2, max_iterations=2000, **options)


def logits(found: Probe, features: np.ndarray) -> np.ndarray:
    out = features.astype(np.float64) @ found.weight.double().numpy().T
    return out if found.bias is None else out + found.bias.double().numpy()


def dev_nll(found: Probe) -> float:
    return float(-log_softmax(logits(found, DEV[0]), axis=1)[np.arange(len(DEV[1])), DEV[1]].mean())


def sklearn_logits(l2: float, *, bias: bool, weights: np.ndarray | None = None) -> np.ndarray:
    """The same optimum by scikit-learn: its C weighs the sum of losses against ½·‖W‖²."""
    x, y = TRAIN[0].astype(np.float64), TRAIN[1]
    share = np.full(len(x), 1 / len(x)) if weights is None else weights / weights.sum()
    mean = share @ x
    spread, centre = np.sqrt(share @ (x - mean) ** 2), mean if bias else 0.0
    model = LogisticRegression(C=1 / (2 * l2), fit_intercept=bias, tol=1e-10, max_iter=10_000)
    model.fit((x - centre) / spread, y, sample_weight=share)
    return model.decision_function((DEV[0] - centre) / spread)


def centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(1, keepdims=True)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_the_probe_is_scikit_learns_logistic_regression(l2: float, bias: bool) -> None:
    ours = logits(probe([l2], bias=bias), DEV[0])
    np.testing.assert_allclose(centred(ours), centred(sklearn_logits(l2, bias=bias)), atol=2e-3)


def test_the_probe_with_weights_is_scikit_learns() -> None:
    weights = np.random.default_rng(2).uniform(0.1, 3, len(TRAIN[1]))
    ours = logits(probe([1e-2], weights=weights), DEV[0])
    np.testing.assert_allclose(centred(ours), centred(sklearn_logits(1e-2, bias=True, weights=weights)), atol=2e-3)


def test_a_head_without_bias_gets_none() -> None:
    assert probe([1e-2], bias=False).bias is None


def test_lambda_is_the_one_with_the_least_nll_on_dev() -> None:
    tried = [1e-5, 1e-3, 1e-2, 1e-1, 10.0]
    found = probe(tried)
    alone = {l2: dev_nll(probe([l2])) for l2 in tried}
    assert found.l2 == min(alone, key=alone.__getitem__)
    assert 1e-5 < found.l2 < 10.0


def test_the_table_holds_every_lambda_and_its_nll_on_dev() -> None:
    found = probe([1e-3, 1e-1])
    assert [row["l2"] for row in found.table] == [1e-1, 1e-3]
    assert next(row["dev_nll"] for row in found.table if row["l2"] == found.l2) == pytest.approx(dev_nll(found))


def test_weights_are_repetition() -> None:
    counts = np.random.default_rng(3).integers(1, 4, len(TRAIN[1]))
    weighted = probe([1e-2], weights=counts.astype(float))
    repeated = probe([1e-2], train=(np.repeat(TRAIN[0], counts, axis=0), np.repeat(TRAIN[1], counts)))
    np.testing.assert_allclose(logits(weighted, DEV[0]), logits(repeated, DEV[0]), atol=2e-3)


def test_class_weights_are_weights_of_a_grades_pairs() -> None:
    by_grade = np.array([1.0, 4.0, 0.5])
    loss = make_loss("cross_entropy", K)
    one = fit_probe(*TRAIN, *DEV, loss, l2=[1e-2], class_weights=torch.tensor(by_grade), max_iterations=2000)
    even = probe([1e-2])
    shares = [np.bincount(logits(found, DEV[0]).argmax(1), minlength=K) / len(DEV[1]) for found in (one, even)]
    assert shares[0][1] > shares[1][1]
    assert shares[0][2] < shares[1][2]


def test_the_size_and_place_of_the_features_do_not_matter() -> None:
    moved = [(x * np.float32(4) + np.float32(2), y) for x, y in (TRAIN, DEV)]
    there = probe([1e-2], train=moved[0], dev=moved[1])
    np.testing.assert_allclose(logits(there, moved[1][0]), logits(probe([1e-2]), DEV[0]), atol=2e-3)


@pytest.mark.parametrize("bias", [True, False])
def test_a_constant_feature_gets_no_weight(bias: bool) -> None:
    x, dev_x = (np.column_stack([features, np.full(len(features), 0.1, np.float32)]) for features in (TRAIN[0], DEV[0]))
    dev_x[:, -1] = 7.0  # a feature that was constant in training may be anything later
    found = probe([1e-3], train=(x, TRAIN[1]), dev=(dev_x, DEV[1]), bias=bias)
    assert found.weight[:, -1].abs().max() == 0
    np.testing.assert_allclose(logits(found, dev_x), logits(probe([1e-3], bias=bias), DEV[0]), atol=2e-3)


def test_the_probe_is_deterministic() -> None:
    one, two = probe([1e-3, 1e-2]), probe([1e-3, 1e-2])
    assert torch.equal(one.weight, two.weight)


@pytest.mark.parametrize("name", ["occ", "focal", "soft_ordinal", "squared_emd", "label_smoothing"])
def test_other_losses_fit_too(name: str) -> None:
    loss = make_loss(name, K)
    if loss.needs_prior:
        loss.set_prior(np.bincount(TRAIN[1]).tolist())
    found = fit_probe(*TRAIN, *DEV, loss, l2=[1e-3])
    assert (logits(found, DEV[0]).argmax(1) == DEV[1]).mean() > 0.5


def test_features_that_are_not_finite_are_named() -> None:
    broken = TRAIN[0].copy()
    broken[0, 0] = np.nan
    with pytest.raises(ModelError, match="not finite"):
        probe([1e-2], train=(broken, TRAIN[1]))


def test_a_judge_of_the_callers_chooses_lambda() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(60, 4)).astype("float32"), rng.integers(0, 2, 60)
    seen: list[float] = []

    def judge(logits: np.ndarray) -> float:
        seen.append(float(np.abs(logits).mean()))
        return seen[-1]  # the largest logits, which the smallest penalty has

    found = fit_probe(x, y, x, y, make_loss("cross_entropy", 2), l2=[1.0, 1e-3, 0.1], judge=judge)
    assert found.l2 == 1e-3
    assert [row["dev_value"] for row in found.table] == seen


@pytest.mark.parametrize("spread", [0.1, 2.0])
def test_a_calmed_head_has_the_spread_asked_for_and_decides_alike(spread: float) -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(80, 4)).astype("float32") * 50, rng.integers(0, 3, 80)
    found = fit_probe(x, y, x, y, make_loss("cross_entropy", 3), l2=[1e-3])
    calm = found.calmed(found.logits(x), spread)
    logits = calm.logits(x)
    assert (logits - logits.mean(1, keepdims=True)).std(0).mean() == pytest.approx(spread, rel=1e-4)
    assert (logits.argmax(1) == found.logits(x).argmax(1)).all()
