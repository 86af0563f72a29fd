"""Stage 3, weight interpolation: θ(α) = (1 − α)·θ_start + α·θ_tuned, body and head.

After Wortsman et al. 2022 (WiSE-FT). θ_start is the model as tuning began, so both ends share a head. For
LoRA the tuned weights are W + Δ with Δ the adapter's product, so θ(α) is the adapter scaled by α.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from darl.errors import ModelError

State = dict[str, torch.Tensor]


def interpolate(start: State, tuned: State, alpha: float) -> State:
    """Mix two state dictionaries. α = 0 gives ``start`` and α = 1 ``tuned``, bit for bit.

    Raises:
        ModelError: the two have other names or shapes.

    >>> a, b = {"w": torch.tensor([0.0])}, {"w": torch.tensor([1.0])}
    >>> interpolate(a, b, 0.25)["w"].item(), interpolate(a, b, 1.0)["w"] is b["w"]
    (0.25, True)
    """
    if start.keys() != tuned.keys() or any(start[name].shape != tuned[name].shape for name in start):
        odd = sorted(start.keys() ^ tuned.keys())[:3] or [n for n in start if start[n].shape != tuned[n].shape][:3]
        raise ModelError(f"the two ends of an interpolation differ in {odd}", mend="use two models of one architecture")
    if alpha in (0.0, 1.0):
        return dict(tuned if alpha else start)
    return {
        name: torch.lerp(start[name].float(), value.float(), alpha).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in tuned.items()
    }


@dataclass(frozen=True)
class Candidate:
    """One model that may be kept: which start, which α, and its objective on dev.

    Attributes:
        start: what tuning began from: ``random``, ``probe``, ``verbalizer``.
        alpha: its place between start (0) and tuned (1).
        id_value: the objective on dev_id. ood_value: on dev_ood, or None where there is none.
    """

    start: str
    alpha: float
    id_value: float
    ood_value: float | None

    def __str__(self) -> str:
        out = "" if self.ood_value is None else f", OOD {self.ood_value:.4f}"
        return f"{self.start} α={self.alpha:g} (dev ID {self.id_value:.4f}{out})"


def choose(
    candidates: list[Candidate],
    *,
    plain: Candidate,
    max_id_loss: float,
    min_gain: float,
    called: str = "plain tuning",
) -> tuple[Candidate, str]:
    """The candidate to keep, and why in words.

    Allowed are candidates that lose at most ε = ``max_id_loss`` on dev_id against ``plain``, which is plain tuning
    (or whatever it is ``called``). Of these:

    1. of those that gain at least ``min_gain`` on dev_ood, the best on both dev sets together, half and half: a little
       more on the small dev_ood is not worth much less on dev_id;
    2. else the best on dev_id that loses at most ε on dev_ood, if it gains at least ``min_gain`` on dev_id;
    3. else ``plain``.

    Without a dev_ood only 2 and 3 apply. So the choice is never worse than ``plain`` on dev by more than ε.

    >>> plain = Candidate("random", 1.0, 0.50, 0.40)
    >>> other = Candidate("probe", 0.8, 0.499, 0.43)
    >>> choose([plain, other], plain=plain, max_id_loss=0.003, min_gain=0.005)[0].start
    'probe'
    """

    def id_gain(c: Candidate) -> float:
        return c.id_value - plain.id_value

    def ood_gain(c: Candidate) -> float:
        return 0.0 if c.ood_value is None or plain.ood_value is None else c.ood_value - plain.ood_value

    allowed = [c for c in candidates if id_gain(c) >= -max_id_loss]
    out = max(
        (c for c in allowed if ood_gain(c) >= min_gain),
        key=lambda c: (id_gain(c) + ood_gain(c), ood_gain(c)),
        default=None,
    )
    inside = max(
        (c for c in allowed if ood_gain(c) >= -max_id_loss), key=lambda c: (id_gain(c), ood_gain(c)), default=plain
    )
    best = out or (inside if id_gain(inside) >= min_gain else plain)
    if best == plain:
        most = max(allowed, key=lambda c: (ood_gain(c), id_gain(c)), default=plain)
        near = f"; the best other was {most}" if most != plain else ""
        return plain, f"kept {called}, {plain}: no candidate gained {min_gain:g} within the bounds{near}"
    shift = "" if best.ood_value is None else f"{ood_gain(best):+.4f} on dev_ood and "
    return best, f"chose {best}: {shift}{id_gain(best):+.4f} on dev_id against {called}, {plain}"
