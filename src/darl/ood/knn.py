"""kNN: the cosine distance to the k-th nearest in-distribution pair."""

from __future__ import annotations

import numpy as np
import torch

from darl.ood.base import Detector
from darl.ood.checks import check_flag, check_integer

BLOCK = 16_384  # reference rows a product: with 1024 query rows, 64 MiB of similarities


class KNN(Detector):
    """s(x) = 1 − cos(x, r_(k)), with r_(k) the k-th most similar row of the reference; in [0, 2].

    Source: Sun et al. 2022, *Out-of-Distribution Detection with Deep Nearest Neighbors* (ICML); cosine
    distance for language models: Liu et al. 2023 (arXiv 2308.10261). Exact search, in blocks. A row of the
    reference is its own first neighbour, so scores of the fitted rows themselves are too low: compare with
    held-out pairs.

    A zero vector has no direction; its similarity to everything is 0, its score 1.

    Args:
        k: which neighbour, ≥ 1; with fewer than k rows, the furthest of them.
        max_reference: keep at most so many rows, drawn at random without replacement; None keeps all. ``k`` shrinks
            with them, so that the same share of the reference lies nearer: what is estimated stays the same.
        seed: of that draw.
        half: round the reference to float16, which halves the file (scores move by about 10⁻⁴); the rounding
            is done at the fit, so saved and loaded scores agree.

    Raises:
        RecipeError: a parameter out of range.

    >>> KNN(k=1).fit([[3.0, 0.0]]).score([[5.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [0.0, 0.0]]).tolist()
    [0.0, 1.0, 2.0, 1.0]
    """

    name = "knn"

    def __init__(self, k: int = 10, max_reference: int | None = 20_000, seed: int = 0, half: bool = True) -> None:
        self.k = check_integer("k", k, where=self.name, at_least=1)
        self.max_reference = max_reference
        if max_reference is not None:
            self.max_reference = check_integer("max_reference", max_reference, where=self.name, at_least=1)
        self.seed = check_integer("seed", seed, where=self.name, at_least=0)
        self.half = check_flag("half", half, where=self.name)

    def _fit(self, rows: np.ndarray, grades: np.ndarray | None, held_out: np.ndarray | None) -> None:
        self.nth_ = self.k
        if self.max_reference is not None and len(rows) > self.max_reference:
            self.nth_ = max(1, round(self.k * self.max_reference / len(rows)))
            rows = rows[self.kept_rows(len(rows))]
        reference = unit_rows(rows)
        if self.half:
            reference = reference.astype(np.float16).astype(np.float32)
        self.reference_ = torch.from_numpy(reference)  # (n, d)

    def kept_rows(self, count: int) -> np.ndarray:
        """Which of ``count`` rows given to the fit are in the reference, in its order."""
        if self.max_reference is None or count <= self.max_reference:
            return np.arange(count)
        return np.sort(np.random.default_rng(self.seed).choice(count, self.max_reference, replace=False))

    def neighbours(self, features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest rows of the reference, nearest first.

        Args:
            features: (m, d). count: how many, ≥ 1; fewer where the reference has fewer.

        Returns:
            Their places in the reference, and 1 − cosine in [0, 2], both (m, count).

        >>> places, distances = KNN(half=False).fit(np.eye(3)).neighbours(np.array([[0.0, 1.0, 0.5]]), 2)
        >>> places.tolist(), distances.round(3).tolist()
        ([[1, 2]], [[0.106, 0.553]])
        """
        similar = torch.from_numpy(unit_rows(np.asarray(features))) @ self.reference_.T  # (m, n)
        near = similar.topk(min(count, len(self.reference_)), dim=1)
        return near.indices.numpy(), (1.0 - near.values.double()).clamp(0.0, 2.0).numpy()

    def _score(self, rows: np.ndarray) -> np.ndarray:
        queries = torch.from_numpy(unit_rows(rows))  # (c, d)
        k = min(self.nth_, len(self.reference_))
        best = torch.empty(len(queries), 0)
        for block in self.reference_.split(BLOCK):
            similar = queries @ block.T  # (c, b)
            near = similar.topk(min(k, similar.shape[1]), dim=1, sorted=False).values
            best = torch.cat([best, near], dim=1)
            best = best.topk(min(k, best.shape[1]), dim=1).values  # (c, ≤ k), most similar first
        return (1.0 - best[:, k - 1].double()).clamp(0.0, 2.0).numpy()

    def _state(self) -> dict[str, np.ndarray]:
        reference = self.reference_.numpy().astype(np.float16 if self.half else np.float32)
        return {"reference": reference, "nth": np.array([self.nth_], dtype=np.int64)}

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        self.reference_ = torch.from_numpy(state["reference"].astype(np.float32))
        self.nth_ = int(state["nth"][0]) if "nth" in state else self.k  # saved models of 0.1.0 have none


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Each row divided by its length, (n, d) → (n, d) float32; zero rows stay zero, and no length overflows.

    >>> unit_rows(np.array([[3e30, 4e30], [0.0, 0.0]], dtype=np.float32)).round(3).tolist()
    [[0.6..., 0.8...], [0.0, 0.0]]
    """
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = rows / np.where(largest > 0, largest, 1)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return (scaled / np.where(length > 0, length, 1)).astype(np.float32)
