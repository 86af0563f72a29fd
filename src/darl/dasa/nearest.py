"""The nearest known pair of each pick: what a reader needs to see why a pick is far out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darl.dasa.candidates import CHUNK, Scorer
from darl.ood.knn import unit_rows
from darl.pairs import PairTable


@dataclass(frozen=True)
class Nearest:
    """The nearest training pair of each of m pairs.

    Attributes:
        rows: its row in the training table, (m,).
        distances: 1 − cosine of the features, in [0, 2], (m,).
    """

    rows: np.ndarray
    distances: np.ndarray


def chunked_features(model: Scorer, table: PairTable, rows: np.ndarray, *, chunk: int = CHUNK) -> np.ndarray:
    """What the model's OOD reference reads of these rows, (r,) → (r, d) float32, a chunk at a time."""
    parts = [table.take(rows[start : start + chunk]) for start in range(0, len(rows), chunk)]
    if not parts:
        return np.zeros((0, 0), dtype=np.float32)
    return np.concatenate([np.asarray(model.ood_features(model.encode(part)), dtype=np.float32) for part in parts])


MOST_KNOWN = 20_000
"""Training pairs that a strategy compares with, drawn at random, so that its cost is bounded."""


def known_features(model: Scorer, train: PairTable | None, *, most: int = MOST_KNOWN) -> np.ndarray:
    """What the OOD reference reads of at most ``most`` training pairs, (t, d); (0, 0) where there are none."""
    if train is None or not len(train):
        return np.zeros((0, 0), dtype=np.float32)
    rows = np.arange(len(train))
    if len(train) > most:
        rows = np.sort(np.random.default_rng(0).choice(len(train), most, replace=False))
    return chunked_features(model, train, rows)


def nearest_known(model: Scorer, features: np.ndarray, train: PairTable, *, chunk: int = CHUNK) -> Nearest | None:
    """The training pair with the most similar features, exactly, in one pass over the training table.

    Memory holds the picks' features, and one chunk of training features with one block of similarities.

    Args:
        model: makes the features.
        features: of the m picks, (m, d).
        train: the known pairs; equal distances go to the earlier one.
        chunk: training pairs, and picks, in a block.

    Returns:
        None where there is nothing to compare: no training pair, or a reference that reads logits, whose
        nearest pair would only be one with a similar grade.
    """
    if not len(train) or model.ood.feature_spec.get("source") == "logits":
        return None
    picks = unit_rows(features)
    best, similar = np.zeros(len(picks), dtype=np.int64), np.full(len(picks), -np.inf, dtype=np.float32)
    for start in range(0, len(train), chunk):
        rows = np.arange(start, min(start + chunk, len(train)))
        known = unit_rows(chunked_features(model, train, rows, chunk=chunk))  # (c, d)
        for first in range(0, len(picks), chunk):
            block = slice(first, first + chunk)
            cosine = picks[block] @ known.T  # (b, c)
            where = cosine.argmax(axis=1)
            value = cosine[np.arange(len(where)), where]
            closer = value > similar[block]
            best[block] = np.where(closer, rows[where], best[block])
            similar[block] = np.maximum(similar[block], value)
    return Nearest(best, np.clip(1.0 - similar.astype(np.float64), 0.0, 2.0))
