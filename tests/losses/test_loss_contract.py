"""What every loss in the registry must do."""

from __future__ import annotations

import pytest
import torch

from darl.errors import DataError, EmptySplitError, GradeError, ModelError
from darl.losses import GradeLoss, loss_names, make_loss

torch.set_num_threads(1)

VARIANTS = [(name, {}) for name in loss_names()] + [
    ("squared_emd", {"ce_weight": 0.5}),
    ("occ", {"emd_target": "hard", "emd_weight": 0.3, "sharpness": 1.0}),
    ("occ", {"prior_tilt": 1.0}),
    ("margin_smoothing", {"weight": 0.5, "margin": 0.5}),
    ("focal", {"gamma": 0.5}),
]
every_loss = pytest.mark.parametrize(
    ("name", "params"), VARIANTS, ids=[f"{name}{params or ''}" for name, params in VARIANTS]
)
every_size = pytest.mark.parametrize("K", [2, 3, 7])


def build(name: str, K: int, params: dict) -> GradeLoss:
    loss = make_loss(name, K, **params)
    loss.set_prior([float(k + 1) for k in range(K)])
    return loss


def batch(K: int, n: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, K, generator=generator, dtype=torch.float64) * 2
    return logits, torch.randint(K, (n,), generator=generator)


@every_loss
@every_size
class TestEveryLoss:
    def test_gradient_is_the_derivative(self, name, params, K):
        loss, (logits, grades) = build(name, K, params), batch(K)
        weights = torch.linspace(0.5, 2.0, len(grades), dtype=torch.float64)
        assert torch.autograd.gradcheck(lambda z: loss(z, grades, weights), logits.requires_grad_())

    def test_scalar_and_per_pair_shapes(self, name, params, K):
        loss, (logits, grades) = build(name, K, params), batch(K)
        assert loss(logits, grades).shape == ()
        assert loss.per_pair(logits, grades).shape == (12,)
        assert (loss.per_pair(logits, grades) >= 0).all()

    def test_mean_is_weighted_by_pair_and_grade(self, name, params, K):
        loss, (logits, grades) = build(name, K, params), batch(K)
        weights = torch.arange(12, dtype=torch.float64)
        class_weights = torch.arange(1, K + 1, dtype=torch.float64)
        share = weights * class_weights[grades]
        expected = (share * loss.per_pair(logits, grades)).sum() / share.sum()
        torch.testing.assert_close(loss(logits, grades, weights, class_weights), expected)

    def test_batches_of_one_add_up_to_the_whole(self, name, params, K):
        """With the mean weight of all pairs; the first pair alone would have none to be divided by."""
        loss, (logits, grades) = build(name, K, params), batch(K)
        weights = torch.arange(12, dtype=torch.float64)
        mean = weights.mean().item()
        alone = [loss(logits[[i]], grades[[i]], weights[[i]], mean_weight=mean) for i in range(12)]
        torch.testing.assert_close(torch.stack(alone).mean(), loss(logits, grades, weights))

    def test_weight_two_is_the_pair_twice(self, name, params, K):
        loss, (logits, grades) = build(name, K, params), batch(K)
        twice = torch.tensor([0, 0, *range(1, 12)])
        weights = torch.ones(12).index_fill(0, torch.tensor(0), 2.0)
        torch.testing.assert_close(loss(logits, grades, weights), loss(logits[twice], grades[twice]))

    def test_order_of_pairs_does_not_matter(self, name, params, K):
        loss, (logits, grades) = build(name, K, params), batch(K)
        order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(loss(logits, grades), loss(logits[order], grades[order]))
        torch.testing.assert_close(loss.per_pair(logits, grades)[order], loss.per_pair(logits[order], grades[order]))

    @pytest.mark.parametrize("size", [0.0, 1e2, 1e4])
    def test_extreme_logits_stay_finite(self, name, params, K, size):
        loss = build(name, K, params)
        grades = torch.arange(K).repeat_interleave(K)
        logits = (torch.eye(K).repeat(K, 1) * 2 - 1) * size  # every grade against every top logit
        logits.requires_grad_()
        value = loss(logits, grades)
        value.backward()
        assert value.isfinite()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()

    def test_low_precision_and_autocast_are_computed_in_float32(self, name, params, K):
        loss, (logits, grades) = build(name, K, params), batch(K)
        rough = logits.bfloat16()
        expected = loss(rough.float(), grades)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(rough, grades)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected, rtol=0, atol=0)

    def test_a_descent_learns_the_grades(self, name, params, K):
        if name == "squared_emd":
            params = {"ce_weight": 0.5}  # alone it may rest on a plateau
        loss, grades = build(name, K, params), torch.arange(K).repeat(2)
        logits = torch.zeros(2 * K, K, requires_grad=True)
        optimizer = torch.optim.Adam([logits], lr=0.05)
        for _ in range(200):
            optimizer.zero_grad()
            loss(logits, grades).backward()
            optimizer.step()
        assert loss.calibrated_logits(logits).argmax(dim=1).tolist() == grades.tolist()

    def test_settings_build_the_twin(self, name, params, K):
        loss, (logits, grades) = build(name, K, params), batch(K)
        twin = make_loss(name, K, **loss.settings())
        twin.load_state_dict(loss.state_dict())
        assert twin.settings() == loss.settings()
        assert torch.equal(twin(logits, grades), loss(logits, grades))


@pytest.mark.parametrize("name", loss_names())
class TestBadInput:
    @pytest.mark.parametrize(
        ("logits", "grades", "weights", "class_weights", "error"),
        [
            (torch.zeros(2, 4), [0, 1], None, None, ModelError),
            (torch.zeros(3), [0, 1, 2], None, None, ModelError),
            (torch.zeros(2, 3, dtype=torch.int64), [0, 1], None, None, ModelError),
            (torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), None, None, EmptySplitError),
            (torch.zeros(2, 3), [0], None, None, GradeError),
            (torch.zeros(2, 3), [0, 3], None, None, GradeError),
            (torch.zeros(2, 3), [0, -1], None, None, GradeError),
            (torch.zeros(2, 3), [0.0, 1.0], None, None, GradeError),
            (torch.zeros(2, 3), [0, 1], [1.0], None, DataError),
            (torch.zeros(2, 3), [0, 1], [1.0, -1.0], None, DataError),
            (torch.zeros(2, 3), [0, 1], [1.0, float("nan")], None, DataError),
            (torch.zeros(2, 3), [0, 1], [0.0, 0.0], None, DataError),
            (torch.zeros(2, 3), [0, 1], None, [1.0, 1.0], DataError),
            (torch.zeros(2, 3), [0, 0], None, [0.0, 1.0, 1.0], DataError),
        ],
    )
    def test_is_named(self, name, logits, grades, weights, class_weights, error):
        given = [None if value is None else torch.as_tensor(value) for value in (weights, class_weights)]
        with pytest.raises(error):
            make_loss(name, 3)(logits, torch.as_tensor(grades), *given)


def test_a_loss_of_matrix_products_escapes_autocast():
    class Quadratic(GradeLoss):
        name = "quadratic"

        def per_pair(self, logits, grades):
            return (logits @ logits.T).diagonal() + grades

    logits, grades = torch.full((1, 2), 1.001), torch.tensor([0])  # 1.001 is no bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = Quadratic(2)(logits, grades)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, logits.square().sum())
