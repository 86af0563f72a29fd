"""The constant direction of features: a bias for a head that has none."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from darl.model.constant import constant_direction


def features(spread: float, n: int = 600, d: int = 16, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * spread + rng.normal(size=d)


def test_it_is_ridge_regression_on_ones() -> None:
    h = features(0.3)
    expected = Ridge(alpha=0.01 * np.mean(h**2) * len(h), fit_intercept=False).fit(h, np.ones(len(h))).coef_
    np.testing.assert_allclose(constant_direction(h, ridge=0.01)[0], expected, atol=1e-8)


@pytest.mark.parametrize("spread", [0.01, 0.1, 0.3])
def test_its_error_is_that_on_other_pairs(spread: float) -> None:
    h = features(spread, n=1600)
    u, error = constant_direction(h[:800])
    elsewhere = np.sqrt(np.mean((h[800:] @ u - 1) ** 2))
    assert error == pytest.approx(elsewhere, rel=0.25)


def test_features_without_a_common_part_have_none() -> None:
    h = np.random.default_rng(0).normal(size=(500, 16))
    assert constant_direction(h)[1] > 0.9


def test_more_dimensions_than_pairs() -> None:
    u, error = constant_direction(features(0.1, n=10, d=64))
    assert np.isfinite(u).all()
    assert np.isfinite(error)
