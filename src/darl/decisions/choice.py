"""choose_rule: compare decision rules on dev by cross-fitting; argmax stays unless another is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from darl.decisions.agreement import OBJECTIVES
from darl.decisions.crossfit import Fit, Held, Part, Rows, gain_of, held_out, part_of
from darl.decisions.rule import DecisionRule
from darl.decisions.thresholds import bagged_thresholds
from darl.errors import DataError, MissingGradeError
from darl.grades import GradeScale

TAUS = (0.25, 0.5, 0.75, 1.0)
PLAIN = "argmax before calibration"
FEW_QUERIES = 50  # with so many a gain must exceed √2 standard errors


@dataclass(frozen=True)
class Candidate:
    """One rule that was tried: its cross-fitted figure on dev, its gain over argmax (on dev and on shifted traffic, in
    their shares), the standard error of that gain.

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
    shifted: tuple[np.ndarray, np.ndarray, np.ndarray | None] | None = None,
    shift_share: float = 0.3,
    max_shifted_loss: float = 0.02,
) -> RuleChoice:
    """Choose how to decide, on dev, so that a flexible rule cannot win by overfitting.

    Each candidate is fitted on the queries of all folds but one and decides the held fold; the held
    decisions of all folds together give its figure. Its gain over argmax has a standard error (200 resamples
    of whole queries, the same for both). A candidate may replace argmax only where its gain exceeds **both**
    √(1 + 50 / q) standard errors, q being dev's queries, and `margin`; of those the largest gain wins and is
    refitted on all of dev. With many queries that is the one-standard-error rule (Breiman et al. 1984, argmax being
    the simplest), no significance test: a switch made by chance is one between rules that are about equal. With few
    it is not: the rule refitted on ten queries scatters more than their resamples tell (experiment 45).

    With ``shifted``, the gain is (1 − s) · gain on dev + s · gain on shifted traffic, s = ``shift_share``, and the
    thresholds are fitted to both in these shares: rules bend to dev's mix of grades, and other traffic has another.

    Args:
        probabilities: (n, K), calibrated or not. grades: (n,) in 0 … K−1.
        objective: `macro_f1_qwk` (mean of the two), `macro_f1`, `qwk` or `accuracy`.
        folds: at most this many, never more than there are queries.
        groups: (n,) query of each pair; without it every pair is a query of its own.
        prior: (K,) shares of the grades in training; without it they are counted on dev (one added to each).
        margin: smallest gain worth leaving argmax for, in units of the objective.
        plain: the rule to beat where that is not argmax; argmax is then one of the candidates.
        shifted: probabilities (m, K), grades (m,) and queries (m,) or None of other traffic.
        shift_share: what shifted traffic counts for, in [0, 1).
        max_shifted_loss: a rule that gives up more than this of the objective there, against ``plain``, is not taken.

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
    if objective not in OBJECTIVES:
        raise DataError(f"unknown objective {objective!r}", mend=f"use one of {', '.join(OBJECTIVES)}")
    K, rng = scale.size, np.random.default_rng(seed)
    known = part_of(probabilities, grades, groups, scale, folds, rng)
    present = scale.counts(known.grades)
    absent = [scale.names[k] for k in np.flatnonzero(present == 0)]
    if len(absent) == K - 1:
        raise MissingGradeError(
            f"every dev pair has the grade {scale.names[known.grades[0]]!r}: no rule can be judged",
            mend="give dev pairs of several grades",
        )
    if known.fold.max() < 1:
        reason = "argmax stays: dev has one query, so nothing can be held out to judge another rule on"
        return RuleChoice(plain or DecisionRule(), (), objective, reason)
    other = (
        None if shifted is None or len(shifted[1]) == 0 else part_of(*shifted, scale, int(known.fold.max()) + 1, rng)
    )
    share = 0.0 if other is None or other.fold.max() < 1 else shift_share
    judge = OBJECTIVES[objective]
    fits = _fits(known, other, share, judge, prior, bool(absent), plain, seed)
    default = next(iter(fits))
    start: tuple[Held, Held | None] | None = None
    table: list[Candidate] = []
    stricter = (1 + FEW_QUERIES / known.resamples.shape[1]) ** 0.5
    best, best_gain = default, 0.0
    for name, fit in fits.items():
        held = None if fit is None else held_out(fit, known, other, judge, K)
        if held is None:
            left_out = "dev lacks a grade" if fit is None else "too few different expected grades"
            table.append(Candidate(name, np.nan, np.nan, np.nan, f"left out: {left_out}"))
            continue
        start = start or held
        gain, error, lost = gain_of(held, start, share)
        wins, harms = gain > max(error * stricter, margin), lost > max_shifted_loss
        note = f"beats {default}" if wins else f"within noise of {default}" if gain > 0 else f"not above {default}"
        if wins and harms:
            note += f", but gives up {lost:.4f} on shifted traffic"
        note = "the default" if name == default else note
        table.append(Candidate(name, held[0].figure, gain, error, note))
        if wins and not harms and gain > best_gain:
            best, best_gain = name, gain
    rule = (plain or DecisionRule()) if best == default else fits[best](slice(None), slice(None))  # type: ignore[misc]
    won = next(row for row in table if row.rule == best)
    reason = _reason(won, default, table, objective, absent)
    return RuleChoice(rule or DecisionRule(), tuple(table), objective, reason, figure=won.figure)


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


def _fits(
    known: Part,
    other: Part | None,
    share: float,
    judge: Callable,
    prior: Sequence[float] | None,
    incomplete: bool,
    plain: DecisionRule | None,
    seed: int,
) -> dict[str, Fit | None]:
    """Every candidate by name, simplest first: (rows of dev, rows of shifted traffic) → rule; None = not to be
    fitted."""
    K = known.probabilities.shape[1]

    def corrected(tau: float) -> Fit:
        def fit(rows: Rows, _: Rows) -> DecisionRule:
            g = known.grades[rows]
            counted = (np.bincount(g, minlength=K) + 1) / (len(g) + K)
            shares = counted.tolist() if prior is None else prior
            return DecisionRule("prior_corrected", prior=tuple(shares), tau=tau)

        return fit

    def thresholds(rows: Rows, others: Rows) -> DecisionRule | None:
        parts = [(known, rows, 1 - share)] + ([(other, others, share)] if other is not None and share else [])
        p = np.concatenate([part.probabilities[at] for part, at, _ in parts])
        g = np.concatenate([part.grades[at] for part, at, _ in parts])
        query = np.concatenate([part.query[at] * 2 + n for n, (part, at, _) in enumerate(parts)])
        # as many as there are pairs in all, so that a weight is what a pair counts for
        sizes = [len(part.grades[at]) for part, at, _ in parts]
        weights = np.concatenate(
            [np.full(size, weight * sum(sizes) / size) for size, (*_, weight) in zip(sizes, parts, strict=True) if size]
        )
        return bagged_thresholds(p, g, judge, query, weights, seed)

    rules = [DecisionRule(), DecisionRule("least_cost", power=1), DecisionRule("least_cost", power=2)]
    first = {} if plain is None or plain == DecisionRule() else {PLAIN: plain}
    named = first | {rule.name: rule for rule in rules}
    fits: dict[str, Fit | None] = {name: (lambda a, b, rule=rule: rule) for name, rule in named.items()}
    fits |= {f"prior_corrected τ={tau:g}": None if incomplete and prior is None else corrected(tau) for tau in TAUS}
    return fits | {"thresholds": None if incomplete else thresholds}
