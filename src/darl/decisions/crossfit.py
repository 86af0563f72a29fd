"""Cross-fitting of decision rules: what a kind of rule is worth on queries that it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from darl.decisions.rule import DecisionRule
from darl.errors import DataError, EmptySplitError, GradeError
from darl.grades import GradeScale

Rows = np.ndarray | slice
Fit = Callable[[Rows, Rows], DecisionRule | None]
"""Rows of dev and rows of shifted traffic → the rule fitted on them; None where they allow none."""

RESAMPLES = 200


@dataclass(frozen=True)
class Part:
    """Dev, or shifted traffic: probabilities (n, K), grades (n,), query and fold of each pair, (n,), and how often
    each query stands in each resample, (B, Q)."""

    probabilities: np.ndarray
    grades: np.ndarray
    query: np.ndarray
    fold: np.ndarray
    resamples: np.ndarray


def part_of(
    probabilities: np.ndarray,
    grades: Sequence[int] | np.ndarray,
    groups: Sequence | np.ndarray | None,
    scale: GradeScale,
    folds: int,
    rng: np.random.Generator,
) -> Part:
    p, g, K = np.asarray(probabilities, dtype=np.float64), np.asarray(grades, dtype=np.int64), scale.size
    if len(g) == 0:
        raise EmptySplitError("there is no dev pair to choose a decision rule on")
    if p.shape != (len(g), K) or not np.isfinite(p).all() or (groups is not None and len(groups) != len(g)):
        raise DataError(
            f"{len(g)} grades on a scale of {K} need finite probabilities ({len(g)}, {K}), got {p.shape}",
            mend="give one row of probabilities, and one group where groups are given, to each grade",
        )
    if g.min() < 0 or g.max() >= K:
        raise GradeError(f"grades run from {g.min()} to {g.max()}, the scale from 0 to {K - 1}")
    query = np.unique(np.arange(len(g)) if groups is None else np.asarray(groups), return_inverse=True)[1]
    queries = int(query.max()) + 1
    fold = (rng.permutation(queries) % min(folds, queries))[query]
    return Part(p, g, query, fold, rng.multinomial(queries, np.full(queries, 1 / queries), size=RESAMPLES))


@dataclass(frozen=True)
class Held:
    """The objective of held-out decisions, and what it is on each resample, (B,)."""

    figure: float
    draws: np.ndarray


def held_out(fit: Fit, known: Part, other: Part | None, judge: Callable, K: int) -> tuple[Held, Held | None] | None:
    """What the rules are worth that are fitted on all folds but one, on both parts; None where one cannot be fitted."""
    parts = [known] if other is None else [known, other]
    decided = [np.zeros(len(part.grades), dtype=np.int64) for part in parts]
    for k in range(known.fold.max() + 1):
        rule = fit(known.fold != k, slice(None) if other is None else other.fold != k)
        if rule is None:
            return None
        for part, out in zip(parts, decided, strict=True):
            held = part.fold == k
            out[held] = rule.decide(part.probabilities[held])
    found = []
    for part, out in zip(parts, decided, strict=True):
        queries = part.resamples.shape[1]
        cells = np.bincount(part.query * K * K + part.grades * K + out, minlength=queries * K * K)
        cells = cells.reshape(queries, K * K)
        figure = float(judge(cells.sum(axis=0).reshape(K, K).astype(np.float64)))
        draws = judge((part.resamples.astype(np.float64) @ cells).reshape(-1, K, K))
        found.append(Held(figure, draws))
    return found[0], found[1] if other is not None else None


def gain_of(
    held: tuple[Held, Held | None], start: tuple[Held, Held | None], share: float
) -> tuple[float, float, float]:
    """What a rule gains over the one to beat, the standard error of that, and what it loses on shifted traffic."""
    gain, draws = held[0].figure - start[0].figure, held[0].draws - start[0].draws
    if held[1] is None or start[1] is None or not np.isfinite(held[1].figure - start[1].figure):
        return gain, float(np.nanstd(draws)), 0.0
    elsewhere = held[1].figure - start[1].figure
    draws = (1 - share) * draws + share * (held[1].draws - start[1].draws)
    return (1 - share) * gain + share * elsewhere, float(np.nanstd(draws)), -elsewhere
