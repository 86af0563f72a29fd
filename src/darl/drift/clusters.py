"""Groups of traffic that stand out, found without any column, each with a name and typical examples."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from darl.drift.figures import Figures
from darl.drift.signals import surprise
from darl.ood.novelty import words_of

MOST = 5
EXAMPLES = 3
CUTS = 5  # of each known query, for the spread of means of a few pairs
TERMS = 3


@dataclass(frozen=True)
class Cluster:
    """Queries that stand out and resemble each other.

    Attributes:
        name: its distinctive terms. rows: its pairs among the window's, (m,). queries: how many.
        share: of the window's pairs. excess: Σ over its m queries of (surprise of their mean evidence − 1),
            over √m: many that are a little strange do not outrank a few that are far out.
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

    A query of m pairs is held against means of m pairs of known queries: one pair strays further than twenty.
    Queries, not pairs, are clustered (k-means on the mean of their features): a query's pairs belong together.
    Without texts there is nothing to show, and the list is empty.
    """
    if figures.queries is None or figures.items is None:
        return []
    _, groups = np.unique(figures.groups, return_inverse=True)
    strange = query_surprise(groups, evidence, known_groups, known_evidence, seed=seed)
    out = np.flatnonzero(strange > -np.log(0.05))
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
                excess=float((strange[out[labels == label]] - 1).sum() / np.sqrt((labels == label).sum())),
                examples=_examples(figures, rows, groups, evidence),
            )
        )
    return sorted(found, key=lambda one: -one.excess)


def query_surprise(
    groups: np.ndarray, evidence: np.ndarray, known_groups: np.ndarray, known_evidence: np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """−ln(1 − rank) of each query's mean evidence among known queries cut to as many pairs, (q,).

    Args:
        groups, evidence: query, dense from 0, and evidence of each pair, (n,). known_groups, known_evidence: (N,).

    >>> known = np.repeat(np.arange(99), 2)
    >>> query_surprise(np.array([0, 1]), np.array([50.0, 9e9]), known, known + 1.0).round(1).tolist()
    [0.7, 6.9]
    """
    sizes, rng = np.bincount(groups), np.random.default_rng(seed)
    mean = np.bincount(groups, evidence) / sizes
    order = np.lexsort((rng.random(len(known_groups)), known_groups))
    counts = np.bincount(known_groups)
    starts = np.cumsum(counts) - counts
    found = np.zeros(len(sizes))
    for size in np.unique(sizes):
        # a known query of fewer pairs repeats them, which overstates how far means stray
        m = min(int(size), int(counts.max()))
        offsets = np.arange(CUTS if m < counts.max() else 1)[:, None] * m
        places = starts[None, :, None] + (offsets[:, :, None] + np.arange(m)) % counts[None, :, None]
        usual = np.sort(known_evidence[order[places]].mean(axis=2).ravel())
        of = sizes == size
        found[of] = surprise(mean[of], usual)
    return found


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
