"""θ(α) between start and tuned, and the rule that keeps a candidate."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from darl.errors import ModelError
from darl.training.interpolate import Candidate, choose, interpolate

FIGURES = st.floats(0, 1)


def state(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    body, head = torch.randn(4, 3, generator=generator), torch.randn(3, generator=generator)
    return {"body": body.to(dtype), "head": head.to(dtype), "steps": torch.tensor(seed)}


def test_alpha_0_is_the_start_bit_for_bit() -> None:
    start, mixed = state(0), interpolate(state(0), state(1), 0.0)
    assert all(torch.equal(mixed[name], start[name]) for name in start)


def test_alpha_1_is_the_tuned_model_bit_for_bit() -> None:
    tuned, mixed = state(1), interpolate(state(0), state(1), 1.0)
    assert all(torch.equal(mixed[name], tuned[name]) for name in tuned)


@given(st.floats(0.01, 0.99))
def test_between_the_ends_weights_are_mixed_in_proportion(alpha: float) -> None:
    start, tuned = state(0), state(1)
    mixed = interpolate(start, tuned, alpha)
    for name in ("body", "head"):
        torch.testing.assert_close(mixed[name], (1 - alpha) * start[name] + alpha * tuned[name])


def test_low_precision_keeps_its_type_and_counters_are_the_tuned_ones() -> None:
    mixed = interpolate(state(0, torch.bfloat16), state(1, torch.bfloat16), 0.5)
    assert mixed["body"].dtype == torch.bfloat16
    assert mixed["steps"] == 1


def test_models_of_other_names_cannot_be_mixed() -> None:
    with pytest.raises(ModelError, match="extra"):
        interpolate(state(0), state(1) | {"extra": torch.zeros(1)}, 0.5)


def test_models_of_other_shapes_cannot_be_mixed() -> None:
    with pytest.raises(ModelError, match="head"):
        interpolate(state(0), state(1) | {"head": torch.zeros(5)}, 0.5)


# ------------------------------------------------------------------------------------------------ choose


@st.composite
def choices(draw: st.DrawFn) -> tuple[list[Candidate], Candidate, float, float]:
    """Candidates, plain tuning among them, ε and the least gain."""
    shifted = draw(st.booleans())

    def candidate(start: str, alpha: float) -> Candidate:
        return Candidate(start, alpha, draw(FIGURES), draw(FIGURES) if shifted else None)

    others = [candidate(draw(st.sampled_from(["random", "probe"])), draw(st.floats(0.1, 0.9))) for _ in range(4)]
    plain = candidate("random", 1.0)
    order = draw(st.permutations([plain, *others]))
    return order, plain, draw(st.floats(0, 0.2)), draw(st.floats(0, 0.2))


@given(choices())
def test_what_is_chosen_never_loses_more_than_epsilon_on_dev_id(drawn) -> None:
    candidates, plain, epsilon, least = drawn
    best, _ = choose(candidates, plain=plain, max_id_loss=epsilon, min_gain=least)
    assert best.id_value >= plain.id_value - epsilon


@given(choices())
def test_what_is_chosen_over_plain_tuning_gains_enough(drawn) -> None:
    candidates, plain, epsilon, least = drawn
    best, _ = choose(candidates, plain=plain, max_id_loss=epsilon, min_gain=least)
    if best != plain:
        inside = best.id_value - plain.id_value
        outside = 0.0 if plain.ood_value is None else best.ood_value - plain.ood_value
        assert outside >= least or (inside >= least and outside >= -epsilon)


@given(choices())
def test_no_allowed_candidate_that_gains_out_of_distribution_is_better_on_both_together(drawn) -> None:
    candidates, plain, epsilon, least = drawn
    best, _ = choose(candidates, plain=plain, max_id_loss=epsilon, min_gain=least)
    for candidate in candidates:
        allowed = candidate.id_value >= plain.id_value - epsilon
        if plain.ood_value is not None and allowed and candidate.ood_value - plain.ood_value >= least:
            assert candidate.id_value + candidate.ood_value <= best.id_value + best.ood_value + 1e-12


def test_a_little_more_outside_does_not_buy_much_less_inside() -> None:
    plain = Candidate("random", 1.0, 0.32, 0.19)
    probe, mixed = Candidate("probe", 0.0, 0.389, 0.381), Candidate("probe", 0.85, 0.435, 0.369)
    assert choose([plain, probe, mixed], plain=plain, max_id_loss=0.003, min_gain=0.005)[0] is mixed


def test_a_gain_in_distribution_alone_is_taken_where_nothing_is_lost_outside() -> None:
    plain, other = Candidate("random", 1.0, 0.50, 0.40), Candidate("probe", 1.0, 0.60, 0.401)
    best, why = choose([plain, other], plain=plain, max_id_loss=0.003, min_gain=0.005)
    assert best is other
    assert "+0.1000 on dev_id" in why


@given(choices())
def test_the_order_of_the_candidates_does_not_change_what_is_gained(drawn) -> None:
    candidates, plain, epsilon, least = drawn
    one, _ = choose(candidates, plain=plain, max_id_loss=epsilon, min_gain=least)
    two, _ = choose(candidates[::-1], plain=plain, max_id_loss=epsilon, min_gain=least)
    assert (one.id_value, one.ood_value) == (two.id_value, two.ood_value)


def test_the_reason_for_a_change_names_gain_and_loss() -> None:
    plain, other = Candidate("random", 1.0, 0.50, 0.40), Candidate("probe", 0.8, 0.498, 0.43)
    _, why = choose([plain, other], plain=plain, max_id_loss=0.003, min_gain=0.005)
    assert "probe α=0.8" in why
    assert "+0.0300 on dev_ood and -0.0020 on dev_id" in why


def test_the_reason_for_staying_names_the_best_other() -> None:
    plain, other = Candidate("random", 1.0, 0.50, 0.40), Candidate("probe", 0.8, 0.5, 0.402)
    best, why = choose([plain, other], plain=plain, max_id_loss=0.003, min_gain=0.005)
    assert best is plain
    assert "no candidate gained 0.005" in why
    assert "the best other was probe α=0.8 (dev ID 0.5000, OOD 0.4020)" in why
