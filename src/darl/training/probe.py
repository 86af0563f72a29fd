"""Stage 1, linear probing: a converged linear head on the features of the frozen backbone.

    min over W, b of   mean_i w_i · loss(W·x_i + b, y_i) + λ · Σ (W_kj · s_j)²

with x the head's input, computed once, and s_j its standard deviation over the weighted pairs: the penalty
acts on standardised features, so it means the same on every backbone, and a weight of 2 is the same as the
pair standing twice. λ is the one that judges best on dev. After Kumar et al. 2022 (fine-tuning from a
random head distorts pretrained features; probe first).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from darl.errors import ModelError
from darl.losses import GradeLoss


@dataclass(frozen=True)
class Probe:
    """A probed head.

    Attributes:
        weight: (K, d) float32. bias: (K,) or None where the head has none.
        l2: the chosen λ.
        table: one row a λ: ``{"l2", "train_loss", "dev_nll", "dev_value"}``.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    l2: float
    table: list[dict[str, float]]

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(n, d) → (n, K)."""
        logits = features @ self.weight.numpy().T
        return logits if self.bias is None else logits + self.bias.numpy()

    def calmed(self, logits: np.ndarray, spread: float) -> Probe:
        """The same head times a factor that brings ``logits``, which it gives to some pairs, (n, K), to a ``spread``.

        A converged probe is large, and a large head drags the backbone along in tuning's first steps; the spread of
        its logits (:func:`logit_spread`) means the same on every backbone, whatever the size of its features.
        """
        now = logit_spread(logits)
        factor = spread / now if now > 0 else 1.0
        return replace(self, weight=self.weight * factor, bias=None if self.bias is None else self.bias * factor)


def logit_spread(logits: np.ndarray) -> float:
    """The standard deviation over n pairs of the logits less their row mean, averaged over the K grades."""
    return float((logits - logits.mean(axis=1, keepdims=True)).std(axis=0).mean())


def fit_probe(
    features: np.ndarray,
    grades: np.ndarray,
    dev_features: np.ndarray,
    dev_grades: np.ndarray,
    loss: GradeLoss,
    *,
    l2: list[float],
    bias: bool = True,
    weights: np.ndarray | None = None,
    class_weights: torch.Tensor | None = None,
    max_iterations: int = 300,
    judge: Callable[[np.ndarray], float] | None = None,
) -> Probe:
    """Fit the head by L-BFGS for each λ, largest first and each from the last, and keep the best on dev.

    Args:
        features: (n, d) float32, grades (n,); dev likewise.
        loss: any darl loss with K logits.
        l2: the λ to try.
        bias: whether the head has one.
        judge: dev logits (n, K) to a figure, larger = better; default minus the NLL. Of equals the largest λ.

    Raises:
        ModelError: features that are not finite.

    >>> rng = np.random.default_rng(0); x = rng.normal(size=(200, 3)).astype("float32")
    >>> y = (x[:, 0] > 0).astype(int)
    >>> from darl.losses import make_loss
    >>> probe = fit_probe(x, y, x, y, make_loss("cross_entropy", 2), l2=[1e-4])
    >>> float(((x @ probe.weight.numpy().T + probe.bias.numpy()).argmax(1) == y).mean()) > 0.97
    True
    """
    if not (np.isfinite(features).all() and np.isfinite(dev_features).all()):
        raise ModelError("the backbone's features are not finite", mend="load it in float32, or choose another")
    x, y = torch.from_numpy(features).double(), torch.from_numpy(np.array(grades, dtype=np.int64))
    dev_x, dev_y = torch.from_numpy(dev_features).double(), torch.from_numpy(np.array(dev_grades, dtype=np.int64))
    w_pairs = None if weights is None else torch.from_numpy(np.array(weights, dtype=np.float64))
    share = torch.full((len(x),), 1 / len(x), dtype=torch.float64) if w_pairs is None else w_pairs / w_pairs.sum()
    mean = share @ x
    spread = (share @ (x - mean) ** 2).sqrt()
    # a feature that never varies says nothing: it gets the weight 0, whatever it is on other pairs
    spread = torch.where(spread > 1e-6 * mean.abs().clamp_min(1e-6), spread, torch.inf)
    centre = mean if bias else torch.zeros_like(mean)
    z, dev_z = (x - centre) / spread, (dev_x - centre) / spread
    w_class = None if class_weights is None else class_weights.double()

    W = torch.zeros(loss.K, x.shape[1], dtype=torch.float64, requires_grad=True)
    b = torch.zeros(loss.K, dtype=torch.float64, requires_grad=bias)
    loss = loss.double()
    table, best, highest = [], None, -np.inf
    for penalty in sorted(l2, reverse=True):
        optimiser = torch.optim.LBFGS(
            [W, b] if bias else [W],
            max_iter=max_iterations,
            history_size=20,
            tolerance_change=1e-9,
            line_search_fn="strong_wolfe",
        )

        def closure(penalty: float = penalty, optimiser: torch.optim.LBFGS = optimiser) -> torch.Tensor:
            optimiser.zero_grad()
            value = loss(z @ W.T + b, y, w_pairs, w_class) + penalty * (W**2).sum()
            value.backward()
            return value

        optimiser.step(closure)  # type: ignore[arg-type]
        with torch.no_grad():
            fitted = float(loss(z @ W.T + b, y, w_pairs, w_class))
            dev_logits = dev_z @ W.T + b
            dev_nll = float(cross_entropy(loss.calibrated_logits(dev_logits), dev_y))
        value = judge(dev_logits.numpy()) if judge else -dev_nll
        table.append({"l2": penalty, "train_loss": fitted, "dev_nll": dev_nll, "dev_value": value})
        if value > highest:
            highest, best = value, (W.detach().clone(), b.detach().clone(), penalty)
    loss.float()
    assert best is not None
    weight = best[0] / spread
    return Probe(
        weight=weight.float(),
        bias=(best[1] - weight @ centre).float() if bias else None,
        l2=best[2],
        table=table,
    )
