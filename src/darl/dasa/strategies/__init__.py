"""Strategies: in which order the open candidates are picked. Small classes behind one interface, one registry."""

from darl.dasa.strategies.balanced import Balanced
from darl.dasa.strategies.base import Context, Strategy, how_far
from darl.dasa.strategies.diverse import Badge, KCenter, TypiClust
from darl.dasa.strategies.mixed import Mixed
from darl.dasa.strategies.registry import make_strategy, register_strategy, strategy_names
from darl.dasa.strategies.simple import Coverage, Margin, Random, Uncertainty

__all__ = [
    "Badge",
    "Balanced",
    "Context",
    "Coverage",
    "KCenter",
    "Margin",
    "Mixed",
    "Random",
    "Strategy",
    "TypiClust",
    "Uncertainty",
    "how_far",
    "make_strategy",
    "register_strategy",
    "strategy_names",
]
