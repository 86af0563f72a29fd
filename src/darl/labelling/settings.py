"""How a project is labelled: shares of hidden checks, labels a pair, leases, the guideline."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from darl.labelling.problems import LabellingError

LARGEST_SHARE = 0.4


@dataclass(frozen=True)
class LabelSettings:
    """The settings of a project; they are kept with it and can be changed at each start.

    Attributes:
        gold_share: share of an annotator's pairs that are gold, in [0, 0.4]; there must be gold pairs.
        repeat_share: share that are their own earlier pairs again, in [0, 0.4].
        repeat_gap: how many other answers lie at least between a pair and its repeat.
        labels_per_pair: annotators who grade each pair.
        overlap: share of the pairs that one more annotator grades, in [0, 1], to measure agreement.
        lease_seconds: how long a pair is kept for the annotator who sees it; an open page renews it.
        seed: of the hidden order.
        show: further columns of the file that annotators see.
        guideline: the guideline's text.

    Raises:
        LabellingError: a setting out of its range.
    """

    gold_share: float = 0.1
    repeat_share: float = 0.05
    repeat_gap: int = 10
    labels_per_pair: int = 1
    overlap: float = 0.0
    lease_seconds: float = 600.0
    seed: int = 0
    show: tuple[str, ...] = ()
    guideline: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "show", tuple(self.show))
        for name in ("gold_share", "repeat_share"):
            if not 0 <= getattr(self, name) <= LARGEST_SHARE:
                raise _out_of_range(name, getattr(self, name), f"a share from 0 to {LARGEST_SHARE}")
        if not 0 <= self.overlap <= 1:
            raise _out_of_range("overlap", self.overlap, "a share from 0 to 1")
        if self.repeat_gap < 0:
            raise _out_of_range("repeat_gap", self.repeat_gap, "a number from 0 up")
        if self.labels_per_pair < 1:
            raise _out_of_range("labels_per_pair", self.labels_per_pair, "a number from 1 up")
        if self.lease_seconds <= 0:
            raise _out_of_range("lease_seconds", self.lease_seconds, "a number above 0")

    def changed(self, **given: Any) -> LabelSettings:
        """The same settings with those of ``given`` that are not None."""
        return LabelSettings(**{**asdict(self), **{name: value for name, value in given.items() if value is not None}})

    def to_dict(self) -> dict[str, Any]:
        """As JSON keeps them."""
        return {**asdict(self), "show": list(self.show)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LabelSettings:
        """The inverse of :meth:`to_dict`; keys of another version are passed over."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


def _out_of_range(name: str, value: object, mend: str) -> LabellingError:
    return LabellingError(f"{name}={value!r}", where="labelling settings", mend=f"give {mend}")
