"""Features of pairs: what a backbone makes of them, one vector a pair.

Two kinds: **head features**, the exact input of the head (the probe is fitted on them), and **pooled
features** of any layer (the OOD detectors read them).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from darl.errors import RecipeError
from darl.model.encoding import EncodedPairs, PairEncoder
from darl.model.head import head_of
from darl.model.inference.reading import Read, Wanted, check_layer, pool, to_numpy
from darl.model.inference.run import Progress, run_pairs

__all__ = [
    "FeatureSpec", "Progress", "head_and_pooled_features", "head_features", "pool", "pooled_features"
]  # fmt: skip

POOLINGS = ("mean", "first", "last")


@dataclass(frozen=True)
class FeatureSpec:
    """Which features: of which body, which layer, pooled how.

    Attributes:
        source: ``base`` the frozen backbone, ``model`` the tuned model.
        layer: index into the hidden states; 0 the embeddings, −1 the last layer.
        pooling: ``mean`` over real tokens, ``first`` or ``last`` real token.
    """

    source: str = "base"
    layer: int = -1
    pooling: str = "mean"

    def __post_init__(self) -> None:
        if self.source not in ("base", "model") or self.pooling not in POOLINGS:
            raise RecipeError(
                f"no features called {self.source}/{self.pooling}",
                where="ood",
                mend=f"source: base or model; pooling: {', '.join(POOLINGS)}",
            )
        if isinstance(self.layer, bool) or not isinstance(self.layer, int):
            raise RecipeError(
                f"a layer is a whole number, not {self.layer!r}", where="ood", mend="−1 is the last layer"
            )

    def to_dict(self) -> dict:
        return asdict(self)


def head_features(
    model: PreTrainedModel, encoder: PairEncoder, encoded: EncodedPairs, *, progress: Progress | None = None
) -> np.ndarray:
    """The input of the head for each pair, (n, d) float32, dropout off.

    For a causal LLM the head runs at every position; the pooled one is the last token that is not padding.
    """
    return head_and_pooled_features(model, encoder, encoded, None, progress=progress)[0]


def head_logits(model: PreTrainedModel, features: np.ndarray) -> np.ndarray:
    """What the head makes of :func:`head_features`, (n, K) float32."""
    head = head_of(model)
    with torch.no_grad():
        return head(torch.from_numpy(features).to(head.weight)).float().cpu().numpy()


def head_and_pooled_features(
    model: PreTrainedModel,
    encoder: PairEncoder,
    encoded: EncodedPairs,
    spec: FeatureSpec | None,
    *,
    tokens_per_batch: int | None = None,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """:func:`head_features` and, where ``spec`` asks, :func:`pooled_features` of the same network, in one pass.

    Raises:
        RecipeError: the body has no such layer.
    """
    out = np.zeros((len(encoded), head_of(model).in_features), dtype=np.float32)
    width = model.config.get_text_config().hidden_size
    pooled = None if spec is None else np.zeros((len(encoded), width), dtype=np.float32)
    wanted = Wanted() if spec is None else Wanted(layer=spec.layer, pooling=spec.pooling)

    def consume(rows: np.ndarray, read: Read) -> None:
        out[rows] = to_numpy(read.inputs)
        if pooled is not None:
            pooled[rows] = to_numpy(read.pooled)

    check_layer(model, wanted.layer)
    run_pairs(model, encoder, encoded, wanted, consume, tokens_per_batch=tokens_per_batch, progress=progress)
    return out, pooled


def pooled_features(
    body: PreTrainedModel,
    encoder: PairEncoder,
    encoded: EncodedPairs,
    spec: FeatureSpec,
    *,
    tokens_per_batch: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Pooled hidden states of one layer, (n, d) float32.

    Raises:
        RecipeError: the body has no such layer.
    """
    out = np.zeros((len(encoded), body.config.get_text_config().hidden_size), dtype=np.float32)

    def consume(rows: np.ndarray, read: Read) -> None:
        out[rows] = to_numpy(read.pooled)

    check_layer(body, spec.layer)
    wanted = Wanted(head=False, layer=spec.layer, pooling=spec.pooling)
    run_pairs(body, encoder, encoded, wanted, consume, tokens_per_batch=tokens_per_batch, progress=progress)
    return out
