"""When an annotator meets a hidden gold pair or a repeat: spread evenly, at places nobody can foresee."""

from __future__ import annotations

import hashlib
import math


def due(shown: int, share: float, *key: object) -> int:
    """How many of an annotator's first ``shown + 1`` pairs are to be of the hidden kind.

    The k-th (from 0) stands at place ⌊(k + u_k) / share⌋, u_k uniform in [0, 1) by hash of ``key`` and k: one in each
    stretch of 1 / share pairs, at random within it. Where two fall on one place, the second comes right after.

    Args:
        shown: pairs answered so far; the next one has this place (from 0).
        share: of the hidden kind, in [0, 0.4].
        key: what the places depend on (seed, annotator, kind).

    >>> [due(n, 0.25, "ann") for n in range(12)][3::4]
    [1, 2, 3]
    >>> due(1000, 0.0, "ann")
    0
    """
    if share <= 0:
        return 0
    sure = math.floor(shown * share)  # (k + u) / share < (k + 1) / share ≤ shown for each k below it
    return sure + sum(math.floor((k + draw(*key, k)) / share) <= shown for k in (sure, sure + 1))


def draw(*key: object) -> float:
    """A number in [0, 1) that depends on the key alone.

    >>> draw("a", 1) == draw("a", 1) != draw("a", 2)
    True
    """
    text = "\x1f".join(str(part) for part in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
