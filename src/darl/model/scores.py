"""Scores: what a model says of a table of pairs, one row a pair, in the input's order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from darl.grades import GradeScale


@dataclass(frozen=True)
class Scores:
    """Grades, probabilities and scores of n pairs.

    Attributes:
        scale: the grade scale, K grades.
        probabilities: calibrated, (n, K).
        grades: by the model's decision rule, (n,).
        relevance: calibrated expected gain in [0, 1], (n,).
        ood_scores: larger = further out, (n,), or None when not asked for.
        ood_percentiles: against held-out ID pairs, in [0, 100], (n,), or None.
    """

    scale: GradeScale
    probabilities: np.ndarray
    grades: np.ndarray
    relevance: np.ndarray
    ood_scores: np.ndarray | None = None
    ood_percentiles: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.grades)

    def to_arrow(self) -> pa.Table:
        """One row a pair: grade, its name, relevance score, ``p_<name>`` per grade, OOD score and percentile."""
        names = np.asarray(self.scale.names, dtype=object)
        columns: dict[str, object] = {
            "grade": self.grades,
            "grade_name": names[self.grades].tolist(),
            "relevance_score": self.relevance,
        }
        for grade, name in enumerate(self.scale.names):
            columns[f"p_{name}"] = self.probabilities[:, grade]
        if self.ood_scores is not None and self.ood_percentiles is not None:
            columns["ood_score"], columns["ood_percentile"] = self.ood_scores, self.ood_percentiles
        return pa.table(columns)

    def rows(self) -> list[dict]:
        """The same as a list of dictionaries."""
        return self.to_arrow().to_pylist()
