"""GradeScale: the ordered grades of a task, their names and gains.

A grade is an ordinal label 0 … K−1 (larger = more relevant). The **relevance score** of a pair is its
calibrated expected gain, scaled to [0, 1]:

    relevance(p) = (Σ_k p_k · gain_k − gain_0) / (gain_{K−1} − gain_0)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from darl.errors import GradeError


@dataclass(frozen=True)
class GradeScale:
    """Ordered grade names with gains, any K ≥ 2.

    Args:
        names: K distinct names, the least relevant first.
        gains: K strictly increasing numbers; default 0, 1, … K−1 (equal steps).

    Raises:
        GradeError: fewer than two grades, a name twice, gains that do not increase.

    >>> scale = GradeScale(("irrelevant", "weak", "strong"))
    >>> scale.size, scale.parse("weak"), scale.parse("2"), scale.parse(0)
    (3, 1, 2, 0)
    >>> scale.relevance(np.array([[0.0, 0.5, 0.5]])).tolist()
    [0.75]
    """

    names: tuple[str, ...]
    gains: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        names = tuple(str(name).strip() for name in self.names)
        gains = tuple(float(gain) for gain in self.gains) or tuple(float(k) for k in range(len(names)))
        if len(names) < 2:
            raise GradeError(
                f"a scale needs at least two grades, got {len(names)}", mend="list every grade, least relevant first"
            )
        if len({name.casefold() for name in names}) != len(names) or not all(names):
            raise GradeError(f"grade names must be distinct and not empty: {list(names)}")
        if len(gains) != len(names):
            raise GradeError(f"{len(names)} grades but {len(gains)} gains", mend="give one gain a grade, or none")
        if not all(math.isfinite(gain) for gain in gains) or any(b <= a for a, b in pairwise(gains)):
            raise GradeError(f"gains must increase with the grade: {list(gains)}")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "gains", gains)

    @property
    def size(self) -> int:
        """K, the number of grades."""
        return len(self.names)

    def parse(self, value: object) -> int:
        """A grade from its name (any case) or its integer (``2``, ``2.0``, ``"2"``).

        A name wins over a number, so a scale named ("1", "2", "3") reads "1" and 1 as its lowest grade. Where every
        name is a number no other number is read as a place on the scale: a stray 0 there is an error.

        Raises:
            GradeError: the value is neither.

        >>> GradeScale(("1", "2", "3")).parse(0)
        Traceback (most recent call last):
        ...
        darl.errors.GradeError: grade 0 is not on the scale
          mend: use one of 1, 2, 3
        """
        number = _number(value)
        text = value.strip().casefold() if isinstance(value, str) else None
        numbers = [_number(name) for name in self.names]
        for grade, name in enumerate(self.names):
            if name.casefold() == text or numbers[grade] == number:
                return grade
        if not self._numbered and 0 <= number < self.size and number == int(number):
            return int(number)
        raise GradeError(f"grade {value!r} is not on the scale", mend=f"use {self.told()}")

    def told(self) -> str:
        """What :meth:`parse` reads, in words.

        >>> GradeScale(("no", "yes")).told(), GradeScale(("1", "2")).told()
        ('0 … 1 or one of no, yes', 'one of 1, 2')
        """
        places = "" if self._numbered else f"0 … {self.size - 1} or "
        return f"{places}one of {', '.join(self.names)}"

    @property
    def _numbered(self) -> bool:
        return not any(math.isnan(_number(name)) for name in self.names)

    def expected_gain(self, probabilities: np.ndarray) -> np.ndarray:
        """Σ_k p_k · gain_k, (n, K) → (n,), in units of gain."""
        return np.asarray(probabilities, dtype=np.float64) @ np.asarray(self.gains)

    def relevance(self, probabilities: np.ndarray) -> np.ndarray:
        """The relevance score: expected gain scaled to [0, 1], (n, K) → (n,)."""
        low, high = self.gains[0], self.gains[-1]
        return np.clip((self.expected_gain(probabilities) - low) / (high - low), 0.0, 1.0)

    def counts(self, grades: Sequence[int] | np.ndarray) -> np.ndarray:
        """How often each grade occurs, (n,) → (K,)."""
        return np.bincount(np.asarray(grades, dtype=np.int64), minlength=self.size)

    def to_dict(self) -> dict:
        return {"names": list(self.names), "gains": list(self.gains)}

    @classmethod
    def from_dict(cls, data: dict) -> GradeScale:
        return cls(tuple(data["names"]), tuple(data.get("gains", ())))


def _number(value: object) -> float:
    """A finite number, or NaN, which equals nothing."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan
