"""Stacked fits against transformers: the same logits, and the same weights after the same steps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from darl.grades import GradeScale
from darl.losses import make_loss
from darl.model import RelevanceModel
from darl.model.head import head_of
from stacked_fits import Jobs, StackedBert, Suite, batches_of, score_copies, train_copies

torch.set_num_threads(1)
SCALE = GradeScale(("no", "so-so", "yes"))
WORDS = ["policy", "dog", "car", "travel", "cover", "life"]


@pytest.fixture
def model(tiny_encoder: Path) -> RelevanceModel:
    found = RelevanceModel.from_backbone(str(tiny_encoder), SCALE, max_length=24, seed=3)
    found.network.eval()
    return found


@pytest.fixture
def suite(model: RelevanceModel) -> Suite:
    rng = np.random.default_rng(0)
    texts = [[" ".join(rng.choice(WORDS, rng.integers(1, 6))) for _ in range(40)] for _ in range(2)]
    encoded = model.encode(queries=texts[0], items=texts[1])
    ids, types = (np.zeros((40, encoded.lengths.max()), dtype=np.int64) for _ in range(2))
    for row, length in enumerate(encoded.lengths):
        ids[row, :length] = encoded.fields["input_ids"][row]
        types[row, :length] = encoded.fields["token_type_ids"][row]
    return Suite(ids, types, encoded.lengths, rng.integers(3, size=40))


def stacked(model: RelevanceModel, copies: int) -> StackedBert:
    return StackedBert(model.network.state_dict(), model.network.config.to_dict(), *heads(model, copies))


def heads(model: RelevanceModel, copies: int) -> tuple[np.ndarray, np.ndarray]:
    head = head_of(model.network)
    assert head.bias is not None
    weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
    return np.stack([weight] * copies), np.stack([bias] * copies)


def by_transformers(model: RelevanceModel, suite: Suite, rows: np.ndarray) -> torch.Tensor:
    mask = torch.arange(suite.ids.shape[1]) < torch.from_numpy(suite.lengths[rows])[:, None]
    ids, types = (torch.from_numpy(table[rows]) for table in (suite.ids, suite.types))
    return model.network(input_ids=ids, token_type_ids=types, attention_mask=mask.long()).logits


def test_every_copy_gives_the_logits_of_transformers(model: RelevanceModel, suite: Suite) -> None:
    rows = np.arange(40)
    found = score_copies(stacked(model, 2), suite, rows, "cpu", torch.float32)
    with torch.no_grad():
        expected = by_transformers(model, suite, rows).numpy()
    assert found.shape == (2, 40, 3)
    np.testing.assert_allclose(found, np.stack([expected] * 2), atol=1e-5)


def test_a_copy_learns_what_a_network_by_itself_learns(model: RelevanceModel, suite: Suite) -> None:
    """Its own pairs, its own loss, weights, a short last batch, clipping: none of it leaks from the other copy."""
    rng = np.random.default_rng(1)
    rows = np.stack([rng.permutation(40)[:22] for _ in range(2)])
    jobs = Jobs(
        rows, rng.uniform(0.5, 2, rows.shape).astype(np.float32), np.array([4, 5]), *heads(model, 2), np.arange(40),
        epochs=2, batch=8, rate=1e-3, dropout=0.0, losses=json.dumps([["cross_entropy", {}], ["occ", {}]]),
    )  # fmt: skip
    copies = stacked(model, 2)
    train_copies(copies, suite, jobs, "cpu", torch.float32)
    found = score_copies(copies, suite, np.arange(40), "cpu", torch.float32)

    order, shares = batches_of(jobs)
    tune_plainly(model, suite, order[1], shares[1], jobs)
    with torch.no_grad():
        expected = by_transformers(model, suite, np.arange(40)).numpy()
    np.testing.assert_allclose(found[1], expected, atol=2e-4)
    assert np.abs(found[0] - found[1]).max() > 0.01


def tune_plainly(model: RelevanceModel, suite: Suite, order: np.ndarray, shares: np.ndarray, jobs: Jobs) -> None:
    """The second copy's fit, written out with torch alone."""
    for parameter in model.network.bert.embeddings.parameters():
        parameter.requires_grad_(False)
    free = [p for p in model.network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in free if p.ndim > 1], "weight_decay": jobs.decay},
        {"params": [p for p in free if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimiser, steps = torch.optim.AdamW(groups, lr=jobs.rate), len(order)
    warm = int(jobs.warmup * steps)
    for step in range(steps):
        rate = step / max(1, warm) if step < warm else (steps - step) / max(1, steps - warm)
        for group in optimiser.param_groups:
            group["lr"] = jobs.rate * rate
        costs = make_loss("occ", 3).per_pair(
            by_transformers(model, suite, order[step]), torch.from_numpy(suite.grades[order[step]])
        )
        (costs * torch.from_numpy(shares[step])).sum().backward()
        torch.nn.utils.clip_grad_norm_(free, jobs.clip)
        optimiser.step()
        optimiser.zero_grad()


def test_every_pair_is_drawn_once_an_epoch_with_its_weight() -> None:
    rows, weights = np.arange(100, 110)[None], np.arange(1, 11, dtype=np.float32)[None]
    jobs = Jobs(rows, weights, np.array([0]), np.zeros((1, 2, 4)), np.zeros((1, 2)), rows[0], epochs=2, batch=4)
    order, shares = batches_of(jobs)
    assert order.shape == (1, 6, 4)
    for epoch in (slice(0, 3), slice(3, 6)):
        counted = order[0, epoch][shares[0, epoch] > 0]
        assert sorted(counted) == rows[0].tolist()
    np.testing.assert_allclose(shares[0].sum(1), 1, rtol=1e-6)
    first = order[0, 0] - 99.0
    np.testing.assert_allclose(shares[0, 0], first / first.sum(), rtol=1e-6)


def test_the_mean_of_the_weights_follows_them(model: RelevanceModel, suite: Suite) -> None:
    jobs = Jobs(
        np.arange(16)[None], np.ones((1, 16), np.float32), np.array([0]), *heads(model, 1), np.arange(40), epochs=4,
        batch=4, rate=1e-3, ema=0.5,
    )  # fmt: skip
    copies = stacked(model, 1)
    before = [p.detach().clone() for p in copies.stacked.values()]
    mean = train_copies(copies, suite, jobs, "cpu", torch.float32)
    assert mean is not None
    gaps = [
        [float((a - b).norm()) for b in (last, first)]
        for a, last, first in zip(mean, (p.detach() for p in copies.stacked.values()), before, strict=True)
    ]
    near, far = np.sum(gaps, axis=0)
    assert 0 < near < far
