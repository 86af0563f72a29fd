"""Calibration errors against torchmetrics and by construction."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from darl.evaluation import adaptive_ece, classwise_ece, ece, ece_by_chance, reliability


@pytest.mark.parametrize("K", [2, 5, 7])
@pytest.mark.parametrize("bins", [10, 15])
def test_ece_agrees_with_torchmetrics(K, bins):
    rng = np.random.default_rng(K)
    p, truth = rng.dirichlet(np.ones(K), 500), rng.integers(0, K, 500)
    oracle = multiclass_calibration_error(torch.tensor(p), torch.tensor(truth), num_classes=K, n_bins=bins, norm="l1")
    assert ece(truth, p, bins) == pytest.approx(float(oracle), abs=1e-6)


def test_calibrated_by_construction_is_small_and_overconfident_is_not():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 40_000)
    truth = (rng.random((40_000, 1)) > np.cumsum(p, 1)).sum(1).clip(0, 3)
    sharp = p**3 / (p**3).sum(1, keepdims=True)
    for error in (ece, adaptive_ece, classwise_ece):
        assert error(truth, p) < 0.015
        assert error(truth, sharp) > 4 * error(truth, p)


def test_closed_form_and_certainty_in_the_last_bin():
    p = np.tile([1.0, 0.0], (4, 1))
    assert ece(np.array([0, 0, 0, 1]), p) == adaptive_ece(np.array([0, 0, 0, 1]), p) == pytest.approx(0.25)
    assert classwise_ece(np.array([0, 0, 0, 1]), p) == pytest.approx(0.25)
    table = reliability(np.array([0, 0, 0, 1]), p)
    assert len(table) == 15
    assert (table[-1].pairs, table[-1].confidence, table[-1].accuracy) == (4, 1.0, 0.75)
    assert np.isnan(table[0].accuracy)


def test_equal_mass_bins_by_hand():
    sure = np.array([0.6, 0.7, 0.8, 0.9])
    p, truth = np.stack([sure, 1 - sure], 1), np.array([0, 1, 0, 0])
    # two bins: {0.6, 0.7} hits 1 of 2, {0.8, 0.9} hits both
    assert adaptive_ece(truth, p, 2) == pytest.approx((abs(1 - 1.3) + abs(2 - 1.7)) / 4)


def test_reliability_table_adds_up_to_the_ece():
    rng = np.random.default_rng(5)
    p, truth = rng.dirichlet(np.ones(3), 300), rng.integers(0, 3, 300)
    rows = [row for row in reliability(truth, p) if row.pairs]
    assert sum(row.pairs for row in rows) == 300
    total = sum(row.pairs * abs(row.accuracy - row.confidence) for row in rows) / 300
    assert total == pytest.approx(ece(truth, p))


@pytest.mark.parametrize("pairs", [300, 3000])
def test_the_ece_by_chance_is_that_of_labels_drawn_from_the_probabilities(pairs):
    rng = np.random.default_rng(pairs)
    p = rng.dirichlet([2.0, 1.0, 0.5], size=pairs)
    drawn = [ece(np.array([rng.choice(3, p=row) for row in p]), p) for _ in range(60)]
    assert abs(ece_by_chance(p) - np.mean(drawn)) < 4 * np.std(drawn) / np.sqrt(60) + 0.03 * np.mean(drawn)


def test_the_ece_by_chance_halves_with_four_times_the_pairs():
    p = np.random.default_rng(0).dirichlet([2.0, 1.0, 0.5], size=200)
    assert ece_by_chance(np.tile(p, (4, 1))) == pytest.approx(ece_by_chance(p) / 2)
