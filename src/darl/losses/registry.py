"""The losses by name: what a recipe's ``loss:`` can say."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from darl.errors import RecipeError
from darl.grades import GradeScale
from darl.losses.base import GradeLoss
from darl.losses.checks import check_choice
from darl.losses.cross_entropy import CrossEntropy
from darl.losses.focal import Focal
from darl.losses.label_smoothing import LabelSmoothing
from darl.losses.logit_norm import LogitNorm
from darl.losses.margin_smoothing import MarginSmoothing
from darl.losses.occ import OCC
from darl.losses.ordinal import gain_distances
from darl.losses.soft_ordinal import SoftOrdinal
from darl.losses.squared_emd import SquaredEMD

_ALL = (CrossEntropy, LabelSmoothing, Focal, SoftOrdinal, SquaredEMD, MarginSmoothing, LogitNorm, OCC)
_LOSSES: dict[str, type[GradeLoss]] = {loss.name: loss for loss in _ALL}


def loss_names() -> list[str]:
    """Every name that :func:`make_loss` knows.

    >>> loss_names()
    ['cross_entropy', 'label_smoothing', 'focal', 'soft_ordinal', 'squared_emd', 'margin_smoothing',
    'logit_norm', 'occ']
    """
    return list(_LOSSES)


def loss_parameters(name: str) -> dict[str, Any]:
    """The parameters that :func:`make_loss` takes for a loss, with their defaults.

    >>> loss_parameters("squared_emd")
    {'ce_weight': 0.0, 'distances': None, 'distance': 'steps'}
    """
    signature = inspect.signature(_find(name))
    defaults = {key: parameter.default for key, parameter in signature.parameters.items() if key != "K"}
    return defaults | ({"distance": "steps"} if "distances" in defaults else {})


def make_loss(name: str, K: int, scale: GradeScale | None = None, **params: Any) -> GradeLoss:
    """A loss from its name.

    Args:
        name: one of :func:`loss_names`.
        K: number of grades.
        scale: the grades' scale, needed for ``distance="gains"``.
        **params: the loss's own parameters (:func:`loss_parameters`). Ordinal losses also take ``distance``:
            "steps" (default) puts neighbouring grades 1 apart, "gains" uses the scale's gains.

    Raises:
        RecipeError: an unknown loss or parameter (the nearest known one is named), a value out of range, a
            scale that does not have K grades.

    >>> make_loss("focal", 3, gamma=1)
    Focal(K=3, gamma=1.0)
    >>> make_loss("focl", 3)
    Traceback (most recent call last):
    darl.errors.RecipeError: loss: unknown loss 'focl'
      mend: did you mean 'focal'? Known: cross_entropy, label_smoothing, focal, ...
    """
    loss, known = _find(name), list(loss_parameters(name))
    if scale is not None and scale.size != K:
        raise RecipeError(f"the scale has {scale.size} grades, the loss {K}", where=f"loss {name}")
    for key in params:
        if key not in known:
            raise RecipeError(f"{name} has no parameter {key!r}", where=f"loss.{key}", mend=_nearest(key, known))
    if "distance" in params:
        distance = check_choice("distance", params.pop("distance"), where=name, choices=("steps", "gains"))
        if params.get("distances") is not None:
            raise RecipeError("give `distance` or `distances`, not both", where=f"loss {name}")
        if distance == "gains":
            if scale is None:
                raise RecipeError("distance: gains needs the grade scale", where=f"loss {name}", mend="pass scale=")
            params["distances"] = gain_distances(scale)
    return loss(K, **params)


def _find(name: str) -> type[GradeLoss]:
    if not isinstance(name, str) or name not in _LOSSES:
        raise RecipeError(f"unknown loss {name!r}", where="loss", mend=_nearest(name, loss_names()))
    return _LOSSES[name]


def _nearest(word: object, known: list[str]) -> str:
    near = difflib.get_close_matches(str(word).lower().replace("-", "_"), known, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"{guess}Known: {', '.join(known) or 'none'}"
