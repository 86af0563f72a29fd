"""One window against the known pairs: every figure, and whether it is an alarm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darl.drift.accuracy import AccuracyEstimate, estimate_accuracy
from darl.drift.clustered import clustered_interval
from darl.drift.clusters import Cluster, standing_out
from darl.drift.figures import Figures
from darl.drift.null import NullWindows
from darl.drift.signals import KnownSide, Signal, leading
from darl.drift.slices import Slice, moved_slices, new_rows, new_value_p
from darl.errors import RecipeError
from darl.evaluation.intervals import Interval

ALPHA = 0.01
"""Level of an alarm. The known pairs are one sample of queries, and every window is held against the same one: at 0.05
an unlucky sample raised over 10 % false alarms on one suite of three, at 0.01 at most 5 %. See docs/drift.md."""

FAR = 95.0
"""OOD percentile above which a pair is far out; by definition 5 % of known pairs are."""

FEWEST_QUERIES, FEWEST_PAIRS = 10, 50
"""Less traffic than this is not judged: nothing short of a landslide could be shown with it."""


@dataclass(frozen=True)
class WindowDrift:
    """What one window shows.

    Attributes:
        name: of the window. pairs, queries: its size.
        far_share: above the threshold, with its interval over queries; None without OOD scores. expected: of
            known pairs.
        signals: each statistic with its p. signals_p: of the smallest, corrected for their number.
        new_values: {column: p} of values that no known query has. p: of signals and new values together.
        accuracy: estimated without labels; None without probabilities.
        slices, clusters: what moved, most moved first.
        state: ``calm``, ``alarm``, or ``too little`` to judge.
    """

    name: str
    pairs: int
    queries: int
    far_share: Interval | None
    expected: float
    signals: list[Signal]
    signals_p: float
    new_values: dict[str, float]
    p: float
    accuracy: AccuracyEstimate | None
    slices: list[Slice]
    clusters: list[Cluster]
    state: str

    def to_dict(self) -> dict:
        return {
            **vars(self),
            "far_share": None if self.far_share is None else self.far_share.to_dict(),
            "signals": [signal.to_dict() for signal in self.signals],
            "accuracy": None if self.accuracy is None else self.accuracy.to_dict(),
            "slices": [one.to_dict() for one in self.slices],
            "clusters": [one.to_dict() for one in self.clusters],
        }


def enough(groups: np.ndarray) -> bool:
    """Whether a window of pairs of these queries, (n,), is traffic enough to judge."""
    return len(np.unique(groups)) >= FEWEST_QUERIES and len(groups) >= FEWEST_PAIRS


def judge_window(
    side: KnownSide, figures: Figures, name: str = "all", *, alpha: float = ALPHA, draws: int = 999, seed: int = 0
) -> WindowDrift:
    """Judge one window.

    p = min(2 · a, b), a ≤ b the p of the signals and of the new values (Simes 1986: also where the two agree, which
    they do); p of the new values is the smallest column's, times the number of columns. Columns that are new on
    the same pairs say one thing and count once. Without columns that the model knows, p of the signals. An alarm is
    p ≤ ``alpha``.

    Args:
        side: the known pairs. figures: the window, n ≥ 1 pairs.
        alpha: the level, in (0, 1). draws: null windows; the smallest p is 1 / (draws + 1).

    Raises:
        RecipeError: a level outside (0, 1), or draws too few for it.
    """
    if not 0 < alpha < 1 or draws < 2 / alpha:
        raise RecipeError(
            f"level {alpha} with {draws} draws", where="drift", mend="0 < level < 1 and draws ≥ 2 / level"
        )
    known = side.known
    _, sizes = np.unique(figures.groups, return_counts=True)
    null = NullWindows(known.groups, sizes, draws=draws, seed=seed)
    signals, joint = side.signals(figures, null)
    new_values = new_value_p(known, figures.groups, figures.columns)
    p = joint
    if new_values:
        different = len({rows.tobytes() for rows in new_rows(known, figures.columns).values()})
        low, high = sorted((joint, min(1.0, different * min(new_values.values()))))
        p = min(2 * low, high)
    far = share = None
    if figures.ood_scores is not None:
        threshold = np.quantile(known.ood_scores, FAR / 100)
        far = (figures.ood_scores > threshold).astype(float)
        share = clustered_interval(far, figures.groups, seed=seed)
    accuracy = None
    if figures.probabilities is not None and figures.decided is not None:
        accuracy = estimate_accuracy(known, figures.probabilities, figures.decided, figures.groups, seed=seed)
    leads = leading(signals)
    evidence, usual = side.evidence(figures, leads), side.evidence(side.own, leads)
    if evidence is None or usual is None:
        evidence, usual = np.ones(len(figures)), np.ones(len(known.groups))
    return WindowDrift(
        name=name,
        pairs=len(figures),
        queries=len(sizes),
        far_share=share,
        expected=1 - FAR / 100,
        signals=signals,
        signals_p=joint,
        new_values=new_values,
        p=p,
        accuracy=accuracy,
        slices=moved_slices(known, figures, evidence, float(usual.mean()), far, new_values, alpha=alpha),
        clusters=standing_out(figures, evidence, known.groups, usual, seed=seed),
        state="too little" if not enough(figures.groups) else "alarm" if p <= alpha else "calm",
    )
