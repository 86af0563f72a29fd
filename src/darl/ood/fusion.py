"""Fusion: several detectors joined by their ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from darl.errors import RecipeError
from darl.ood.base import Detector
from darl.ood.checks import check_integer, check_positive
from darl.ood.ranks import smooth_ranks


class Fusion(Detector):
    """s(x) = mean_j R_j(s_j(x)) in [0, 100], with R_j(s) the percentile of s in detector j's held-out scores.

    Ranks, not raw scores, are averaged, so no detector outweighs another by its unit. Ranks are interpolated
    and go on beyond the largest held-out score, see :func:`~darl.ood.ranks.smooth_ranks`, so far rows keep
    their order.

    Held-out pairs are those given to ``fit(…, held_out=)``; without them a random share of the rows is set
    aside (a split by query is better: rows of one query resemble each other).

    Args:
        members: one mapping a detector: ``name``, its parameters, and if wanted ``columns`` [start, stop)
            that it reads of the matrix; so detectors on features and on logits can be fused on
            ``hstack([features, logits])``.
        held_out_share: in (0, 1), set aside when ``fit`` gets no held-out rows.
        seed: of that draw.

    Raises:
        RecipeError: no member, a member that is no detector, columns outside the matrix.

    >>> rows = np.random.default_rng(0).normal(3, 1, (200, 4))
    >>> fused = Fusion(members=[{"name": "knn", "k": 5}, {"name": "mahalanobis"}]).fit(rows)
    >>> near, far = fused.score(np.array([[3.0, 3.0, 3.0, 3.0], [-3.0, 3.0, -3.0, 3.0]]))
    >>> bool(near < 50 < 99 < far)
    True
    """

    name = "fusion"

    def __init__(
        self,
        members: Sequence[Mapping] = ({"name": "knn"}, {"name": "mahalanobis"}),
        held_out_share: float = 0.2,
        seed: int = 0,
    ) -> None:
        from darl.ood.registry import make_detector  # the registry lists this class too

        if isinstance(members, str | Mapping) or not members:
            raise RecipeError("must list at least one detector", where=f"{self.name}.members")
        self.members = [dict(member) if isinstance(member, Mapping) else {"name": member} for member in members]
        self.held_out_share = check_positive("held_out_share", held_out_share, where=self.name)
        if self.held_out_share >= 1:
            raise RecipeError(f"must be below 1, got {held_out_share}", where=f"{self.name}.held_out_share")
        self.seed = check_integer("seed", seed, where=self.name, at_least=0)
        self._columns = [_span(member.get("columns")) for member in self.members]
        self._detectors = [
            make_detector(**{key: value for key, value in member.items() if key != "columns"})
            for member in self.members
        ]

    def _fit(self, rows: np.ndarray, grades: np.ndarray | None, held_out: np.ndarray | None) -> None:
        for columns in self._columns:
            if columns.stop is not None and columns.stop > rows.shape[1]:
                raise RecipeError(f"columns end at {columns.stop}, features at {rows.shape[1]}", where=self.name)
        if held_out is None:
            order = np.random.default_rng(self.seed).permutation(len(rows))
            cut = max(1, round(self.held_out_share * len(rows)))
            fitted = order[cut:] if cut < len(rows) else order  # a single row must serve as both
            held_out, rows = rows[order[:cut]], rows[fitted]
            grades = None if grades is None else grades[fitted]
        self.held_out_scores_ = []
        for detector, columns in zip(self._detectors, self._columns, strict=True):
            detector.fit(rows[:, columns], grades, held_out=held_out[:, columns])
            self.held_out_scores_.append(np.sort(detector.score(held_out[:, columns])))

    def _score(self, rows: np.ndarray) -> np.ndarray:
        members = zip(self._detectors, self._columns, self.held_out_scores_, strict=True)
        ranks = [smooth_ranks(detector.score(rows[:, columns]), known) for detector, columns, known in members]
        return np.mean(ranks, axis=0)

    def _state(self) -> dict[str, np.ndarray]:
        state = {}
        for j, (detector, known) in enumerate(zip(self._detectors, self.held_out_scores_, strict=True)):
            state |= {f"{j}.{key}": array for key, array in detector.state().items()}
            state[f"{j}.held_out_scores"] = known
        return state

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        self.held_out_scores_ = [state[f"{j}.held_out_scores"] for j in range(len(self.members))]
        for j, detector in enumerate(self._detectors):
            own = {key.removeprefix(f"{j}."): array for key, array in state.items() if key.startswith(f"{j}.")}
            self._detectors[j] = type(detector).from_state(detector.settings(), own)


def _span(columns: object) -> slice:
    """[start, stop) as a slice; None means all columns."""
    if columns is None:
        return slice(None)
    if not isinstance(columns, Sequence) or isinstance(columns, str) or len(columns) != 2:
        raise RecipeError(f"columns must be [start, stop], got {columns!r}", where="fusion.members")
    start = check_integer("columns", columns[0], where="fusion.members", at_least=0)
    return slice(start, check_integer("columns", columns[1], where="fusion.members", at_least=start + 1))
