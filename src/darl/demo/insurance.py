"""The words of the embedded world: what a line of business sells, and how its customers ask for it.

A :class:`Domain` is a line of business. It sells products, and each of its needs can be met by any of its
products. Searchers and product texts name the same thing in different words, so both lists are kept.
All of it is invented. The tables stand in :mod:`darl.demo.known_lines` (what the training set covers) and
:mod:`darl.demo.new_private_lines` and
:mod:`darl.demo.new_trade_lines` (what it does not).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    """A kind of policy: how searchers call it, and the titles it is sold under.

    >>> Product("dental", asked=("tooth cover",), titles=("Smile Plan",)).key
    'dental'
    """

    key: str
    asked: tuple[str, ...]
    titles: tuple[str, ...]


@dataclass(frozen=True)
class Need:
    """What a searcher wants of a policy: who or what it insures, against what, on which terms.

    Args:
        key: its name; two domains may share one (``budget``, ``abroad``), which makes hard negatives.
        asked: searchers' words. In a known domain they follow a noun (*"tooth cover* for my kids*"*), in a
            new one they are whole clauses (*"*we take the kids along*, is that covered?"*).
        offered: how a product text says that it meets the need.
        noun: how a product text names the need when it does *not* meet it.
    """

    key: str
    asked: tuple[str, ...]
    offered: tuple[str, ...]
    noun: str


@dataclass(frozen=True)
class Domain:
    """A line of business, with things of everyday life that share its words but are no insurance.

    >>> from darl.demo.known_lines import KNOWN
    >>> health = KNOWN[0]
    >>> health.name, [product.key for product in health.products]
    ('health', ['hospital', 'dental', 'critical', 'eyes'])
    >>> health.need("children").noun
    'children'
    """

    name: str
    products: tuple[Product, ...]
    needs: tuple[Need, ...]
    lookalikes: tuple[str, ...]

    def product(self, key: str) -> Product:
        """The product with this key."""
        return next(product for product in self.products if product.key == key)

    def need(self, key: str) -> Need:
        """The need with this key."""
        return next(need for need in self.needs if need.key == key)
