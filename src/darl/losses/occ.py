"""OCC, over-confidence calibration: soft ordinal targets, an ordinal distance, and a tilt for rare grades."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from darl.errors import GradeError, MissingGradeError, RecipeError
from darl.losses.base import GradeLoss
from darl.losses.checks import check_choice, check_flag, check_number
from darl.losses.ordinal import Distances, check_distances, neutral_targets, soft_targets, squared_emd, step_widths


class OCC(GradeLoss):
    """l = H(q_y, p) + λ · EMD²(p, t_y) with p = softmax(z + τ · log π).

        q_y(k) ∝ c_yk · exp(−a · d(y, k)²)          near grades stay possible, certainty is never the goal
        H(q, p) = −Σ_k q(k) · log p(k)              least at p = q_y, so logits stop growing there
        EMD²(p, t) = Σ_{k<K−1} s_k · (P_k − T_k)²   mass on a far grade costs more than on a near one
        t_y = q_y ("soft") or one-hot y ("hard"),   π the grades' frequencies in training

    Sources: the aim is DaRL's (Liu et al. 2024, arXiv 2412.12504), whose formula is not published; this one
    joins SORD (Díaz & Marathe 2019), EMD² (Hou et al. 2016) and logit adjustment (Menon et al. 2021,
    *Long-tail Learning via Logit Adjustment*, ICLR).

    **Neutral ends**: c_yk is 1, but for the lowest and the highest grade y, which leak so much more that a pair torn
    between two neighbours is not pushed to the end of the scale (:func:`~darl.losses.ordinal.neutral_targets`).

    **The tilt** adds τ · log π during training only. At τ = 1 softmax(z) then estimates the posterior under
    *equally frequent* grades, which separates a rare grade from its neighbours, while softmax(z + log π) is
    the posterior under the training frequencies: :meth:`calibrated_logits` gives these.

    Args:
        K: number of grades.
        sharpness: a > 0, how fast the target falls off; a → ∞ makes the first term cross-entropy.
        emd_weight: λ ≥ 0; at 0 (and τ = 0) the loss is :class:`~darl.losses.soft_ordinal.SoftOrdinal`.
        emd_target: "soft" measures the distance to q_y, so both terms share one optimum; "hard" to y itself.
        prior_tilt: τ ≥ 0; if positive, :meth:`set_prior` must be called first.
        distances: (K, K) of d, default |i − j|; s_k = d(k, k + 1).
        neutral: whether the ends leak more; False is plain softmax over −a · d².

    Raises:
        RecipeError: a parameter out of range; a loss with a tilt asked for before its prior was set.

    >>> loss = OCC(K=3, prior_tilt=1.0)
    >>> loss.set_prior([90, 5, 5])
    >>> torch.softmax(loss.calibrated_logits(torch.zeros(1, 3)), dim=1)
    tensor([[0.9000, 0.0500, 0.0500]])
    >>> pair = torch.tensor([[2.0, 0.0, -6.0]]), torch.tensor([0])  # softmax ≈ q_0
    >>> round(OCC(K=3)(*pair).item(), 3)  # ≈ H(q_0)
    0.451
    """

    name = "occ"
    targets: torch.Tensor
    goals: torch.Tensor
    widths: torch.Tensor
    log_prior: torch.Tensor

    def __init__(
        self,
        K: int,
        sharpness: float = 2.0,
        emd_weight: float = 1.0,
        emd_target: str = "soft",
        prior_tilt: float = 0.0,
        distances: Distances | None = None,
        neutral: bool = True,
    ) -> None:
        super().__init__(K)
        self.sharpness = check_number("sharpness", sharpness, where=self.name, above=0)
        self.emd_weight = check_number("emd_weight", emd_weight, where=self.name, at_least=0)
        self.emd_target = check_choice("emd_target", emd_target, where=self.name, choices=("soft", "hard"))
        self.prior_tilt = check_number("prior_tilt", prior_tilt, where=self.name, at_least=0)
        matrix = check_distances(distances, self.K, self.name)
        self.distances = None if distances is None else matrix.tolist()
        self.neutral = check_flag("neutral", neutral, where=self.name)
        targets = (neutral_targets if self.neutral else soft_targets)(matrix, self.sharpness)
        self.register_buffer("targets", targets, persistent=False)
        self.register_buffer("goals", targets if emd_target == "soft" else torch.eye(self.K), persistent=False)
        self.register_buffer("widths", step_widths(matrix), persistent=False)
        self.register_buffer("log_prior", torch.full((self.K,), math.nan, dtype=torch.float64))

    @property
    def needs_prior(self) -> bool:
        return self.prior_tilt > 0

    def set_prior(self, counts: Sequence[float] | torch.Tensor) -> None:
        """Take π from how often each grade occurs in training: (K,) counts or shares.

        Raises:
            GradeError: not K finite numbers ≥ 0.
            MissingGradeError: a grade never occurs, so that its tilt would be endless; only where τ > 0.
        """
        shares = torch.as_tensor(counts, dtype=torch.float64).detach().to(self.log_prior.device)
        if tuple(shares.shape) != (self.K,) or not bool((torch.isfinite(shares) & (shares >= 0)).all()):
            raise GradeError(f"the prior needs {self.K} counts ≥ 0, got {shares.tolist()}", where=self.name)
        if self.needs_prior and bool((shares == 0).any()):
            missing = torch.nonzero(shares == 0).flatten().tolist()
            raise MissingGradeError(
                f"no training pair has grade {', '.join(map(str, missing))}",
                where=f"{self.name}.prior_tilt",
                mend="label some pairs of it, drop it from the scale, or set prior_tilt to 0",
            )
        self.log_prior.copy_((shares / shares.sum()).log())

    def calibrated_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """z + τ · log π, (n, K): their softmax is what the loss fits to the training pairs."""
        if not self.needs_prior:
            return logits
        if bool(self.log_prior.isnan().any()):
            raise RecipeError(
                "prior_tilt needs the grades' counts", where=self.name, mend="call set_prior(counts) first"
            )
        return logits + self.prior_tilt * self.log_prior.to(logits)

    def per_pair(self, logits: torch.Tensor, grades: torch.Tensor) -> torch.Tensor:
        log_p = self.calibrated_logits(logits).log_softmax(dim=1)  # (n, K)
        costs = -(self.targets.to(logits)[grades] * log_p).sum(dim=1)
        if self.emd_weight:
            goals = self.goals.to(logits)[grades]
            costs = costs + self.emd_weight * squared_emd(log_p.exp(), goals, self.widths.to(logits))
        return costs

    def per_pair_soft(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The teacher's probabilities take the place of the soft ordinal targets: they are soft already."""
        log_p = self.calibrated_logits(logits).log_softmax(dim=1)  # (n, K)
        costs = -(targets * log_p).sum(dim=1)
        if self.emd_weight:
            costs = costs + self.emd_weight * squared_emd(log_p.exp(), targets, self.widths.to(logits))
        return costs
