"""The weights of a linear opinion pool: as an independent optimiser finds them, and nought for what adds nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from darl.training.opinion_pool import pool_weights, pooled, vote


def opinions_and_grades(seed: int, models: int, pairs: int = 60, size: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    opinions = rng.dirichlet(np.ones(size), (models, pairs))
    return opinions, np.array([rng.choice(size, p=p) for p in opinions.mean(0)])


def cost(weights: np.ndarray, opinions: np.ndarray, grades: np.ndarray) -> float:
    return -np.log(pooled(opinions, weights)[np.arange(len(grades)), grades]).mean()


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_no_other_weights_hold_the_grades_likelier(seed: int, models: int) -> None:
    opinions, grades = opinions_and_grades(seed, models)
    weights = pool_weights(grades, opinions)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    best = minimize(
        lambda w: cost(np.abs(w) / np.abs(w).sum(), opinions, grades),
        np.full(models, 1 / models),
        method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-10, "maxiter": 4000},
    )
    assert cost(weights, opinions, grades) <= best.fun + 1e-5


def test_what_knows_nothing_has_no_weight() -> None:
    rng = np.random.default_rng(0)
    knows = rng.dirichlet(np.ones(3), 4000)
    grades = np.array([rng.choice(3, p=p) for p in knows])
    weights = pool_weights(grades, np.stack([knows, np.full_like(knows, 1 / 3), rng.dirichlet(np.ones(3), 4000)]))
    assert weights[0] > 0.95


def test_one_model_speaks_for_itself() -> None:
    opinions, grades = opinions_and_grades(1, 1)
    weights = pool_weights(grades, opinions)
    assert weights.tolist() == [1.0]
    np.testing.assert_array_equal(pooled(opinions, weights), opinions[0])
    choices = np.random.default_rng(0).integers(0, 3, (1, 60))
    np.testing.assert_array_equal(vote(choices, opinions, weights), choices[0])


def test_a_model_that_is_certain_and_wrong_breaks_nothing() -> None:
    wrong, right = np.array([[[0.0, 1.0]] * 5, [[1.0, 0.0]] * 5])
    assert pool_weights(np.zeros(5, int), np.stack([wrong, right])).round(6).tolist() == [0, 1]
    assert pool_weights(np.zeros(5, int), wrong[None]).tolist() == [1]


def test_between_equals_the_likelier_grade_is_given() -> None:
    opinions = np.array([[[0.5, 0.3, 0.2]], [[0.1, 0.2, 0.7]]])
    assert vote(np.array([[0], [2]]), opinions, np.array([0.5, 0.5])).tolist() == [2]
    assert vote(np.array([[0], [2]]), opinions, np.array([0.6, 0.4])).tolist() == [0]
