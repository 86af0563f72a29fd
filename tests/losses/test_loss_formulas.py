"""Each loss against its formula in plain numpy or torch, and its limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax
from scipy.stats import wasserstein_distance
from torch.nn import functional as F

from darl.errors import GradeError, MissingGradeError, RecipeError
from darl.grades import GradeScale
from darl.losses import (
    OCC,
    CrossEntropy,
    Focal,
    LabelSmoothing,
    LogitNorm,
    MarginSmoothing,
    SoftOrdinal,
    SquaredEMD,
    gain_distances,
    soft_targets,
    step_distances,
)
from darl.losses.ordinal import neutral_targets, squared_emd

torch.set_num_threads(1)
K = 4


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, (20, K)), rng.integers(K, size=20)


def costs(loss, batch) -> np.ndarray:
    return loss.per_pair(torch.tensor(batch[0]), torch.tensor(batch[1])).numpy()


def cross_entropy(batch) -> np.ndarray:
    return -log_softmax(batch[0], axis=1)[np.arange(20), batch[1]]


def sord(y: np.ndarray, a: float) -> np.ndarray:
    raw = np.exp(-a * (np.arange(K)[None] - y[:, None]) ** 2.0)
    return raw / raw.sum(axis=1, keepdims=True)


def neutral_sord(y: np.ndarray, a: float) -> np.ndarray:
    """The ends leak as much as makes a tie between them and their neighbours a tie; found by bisection."""
    q = sord(np.arange(K), a)
    for end, near in ((0, 1), (K - 1, K - 2)):
        leak = np.exp(-a * (np.arange(K) - end) ** 2.0) * (np.arange(K) != end)

        def excess(c: float, leak: np.ndarray = leak, end: int = end, near: int = near) -> float:
            row = np.where(np.arange(K) == end, 1.0, c * leak)
            return (row[end] - row[near]) / row.sum() - (q[near, near] - q[near, end])

        c = brentq(excess, 1e-3, 1e3, xtol=1e-13)
        row = np.where(np.arange(K) == end, 1.0, c * leak)
        q[end] = row / row.sum()
    return q[y]


def emd2(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return ((p.cumsum(1) - q.cumsum(1))[:, :-1] ** 2).sum(1)


class TestClosedForms:
    def test_cross_entropy(self, batch):
        np.testing.assert_allclose(costs(CrossEntropy(K), batch), cross_entropy(batch))

    def test_class_weights_as_in_torch(self, batch):
        logits, grades, weight = torch.tensor(batch[0]), torch.tensor(batch[1]), torch.rand(K).double()
        expected = F.cross_entropy(logits, grades, weight=weight)
        torch.testing.assert_close(CrossEntropy(K)(logits, grades, class_weights=weight), expected)

    def test_label_smoothing(self, batch):
        target = 0.8 * np.eye(K)[batch[1]] + 0.2 / K
        expected = -(target * log_softmax(batch[0], axis=1)).sum(1)
        np.testing.assert_allclose(costs(LabelSmoothing(K, epsilon=0.2), batch), expected)

    @pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
    def test_focal(self, batch, gamma):
        p = softmax(batch[0], axis=1)[np.arange(20), batch[1]]
        np.testing.assert_allclose(costs(Focal(K, gamma=gamma), batch), -((1 - p) ** gamma) * np.log(p))

    def test_soft_ordinal(self, batch):
        expected = -(sord(batch[1], 1.3) * log_softmax(batch[0], axis=1)).sum(1)
        np.testing.assert_allclose(costs(SoftOrdinal(K, sharpness=1.3), batch), expected)

    def test_squared_emd(self, batch):
        expected = emd2(softmax(batch[0], axis=1), np.eye(K)[batch[1]])
        np.testing.assert_allclose(costs(SquaredEMD(K), batch), expected, atol=1e-12)
        mixed = expected + 0.5 * cross_entropy(batch)
        np.testing.assert_allclose(costs(SquaredEMD(K, ce_weight=0.5), batch), mixed)

    def test_margin_smoothing(self, batch):
        gaps = batch[0].max(axis=1, keepdims=True) - batch[0]
        expected = cross_entropy(batch) + 0.3 * np.maximum(gaps - 2, 0).mean(1)
        np.testing.assert_allclose(costs(MarginSmoothing(K, weight=0.3, margin=2.0), batch), expected)

    def test_logit_norm(self, batch):
        unit = batch[0] / np.linalg.norm(batch[0], axis=1, keepdims=True)
        expected = cross_entropy((unit / 0.5, batch[1]))
        np.testing.assert_allclose(costs(LogitNorm(K, temperature=0.5, floor=1e-9), batch), expected)

    @pytest.mark.parametrize("target", ["soft", "hard"])
    @pytest.mark.parametrize("tilt", [0.0, 0.7])
    @pytest.mark.parametrize("neutral", [True, False])
    def test_occ(self, batch, target, tilt, neutral):
        prior = np.array([0.6, 0.25, 0.1, 0.05])
        loss = OCC(K, sharpness=1.5, emd_weight=0.4, emd_target=target, prior_tilt=tilt, neutral=neutral)
        loss.set_prior((prior * 400).tolist())
        tilted, q = batch[0] + tilt * np.log(prior), (neutral_sord if neutral else sord)(batch[1], 1.5)
        goal = q if target == "soft" else np.eye(K)[batch[1]]
        expected = -(q * log_softmax(tilted, axis=1)).sum(1) + 0.4 * emd2(softmax(tilted, axis=1), goal)
        np.testing.assert_allclose(costs(loss, batch), expected)


class TestLimits:
    @pytest.mark.parametrize(
        "loss",
        [
            LabelSmoothing(K, epsilon=0),
            Focal(K, gamma=0),
            SoftOrdinal(K, sharpness=1e4),
            OCC(K, sharpness=1e4, emd_weight=0),
            MarginSmoothing(K, weight=0),
            MarginSmoothing(K, margin=1e6),
        ],
        ids=repr,
    )
    def test_equals_cross_entropy(self, loss, batch):
        np.testing.assert_allclose(costs(loss, batch), cross_entropy(batch), atol=1e-12)

    def test_occ_without_distance_is_soft_ordinal(self, batch):
        np.testing.assert_allclose(costs(OCC(K, emd_weight=0, neutral=False), batch), costs(SoftOrdinal(K), batch))

    def test_occ_is_least_at_its_target(self):
        grades = torch.arange(K)
        logits = neutral_targets(step_distances(K), 2.0).log().requires_grad_()
        OCC(K)(logits, grades).backward()
        assert logits.grad is not None
        assert logits.grad.abs().max() < 1e-12

    def test_tilt_trains_the_balanced_posterior(self):
        """Grade 0 holds 90 % of identical pairs: at the optimum of τ = 1, softmax(z) is flat over the grades."""
        counts = [90, 10]
        loss = OCC(2, sharpness=1e3, emd_weight=0, prior_tilt=1.0)
        loss.set_prior(counts)
        logits = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
        loss(logits.expand(2, 2), torch.tensor([0, 1]), weights=torch.tensor(counts)).backward()
        assert logits.grad is not None
        assert logits.grad.abs().max() < 1e-12
        shares = loss.calibrated_logits(logits).softmax(1).flatten().tolist()
        assert shares == pytest.approx([0.9, 0.1])

    def test_logit_norm_ignores_length(self, batch):
        longer = (batch[0] * 1000, batch[1])
        np.testing.assert_allclose(costs(LogitNorm(K), longer), costs(LogitNorm(K), batch), rtol=1e-3)

    def test_logit_norm_floor_of_the_loss(self):
        best = torch.full((1, K), -1 / K)
        best[0, 0] += 1
        bound = math.log(1 + (K - 1) * math.exp(-math.sqrt(K / (K - 1)) / 0.5))
        value = LogitNorm(K, temperature=0.5)(best * 1e3, torch.tensor([0])).item()
        assert value == pytest.approx(bound, rel=1e-5)

    def test_unit_emd_of_point_masses_is_the_wasserstein_distance(self):
        eye = torch.eye(K)
        for i in range(K):
            for j in range(K):
                value = squared_emd(eye[[i]], eye[[j]], torch.ones(K - 1)).item()
                assert value == wasserstein_distance(range(K), range(K), eye[i].numpy(), eye[j].numpy())


class TestPrior:
    def test_tilt_needs_a_prior(self):
        loss = OCC(3, prior_tilt=1.0)
        assert loss.needs_prior
        assert not OCC(3).needs_prior
        with pytest.raises(RecipeError, match="set_prior"):
            loss(torch.zeros(1, 3), torch.tensor([0]))

    @pytest.mark.parametrize("counts", [[1, 2], [1, 2, -3], [1, 2, float("nan")]])
    def test_bad_counts(self, counts):
        with pytest.raises(GradeError):
            OCC(3, prior_tilt=1.0).set_prior(counts)

    def test_missing_grade(self):
        with pytest.raises(MissingGradeError, match="grade 1"):
            OCC(3, prior_tilt=1.0).set_prior([5, 0, 1])
        OCC(3).set_prior([5, 0, 1])  # no tilt, no harm


class TestGainDistances:
    scale = GradeScale(("a", "b", "c", "d"), gains=(0.0, 0.1, 0.4, 1.0))

    def test_equal_gains_are_steps(self):
        equal = GradeScale(("a", "b", "c"), gains=(1.0, 3.0, 5.0))
        torch.testing.assert_close(gain_distances(equal), step_distances(3))

    def test_widths_of_emd_and_targets_follow_the_gains(self, batch):
        distances = gain_distances(self.scale)
        widths = np.diff(self.scale.gains) * 3
        p, one_hot = softmax(batch[0], axis=1), np.eye(K)[batch[1]]
        expected = ((p - one_hot).cumsum(1)[:, :-1] ** 2 * widths).sum(1)
        np.testing.assert_allclose(costs(SquaredEMD(K, distances=distances), batch), expected, atol=1e-12)
        target = soft_targets(distances, 2.0)
        assert target[0, 1] / target[0, 0] == pytest.approx(math.exp(-2 * 0.3**2))
