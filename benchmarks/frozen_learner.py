"""A cheap learner for exploring selections: small networks on frozen features, and a model that `select` accepts.

It is a proxy: the backbone does not learn, so absolute figures are lower than a fine-tuned model's and only
differences between selections are of interest. What it finds must be confirmed by full fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch

from darl.grades import GradeScale
from darl.losses import make_loss
from darl.ood import OODReference
from darl.ood.knn import unit_rows
from darl.pairs import PairTable
from suite_features import Split

ROW = "feature_row"
"""The column by which a pair of a table finds its features."""

INPUTS = 256


@dataclass(frozen=True)
class Store:
    """All pairs of a suite in one matrix: what the learner reads (n, INPUTS) and what the detectors read (n, d)."""

    inputs: np.ndarray
    features: np.ndarray
    tables: dict[str, PairTable]
    grades: np.ndarray


def make_store(splits: dict[str, Split]) -> Store:
    """Stacks the splits; the learner's inputs are principal components of pair, query ∘ item and |query − item|.

    The components are those of train and pool, without any label. With ``pair`` features alone they are of these.
    """
    kinds = next(iter(splits.values())).features
    stacked = {kind: np.concatenate([s.features[kind] for s in splits.values()]) for kind in kinds}
    raw, cosine = unit_rows(stacked["pair"]), np.zeros((sum(map(len, splits.values())), 1))
    if "query" in kinds:
        query, item = unit_rows(stacked["query"]), unit_rows(stacked["item"])
        cosine = (query * item).sum(axis=1, keepdims=True)
        raw = np.hstack([raw, query * item * 20, np.abs(query - item)])
    starts = np.cumsum([0, *map(len, splits.values())])
    unlabelled = np.concatenate(
        [np.arange(a, b) for name, a, b in zip(splits, starts, starts[1:], strict=False) if name in ("train", "pool")]
    )
    centre = raw[unlabelled].mean(axis=0)
    gram = (raw[unlabelled] - centre).T @ (raw[unlabelled] - centre) / len(unlabelled)
    values, vectors = np.linalg.eigh(gram.astype(np.float64))
    keep = np.argsort(-values)[: INPUTS - 1]
    scale = np.sqrt(values[keep] + 1e-3 * values[keep].max())
    inputs = np.hstack([(raw - centre) @ (vectors[:, keep] / scale).astype(np.float32), 4 * (cosine - cosine.mean())])
    tables = {
        name: split.pairs.with_column(ROW, np.arange(start, start + len(split)))
        for (name, split), start in zip(splits.items(), starts, strict=False)
    }
    grades = np.concatenate([split.pairs.grades for split in splits.values()])
    return Store(inputs.astype(np.float32), stacked["pair"], tables, grades)


def rows_of(table: PairTable) -> np.ndarray:
    """The rows of the store that a table's pairs stand in, (n,)."""
    return np.asarray(table.column(ROW), dtype=np.int64)


class FrozenLearner:
    """Logistic regression on the inputs and on random Fourier features of them: convex, so it has no luck of its own.

    Random Fourier features (Rahimi & Recht 2007) of a Gaussian kernel stand in for a network's hidden layer.

    Args:
        K: grades.
        l2: of the weights, on the mean loss.
        loss: any of darl's.
        iterations: of L-BFGS.
    """

    def __init__(self, K: int, *, l2: float = 3e-3, loss: str = "occ", iterations: int = 40) -> None:
        self.K, self.l2, self.loss, self.iterations = K, l2, loss, iterations

    def fit(self, lifted: np.ndarray, grades: np.ndarray, weights: np.ndarray | None = None) -> FrozenLearner:
        x, y = torch.from_numpy(lifted), torch.from_numpy(np.asarray(grades, dtype=np.int64))
        w = None if weights is None else torch.from_numpy(np.asarray(weights, dtype=np.float32))
        loss = make_loss(self.loss, self.K)
        self.weight = torch.zeros(self.K, x.shape[1], requires_grad=True)
        self.bias = torch.zeros(self.K, requires_grad=True)
        optimiser = torch.optim.LBFGS(
            [self.weight, self.bias], max_iter=self.iterations, history_size=10, line_search_fn="strong_wolfe"
        )

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            value = loss(x @ self.weight.T + self.bias, y, w) + self.l2 * (self.weight**2).sum()
            value.backward()
            return value

        optimiser.step(closure)  # type: ignore[arg-type]
        return self

    def probabilities(self, lifted: np.ndarray) -> np.ndarray:
        """(n, K)."""
        with torch.no_grad():
            return (torch.from_numpy(lifted) @ self.weight.T + self.bias).softmax(-1).numpy().astype(np.float64)


def lift(inputs: np.ndarray, width: int = 768, scale: float = 0.03, seed: int = 0) -> np.ndarray:
    """The inputs beside √2 · cos(scale · Wx + b), (n, d) → (n, d + width)."""
    rng = np.random.default_rng(seed)
    turn = rng.normal(0, scale, (inputs.shape[1], width)).astype(np.float32)
    waves = np.cos(inputs @ turn + rng.uniform(0, 2 * np.pi, width).astype(np.float32)) * np.float32(2**0.5)
    return np.hstack([inputs * 0.2, waves])


class FrozenModel:
    """What `darl.dasa.select` asks of a model, answered from the store."""

    def __init__(
        self, store: Store, learner: FrozenLearner, lifted: np.ndarray, reference: OODReference, scale: GradeScale
    ) -> None:
        self.store, self.learner, self.lifted, self.ood, self.scale = store, learner, lifted, reference, scale

    def encode(self, pairs: PairTable) -> PairTable:
        return pairs

    def ood_features(self, encoded: PairTable) -> np.ndarray:
        return self.store.features[rows_of(encoded)]

    def score(self, pairs: PairTable, *, ood: bool = True) -> SimpleNamespace:
        chances = self.learner.probabilities(self.lifted[rows_of(pairs)])
        scores = self.ood.score(self.ood_features(pairs))
        return SimpleNamespace(
            scale=self.scale,
            probabilities=chances,
            grades=chances.argmax(axis=1),
            relevance=self.scale.relevance(chances),
            ood_scores=scores,
            ood_percentiles=self.ood.percentile_of(scores),
        )
