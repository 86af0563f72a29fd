"""The rule of the embedded world: a pair's grade follows from what the query asks and the item offers.

* **strong** (2): an offer of the very product, and it meets the need;
* **weak** (1): the same line of business, but another product, or the need is not met or is ruled out;
* **irrelevant** (0): everything else, often with the query's own words (a *pet travel crate*).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ask:
    """What a query wants: a need met by a product of a domain (all by key)."""

    domain: str
    product: str
    need: str


@dataclass(frozen=True)
class Offer:
    """What an item is; ``product`` is empty for something that is no insurance at all."""

    domain: str
    product: str
    meets: frozenset[str] = frozenset()
    excludes: frozenset[str] = frozenset()


def grade_of(ask: Ask, offer: Offer) -> int:
    """The grade that follows from the two.

    >>> ask = Ask("health", "dental", "children")
    >>> grade_of(ask, Offer("health", "dental", meets=frozenset({"children", "abroad"})))
    2
    >>> grade_of(ask, Offer("health", "dental", meets=frozenset({"abroad"}), excludes=frozenset({"children"})))
    1
    >>> grade_of(ask, Offer("health", "eyes", meets=frozenset({"children"})))
    1
    >>> grade_of(ask, Offer("motor", "breakdown", meets=frozenset({"abroad"})))
    0
    >>> grade_of(ask, Offer("health", ""))  # a children's toothbrush
    0
    """
    if ask.domain != offer.domain or not offer.product:
        return 0
    return 2 if ask.product == offer.product and ask.need in offer.meets else 1
