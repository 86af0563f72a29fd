"""Groups of traffic that stand out, found without any column, each with a name and typical examples."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from darl.drift.figures import Figures
from darl.ood.novelty import words_of

MOST = 5
EXAMPLES = 3
TERMS = 3


@dataclass(frozen=True)
class Cluster:
    """Queries that stand out and resemble each other.

    Attributes:
        name: its distinctive terms. rows: its pairs among the window's, (m,). queries: how many.
        share: of the window's pairs. excess: Σ over its pairs of (evidence − what known pairs have).
        examples: (query, item) of the pairs that stand out most, one a query.
    """

    name: str
    rows: np.ndarray
    queries: int
    share: float
    excess: float
    examples: list[tuple[str, str]]

    def to_dict(self) -> dict:
        return {**vars(self), "rows": self.rows.tolist(), "pairs": len(self.rows)}


def standing_out(
    figures: Figures, evidence: np.ndarray, known_groups: np.ndarray, known_evidence: np.ndarray, *, seed: int = 0
) -> list[Cluster]:
    """Clusters of the queries whose mean evidence 95 % of known queries stay below, largest excess first.

    Queries, not pairs, are clustered (k-means on the mean of their features): a query's pairs belong together.
    Without texts there is nothing to show, and the list is empty.
    """
    if figures.queries is None or figures.items is None:
        return []
    _, groups = np.unique(figures.groups, return_inverse=True)
    sizes = np.bincount(groups)
    mean = np.bincount(groups, evidence) / sizes
    known_mean = np.bincount(known_groups, known_evidence) / np.bincount(known_groups)
    out = np.flatnonzero(mean > np.quantile(known_mean, 0.95))
    if not len(out):
        return []
    labels = np.zeros(len(out), dtype=np.int64)
    if figures.features is not None and len(out) > 3:
        member = np.flatnonzero(np.isin(groups, out))
        place = np.searchsorted(out, groups[member])
        centres = np.zeros((len(out), figures.features.shape[1]))
        np.add.at(centres, place, figures.features[member].astype(np.float64))
        centres /= np.linalg.norm(centres, axis=1, keepdims=True).clip(1e-9)
        kmeans = KMeans(min(MOST, len(out) // 2), n_init=4, random_state=seed)  # type: ignore[arg-type]
        labels = kmeans.fit_predict(centres)
    level = float(np.mean(known_evidence))
    tokens = [words_of(text) for text in figures.queries]
    found = []
    for label in np.unique(labels):
        rows = np.flatnonzero(np.isin(groups, out[labels == label]))
        found.append(
            Cluster(
                name=_name(tokens, rows, groups),
                rows=rows,
                queries=len(np.unique(groups[rows])),
                share=len(rows) / len(figures),
                excess=float((evidence[rows] - level).sum()),
                examples=_examples(figures, rows, groups, evidence),
            )
        )
    return sorted(found, key=lambda one: -one.excess)


def _name(tokens: list[list[str]], rows: np.ndarray, groups: np.ndarray) -> str:
    """The terms with the largest share of the cluster's queries, less twice their share of the others'."""
    inside, outside = Counter(), Counter()
    member = set(groups[rows].tolist())
    seen: set[int] = set()
    for row, words in enumerate(tokens):
        if groups[row] in seen:
            continue
        seen.add(groups[row])
        terms = {*words, *(a + b for a, b in itertools.pairwise(words) if len(a) == len(b) == 1 and a > "z")}
        (inside if groups[row] in member else outside).update(t for t in terms if len(t) > 1)
    others = max(len(seen) - len(member), 1)
    scored = sorted(inside, key=lambda t: (-(inside[t] / len(member) - 2 * outside[t] / others), -len(t), t))
    return ", ".join(scored[:TERMS]) or "no terms"


def _examples(figures: Figures, rows: np.ndarray, groups: np.ndarray, evidence: np.ndarray) -> list[tuple[str, str]]:
    found: dict[int, tuple[str, str]] = {}
    for row in rows[np.argsort(-evidence[rows], kind="stable")]:
        if figures.queries is not None and figures.items is not None:
            found.setdefault(int(groups[row]), (figures.queries[int(row)], figures.items[int(row)]))
        if len(found) == EXAMPLES:
            break
    return list(found.values())
