"""Checks of a loss's parameters: each returns the value or says what the parameter must be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

from darl.errors import RecipeError


def check_number(
    name: str,
    value: object,
    *,
    where: str,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """``value`` as a finite float inside its bounds.

    Raises:
        RecipeError: not a number (True and "2" are not), not finite, or out of bounds.

    >>> check_number("gamma", 2, where="focal", at_least=0)
    2.0
    >>> check_number("gamma", -1, where="focal", at_least=0)
    Traceback (most recent call last):
    darl.errors.RecipeError: focal.gamma: must be a number ≥ 0, got -1
    """
    bounds = [f"≥ {at_least:g}"] if at_least is not None else []
    bounds += [f"> {above:g}"] if above is not None else []
    bounds += [f"< {below:g}"] if below is not None else []
    right = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    number = float(value) if right else math.nan  # type: ignore[arg-type]
    if (
        not right
        or (at_least is not None and number < at_least)
        or (above is not None and number <= above)
        or (below is not None and number >= below)
    ):
        raise RecipeError(f"must be a number {' and '.join(bounds)}, got {value!r}", where=f"{where}.{name}")
    return number


def check_integer(name: str, value: object, *, where: str, at_least: int) -> int:
    """``value`` as an int no smaller than ``at_least``.

    >>> check_integer("K", 1, where="focal", at_least=2)
    Traceback (most recent call last):
    darl.errors.RecipeError: focal.K: must be an integer ≥ 2, got 1
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < at_least:
        raise RecipeError(f"must be an integer ≥ {at_least}, got {value!r}", where=f"{where}.{name}")
    return int(value)


def check_choice(name: str, value: object, *, where: str, choices: Sequence[str]) -> str:
    """``value`` if it is one of ``choices``.

    >>> check_choice("emd_target", "firm", where="occ", choices=("soft", "hard"))
    Traceback (most recent call last):
    darl.errors.RecipeError: occ.emd_target: must be one of soft, hard, got 'firm'
    """
    if not isinstance(value, str) or value not in choices:
        raise RecipeError(f"must be one of {', '.join(choices)}, got {value!r}", where=f"{where}.{name}")
    return value


def check_flag(name: str, value: object, *, where: str) -> bool:
    """``value`` if it is true or false.

    >>> check_flag("neutral", "yes", where="occ")
    Traceback (most recent call last):
    darl.errors.RecipeError: occ.neutral: must be true or false, got 'yes'
    """
    if not isinstance(value, bool):
        raise RecipeError(f"must be true or false, got {value!r}", where=f"{where}.{name}")
    return value
