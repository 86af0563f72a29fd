"""What the serving process knows of a model it never loads, and what it is told of each pair."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class ModelFacts:
    """A loaded model, described.

    Attributes:
        version: the first 12 hex digits of the SHA-256 over the model's files: other weights, other version.
        grades: names, least relevant first. max_length: tokens of the longest pair it reads.
        fixed_tokens: tokens that every pair takes besides its texts. shares_prefix: pairs of one query are read behind
            one prefix, so that further ones cost their item alone.
        has_ood: it has an OOD reference. ood_is_free: that reference reads the logits, so it costs nothing.
        no_nearest: why the nearest training pairs cannot be said, None where they can. runtime: ``torch`` or ``onnx``.
    """

    version: str
    grades: tuple[str, ...]
    gains: tuple[float, ...]
    max_length: int
    fixed_tokens: int
    has_ood: bool
    ood_is_free: bool
    backbone: str
    dtype: str
    device: str
    no_nearest: str | None = "nobody has read the training pairs"
    runtime: str = "torch"
    shares_prefix: bool = False

    @property
    def has_nearest(self) -> bool:
        """The nearest training pairs of a pair can be said."""
        return self.no_nearest is None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModelFacts:
        data = dict(data)
        grades, gains = tuple(data.pop("grades")), tuple(data.pop("gains"))
        return cls(grades=grades, gains=gains, **data)


class PairScore(NamedTuple):
    """What the model says of one pair; OOD figures in [0, 100] and of any size, None where not computed."""

    grade: int
    probabilities: list[float]
    relevance: float
    ood_score: float | None
    ood_percentile: float | None
    tokens: int
    nearest: list[dict[str, Any]] | None = None
    """The nearest training pairs, nearest first, where they were asked for."""
