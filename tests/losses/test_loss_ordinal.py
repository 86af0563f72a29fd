"""Ordinal losses: probability that moves away from the true grade never pays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from darl.errors import RecipeError
from darl.losses import OCC, SoftOrdinal, SquaredEMD
from darl.losses.ordinal import check_distances, neutral_targets, soft_targets, step_distances

torch.set_num_threads(1)


@st.composite
def moves(draw):
    """A grade, probabilities, and a neighbouring pair of grades (near, far) on one side of the true one."""
    K = draw(st.sampled_from([2, 3, 5, 7]))
    raw = draw(st.lists(st.floats(0.01, 1.0), min_size=K, max_size=K))
    y = draw(st.integers(0, K - 1))
    near, far = draw(st.sampled_from([(k, k + 1) for k in range(y, K - 1)] + [(k, k - 1) for k in range(y, 0, -1)]))
    p = np.array(raw) / np.sum(raw)
    return K, y, p, near, far


def cost(loss, p: np.ndarray, y: int) -> float:
    return loss.per_pair(torch.tensor(np.log(p))[None], torch.tensor([y])).item()


@settings(max_examples=100, deadline=None)
@given(moves(), st.floats(0.0, 0.99))
def test_squared_emd_never_falls_when_mass_moves_a_step_away(move, share):
    K, y, p, near, far = move
    moved = p.copy()
    moved[near] -= share * p[near]
    moved[far] += share * p[near]
    assert cost(SquaredEMD(K), moved, y) >= cost(SquaredEMD(K), p, y) - 1e-9


@settings(max_examples=100, deadline=None)
@given(moves(), st.floats(0.1, 5.0))
def test_the_larger_mass_belongs_on_the_nearer_grade(move, sharpness):
    """A soft target is met, not exceeded; so for SORD and OCC the claim is about the order of two masses."""
    K, y, p, near, far = move
    p[[near, far]] = max(p[near], p[far]), min(p[near], p[far])
    swapped = p.copy()
    swapped[[near, far]] = p[far], p[near]
    for loss in (SoftOrdinal(K, sharpness=sharpness), OCC(K, sharpness=sharpness, emd_target="hard")):
        assert cost(loss, swapped, y) >= cost(loss, p, y) - 1e-9


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 8), st.floats(0.05, 8.0))
def test_neutral_targets_keep_a_tie_at_the_ends_and_their_order(K, sharpness):
    q = neutral_targets(step_distances(K), sharpness)
    assert torch.allclose(q.sum(1), torch.ones(K, dtype=q.dtype))
    torn = (q[0] + q[1])[:2], (q[K - 1] + q[K - 2])[[K - 1, K - 2]]
    for end, neighbour in torn:
        assert abs(float(end - neighbour)) < 1e-9
    for y in range(K):
        assert (q[y, y:].diff() < 0).all()
        assert (q[y, : y + 1].diff() > 0).all()


def test_plain_soft_targets_push_a_tie_to_the_end():
    q = soft_targets(step_distances(3), 2.0)
    end, middle = (q[0] + q[1])[:2]
    assert end > middle + 0.05


@pytest.mark.parametrize("K", [2, 3, 7])
@pytest.mark.parametrize("sharpness", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("target", ["soft", "hard"])
def test_occ_rises_with_the_distance_of_a_confident_answer(K, sharpness, target):
    loss = OCC(K, sharpness=sharpness, emd_target=target)
    for y in range(K):
        confident = np.full((K, K), 0.001) + np.eye(K) * (1 - 0.001 * K)
        values = [cost(loss, row, y) for row in confident]
        assert values[y:] == sorted(values[y:])
        assert values[: y + 1] == sorted(values[: y + 1], reverse=True)


@pytest.mark.parametrize(
    "distances",
    [
        [[0.0, 1.0], [1.0, 0.0]],  # wrong K
        [[0, 1, 2], [1, 0, 1], [3, 1, 0]],  # not symmetric
        [[1, 1, 2], [1, 0, 1], [2, 1, 0]],  # a grade away from itself
        [[0, 1, 1], [1, 0, 1], [1, 1, 0]],  # does not grow
        [[0, 1, float("inf")], [1, 0, 1], [float("inf"), 1, 0]],
        "steps",
        [[0, 1], [1]],
    ],
)
def test_distances_that_are_none(distances):
    with pytest.raises(RecipeError, match="distances"):
        check_distances(distances, 3, "occ")
