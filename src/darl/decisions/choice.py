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
PLAIN = "argmax before shifts"


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
    plain: DecisionRule | None = None,
    shifted: tuple[np.ndarray, np.ndarray] | None = None,
    max_shifted_loss: float = 0.003,
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
        plain: the rule to beat where that is not argmax; argmax is then one of the candidates.
        shifted: probabilities (m, K) and grades (m,) of other traffic. A rule that gives up more than
            ``max_shifted_loss`` of the objective there, against ``plain``, is not taken: rules bend to dev's mix of
            grades, and other traffic has another.

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
        return RuleChoice(plain or DecisionRule(), (), objective, reason)

    fold = (rng.permutation(queries) % min(folds, queries))[query]
    weights = rng.multinomial(queries, np.full(queries, 1 / queries), size=200)  # (200, Q)
    judge, fits = OBJECTIVES[objective], _fits(K, OBJECTIVES[objective], prior, bool(absent), plain)
    default = next(iter(fits))
    plain_draws, plain_figure, plain_out = np.empty(0), 0.0, 0.0
    table: list[Candidate] = []
    best, best_gain = default, 0.0
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
        out = _elsewhere(fit(p, g) if fit else None, shifted, judge, K)
        if name == default:
            plain_draws, plain_figure, plain_out = draws, figure, out
        gain, error = figure - plain_figure, float(np.nanstd(draws - plain_draws))
        wins = gain > max(error, margin)
        harms = out < plain_out - max_shifted_loss
        note = f"beats {default}" if wins else f"within noise of {default}" if gain > 0 else f"not above {default}"
        if wins and harms:
            note += f", but gives up {plain_out - out:.4f} on shifted traffic"
        note = "the default" if name == default else note
        table.append(Candidate(name, figure, gain, error, note))
        if wins and not harms and gain > best_gain:
            best, best_gain = name, gain
    rule = (plain or DecisionRule()) if best == default else fits[best](p, g)  # type: ignore[misc]
    won = next(row for row in table if row.rule == best)
    reason = _reason(won, default, table, objective, absent)
    return RuleChoice(rule or DecisionRule(), tuple(table), objective, reason, figure=won.figure)


def _elsewhere(
    rule: DecisionRule | None, shifted: tuple[np.ndarray, np.ndarray] | None, judge: Callable, K: int
) -> float:
    """The objective of a rule on shifted traffic; 0 where there is none or it is undefined."""
    if rule is None or shifted is None or len(shifted[1]) == 0:
        return 0.0
    cells = np.bincount(np.asarray(shifted[1]) * K + rule.decide(shifted[0]), minlength=K * K).reshape(K, K)
    value = float(judge(cells.astype(np.float64)))
    return value if np.isfinite(value) else 0.0


def _reason(row: Candidate, default: str, table: Sequence[Candidate], objective: str, absent: list[str]) -> str:
    text = (
        f"{row.rule}: {objective} {row.figure:.4f} cross-fitted, {row.gain:.4f} above {default} "
        f"(standard error {row.standard_error:.4f})"
    )
    if row.rule == default:
        harmful = ", ".join(other.rule for other in table if "but gives up" in other.note)
        text = f"{default} stays: {objective} {row.figure:.4f}, cross-fitted no other rule beats it by more than noise"
        text += f" without harm to shifted traffic (not {harmful})" if harmful else ""
    left_out = f"; dev lacks {', '.join(absent)}, so rules fitted to the grades were left out"
    return text + (left_out if absent else "")


Fit = Callable[[np.ndarray, np.ndarray], DecisionRule | None]


def _fits(
    K: int, judge: Callable, prior: Sequence[float] | None, incomplete: bool, plain: DecisionRule | None
) -> dict[str, Fit | None]:
    """Every candidate by name, simplest first: (probabilities, grades) → rule; None = not to be fitted."""

    def corrected(tau: float) -> Fit:
        def fit(p: np.ndarray, g: np.ndarray) -> DecisionRule:
            counted = (np.bincount(g, minlength=K) + 1) / (len(g) + K)
            shares = counted.tolist() if prior is None else prior
            return DecisionRule("prior_corrected", prior=tuple(shares), tau=tau)

        return fit

    rules = [DecisionRule(), DecisionRule("least_cost", power=1), DecisionRule("least_cost", power=2)]
    first = {} if plain is None or plain == DecisionRule() else {PLAIN: plain}
    named = first | {rule.name: rule for rule in rules}
    fits: dict[str, Fit | None] = {name: (lambda p, g, rule=rule: rule) for name, rule in named.items()}
    fits |= {f"prior_corrected τ={tau:g}": None if incomplete and prior is None else corrected(tau) for tau in TAUS}
    return fits | {"thresholds": None if incomplete else lambda p, g: fit_thresholds(p, g, judge)}
