"""choose_rule: compare decision rules on dev by cross-fitting; argmax stays unless another is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from darl.decisions.agreement import OBJECTIVES
from darl.decisions.rule import DecisionRule
from darl.decisions.thresholds import fit_thresholds
from darl.errors import DataError, EmptySplitError, GradeError, MissingGradeError
from darl.grades import GradeScale

TAUS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Candidate:
    """One rule that was tried: its cross-fitted figure, its gain over argmax, the standard error of that gain.

    All three are NaN for a rule that could not be fitted; `note` says why.
    """

    rule: str
    figure: float
    gain: float
    standard_error: float
    note: str


@dataclass(frozen=True)
class RuleChoice:
    """The chosen rule, refitted on all of dev; every candidate; the reason in words.

    `figure` is the objective of the chosen kind of rule, cross-fitted; None where nothing could be held out.
    """

    rule: DecisionRule
    table: tuple[Candidate, ...]
    objective: str
    reason: str
    figure: float | None = None

    def to_dict(self) -> dict:
        """Plain values; a NaN figure becomes None."""
        rows = [{k: None if v != v else v for k, v in asdict(row).items()} for row in self.table]
        return {
            "rule": self.rule.to_dict(),
            "table": rows,
            "objective": self.objective,
            "reason": self.reason,
        }


def choose_rule(
    probabilities: np.ndarray,
    grades: Sequence[int] | np.ndarray,
    scale: GradeScale,
    *,
    objective: str = "macro_f1_qwk",
    folds: int = 5,
    seed: int = 0,
    groups: Sequence | np.ndarray | None = None,
    prior: Sequence[float] | None = None,
    margin: float = 0.002,
) -> RuleChoice:
    """Choose how to decide, on dev, so that a flexible rule cannot win by overfitting.

    Each candidate is fitted on the queries of all folds but one and decides the held fold; the held
    decisions of all folds together give its figure. Its gain over argmax has a standard error (200 resamples
    of whole queries, the same for both). A candidate may replace argmax only where its gain exceeds **both**
    one standard error (the one-standard-error rule of Breiman et al. 1984, argmax being the simplest) and
    `margin`; of those the largest gain wins and is refitted on all of dev. This is no significance test: a
    switch made by chance is one between rules that are about equal.

    Args:
        probabilities: (n, K), calibrated or not. grades: (n,) in 0 … K−1.
        objective: `macro_f1_qwk` (mean of the two), `macro_f1`, `qwk` or `accuracy`.
        folds: at most this many, never more than there are queries.
        groups: (n,) query of each pair; without it every pair is a query of its own.
        prior: (K,) shares of the grades in training; without it they are counted on dev (one added to each).
        margin: smallest gain worth leaving argmax for, in units of the objective.

    A grade that dev lacks: the rules fitted to the grades (prior_corrected without `prior`, thresholds) are
    left out. One query only: nothing can be held out, argmax stays. `reason` says so in both cases.

    Raises:
        EmptySplitError: no pair.
        MissingGradeError: every dev pair has one and the same grade.
        GradeError: a grade off the scale.
        DataError: shapes that do not match, probabilities that are not finite, an unknown objective.

    >>> p = np.tile([[0.5, 0.1, 0.4], [0.6, 0.1, 0.3], [0.9, 0.1, 0.0], [0.3, 0.2, 0.5]], (30, 1))
    >>> choice = choose_rule(p, np.tile([1, 0, 0, 2], 30), GradeScale(("no", "partly", "yes")))
    >>> print(choice.reason)
    thresholds: macro_f1_qwk 1.0000 cross-fitted, 0.2833 above argmax (standard error 0.0223)
    """
    p, g, K = np.asarray(probabilities, dtype=np.float64), np.asarray(grades, dtype=np.int64), scale.size
    if objective not in OBJECTIVES:
        raise DataError(f"unknown objective {objective!r}", mend=f"use one of {', '.join(OBJECTIVES)}")
    if len(g) == 0:
        raise EmptySplitError("there is no dev pair to choose a decision rule on")
    if p.shape != (len(g), K) or not np.isfinite(p).all() or (groups is not None and len(groups) != len(g)):
        raise DataError(
            f"{len(g)} grades on a scale of {K} need finite probabilities ({len(g)}, {K}), got {p.shape}",
            mend="give one row of probabilities, and one group where groups are given, to each grade",
        )
    if g.min() < 0 or g.max() >= K:
        raise GradeError(f"grades run from {g.min()} to {g.max()}, the scale from 0 to {K - 1}")
    absent = [scale.names[k] for k in np.flatnonzero(scale.counts(g) == 0)]
    if len(absent) == K - 1:
        raise MissingGradeError(
            f"every dev pair has the grade {scale.names[g[0]]!r}: no rule can be judged",
            mend="give dev pairs of several grades",
        )
    query = np.unique(np.arange(len(g)) if groups is None else np.asarray(groups), return_inverse=True)[1]
    queries, rng = int(query.max()) + 1, np.random.default_rng(seed)
    if min(folds, queries) < 2:
        reason = "argmax stays: dev has one query, so nothing can be held out to judge another rule on"
        return RuleChoice(DecisionRule(), (), objective, reason)

    fold = (rng.permutation(queries) % min(folds, queries))[query]
    weights = rng.multinomial(queries, np.full(queries, 1 / queries), size=200)  # (200, Q)
    judge, argmax_draws, argmax_figure = OBJECTIVES[objective], np.empty(0), 0.0
    table: list[Candidate] = []
    best, best_gain, fits = "argmax", 0.0, _fits(K, judge, prior, bool(absent))
    for name, fit in fits.items():
        held, left_out = np.full(len(g), -1, dtype=np.int64), "dev lacks a grade"
        if fit is not None:
            left_out = "too few different expected grades"
            for k in range(fold.max() + 1):
                rule = fit(p[fold != k], g[fold != k])
                held[fold == k] = -1 if rule is None else rule.decide(p[fold == k])
        if (held < 0).any():
            table.append(Candidate(name, np.nan, np.nan, np.nan, f"left out: {left_out}"))
            continue
        cells = np.bincount(query * K * K + g * K + held, minlength=queries * K * K).reshape(queries, K * K)
        figure = float(judge(cells.sum(axis=0).reshape(K, K).astype(np.float64)))
        draws = judge((weights.astype(np.float64) @ cells).reshape(-1, K, K))
        if name == "argmax":
            argmax_draws, argmax_figure = draws, figure
        gain, error = figure - argmax_figure, float(np.nanstd(draws - argmax_draws))
        wins = gain > max(error, margin)
        note = "beats argmax" if wins else "within noise of argmax" if gain > 0 else "not above argmax"
        note = "the default" if name == "argmax" else note
        table.append(Candidate(name, figure, gain, error, note))
        if wins and gain > best_gain:
            best, best_gain = name, gain
    rule = DecisionRule() if best == "argmax" else fits[best](p, g)  # type: ignore[misc]
    won = next(row for row in table if row.rule == best)
    return RuleChoice(
        rule or DecisionRule(), tuple(table), objective, _reason(won, objective, absent), figure=won.figure
    )


def _reason(row: Candidate, objective: str, absent: list[str]) -> str:
    text = (
        f"{row.rule}: {objective} {row.figure:.4f} cross-fitted, {row.gain:.4f} above argmax "
        f"(standard error {row.standard_error:.4f})"
    )
    if row.rule == "argmax":
        text = f"argmax stays: {objective} {row.figure:.4f}, cross-fitted no other rule beats it by more than noise"
    left_out = f"; dev lacks {', '.join(absent)}, so rules fitted to the grades were left out"
    return text + (left_out if absent else "")


Fit = Callable[[np.ndarray, np.ndarray], DecisionRule | None]


def _fits(K: int, judge: Callable, prior: Sequence[float] | None, incomplete: bool) -> dict[str, Fit | None]:
    """Every candidate by name, simplest first: (probabilities, grades) → rule; None = not to be fitted."""

    def corrected(tau: float) -> Fit:
        def fit(p: np.ndarray, g: np.ndarray) -> DecisionRule:
            counted = (np.bincount(g, minlength=K) + 1) / (len(g) + K)
            shares = counted.tolist() if prior is None else prior
            return DecisionRule("prior_corrected", prior=tuple(shares), tau=tau)

        return fit

    rules = [DecisionRule(), DecisionRule("least_cost", power=1), DecisionRule("least_cost", power=2)]
    fits: dict[str, Fit | None] = {rule.name: (lambda p, g, rule=rule: rule) for rule in rules}
    fits |= {f"prior_corrected τ={tau:g}": None if incomplete and prior is None else corrected(tau) for tau in TAUS}
    return fits | {"thresholds": None if incomplete else lambda p, g: fit_thresholds(p, g, judge)}
