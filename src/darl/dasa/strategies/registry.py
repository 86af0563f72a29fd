"""The strategies by name: what ``--strategy`` can say."""

from __future__ import annotations

import difflib

from darl.dasa.strategies.balanced import Balanced
from darl.dasa.strategies.base import Strategy
from darl.dasa.strategies.diverse import Badge, KCenter, TypiClust
from darl.dasa.strategies.mixed import Mixed
from darl.dasa.strategies.simple import Coverage, Margin, Random, Uncertainty
from darl.errors import RecipeError

_STRATEGIES: dict[str, type[Strategy]] = {}


def register_strategy(strategy: type[Strategy]) -> type[Strategy]:
    """Makes a strategy known by its name; fit for use as a decorator."""
    _STRATEGIES[strategy.name] = strategy
    return strategy


for _strategy in (Coverage, Random, Uncertainty, Margin, KCenter, Badge, TypiClust, Mixed, Balanced):
    register_strategy(_strategy)


def strategy_names() -> list[str]:
    """Every name that :func:`make_strategy` knows.

    >>> strategy_names()
    ['coverage', 'random', 'uncertainty', 'margin', 'k-center', 'badge', 'typiclust', 'dasa', 'balanced'...]
    """
    return list(_STRATEGIES)


def make_strategy(name: str | Strategy) -> Strategy:
    """A strategy from its name; a strategy is returned as it is.

    Raises:
        RecipeError: an unknown name; the nearest known one is named.

    >>> make_strategy("coverag")
    Traceback (most recent call last):
    darl.errors.RecipeError: strategy: unknown strategy 'coverag'
      mend: did you mean 'coverage'? Known: coverage, random...
    """
    if isinstance(name, Strategy):
        return name
    if not isinstance(name, str) or name not in _STRATEGIES:
        near = difflib.get_close_matches(str(name).lower(), _STRATEGIES, n=1, cutoff=0.5)
        guess = f"did you mean {near[0]!r}? " if near else ""
        raise RecipeError(
            f"unknown strategy {name!r}", where="strategy", mend=f"{guess}Known: {', '.join(_STRATEGIES)}"
        )
    return _STRATEGIES[name]()
