"""Features of pairs: what a backbone makes of them, one vector a pair.

Two kinds: **head features**, the exact input of the head (the probe is fitted on them), and **pooled
features** of any layer (the OOD detectors read them).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from darl.errors import RecipeError
from darl.model.encoding import TOKENS_PER_BATCH, EncodedPairs, PairEncoder
from darl.model.head import head_of

POOLINGS = ("mean", "first", "last")
Progress = Callable[[int], None]


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


def forward_batches(
    model: torch.nn.Module,
    encoder: PairEncoder,
    encoded: EncodedPairs,
    consume: Callable[[np.ndarray, dict[str, torch.Tensor], object], None],
    *,
    tokens_per_batch: int = TOKENS_PER_BATCH,
    progress: Progress | None = None,
    **forward: object,
) -> None:
    """Run the model over all pairs without gradients; hand each batch's rows, inputs and output on."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for rows, batch in encoder.batches(encoded, tokens_per_batch):
                batch = {name: tensor.to(device) for name, tensor in batch.items()}
                consume(rows, batch, model(**batch, **forward))
                if progress:
                    progress(len(rows))
    finally:
        model.train(was_training)


def head_features(
    model: PreTrainedModel, encoder: PairEncoder, encoded: EncodedPairs, *, progress: Progress | None = None
) -> np.ndarray:
    """The input of the head for each pair, (n, d) float32, dropout off.

    For a causal LLM the head runs at every position; the pooled one is the last token that is not padding.
    """
    return head_and_pooled_features(model, encoder, encoded, None, progress=progress)[0]


def head_and_pooled_features(
    model: PreTrainedModel,
    encoder: PairEncoder,
    encoded: EncodedPairs,
    spec: FeatureSpec | None,
    *,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """:func:`head_features` and, where ``spec`` asks, :func:`pooled_features` of the same network, in one pass.

    Raises:
        RecipeError: the body has no such layer.
    """
    head = head_of(model)
    out = np.zeros((len(encoded), head.in_features), dtype=np.float32)
    width = model.config.get_text_config().hidden_size
    pooled = None if spec is None else np.zeros((len(encoded), width), dtype=np.float32)
    caught: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda _module, inputs: caught.append(inputs[0].detach()))
    pad = model.config.get_text_config().pad_token_id

    def consume(rows: np.ndarray, batch: dict[str, torch.Tensor], output: object) -> None:
        inputs = caught.pop()  # (b, d), or (b, T, d) for a causal LLM
        if inputs.ndim == 3:
            real = (batch["input_ids"] != pad).int() * torch.arange(inputs.shape[1], device=inputs.device)
            inputs = inputs[torch.arange(len(inputs), device=inputs.device), real.argmax(-1)]
        out[rows] = inputs.float().cpu().numpy()
        if pooled is not None and spec is not None:
            pooled[rows] = _pooled(output, batch, spec)

    try:
        forward_batches(model, encoder, encoded, consume, progress=progress, output_hidden_states=spec is not None)
    finally:
        hook.remove()
    return out, pooled


def pooled_features(
    body: PreTrainedModel,
    encoder: PairEncoder,
    encoded: EncodedPairs,
    spec: FeatureSpec,
    *,
    progress: Progress | None = None,
) -> np.ndarray:
    """Pooled hidden states of one layer, (n, d) float32.

    Raises:
        RecipeError: the body has no such layer.
    """
    out = np.zeros((len(encoded), body.config.get_text_config().hidden_size), dtype=np.float32)

    def consume(rows: np.ndarray, batch: dict[str, torch.Tensor], output: object) -> None:
        out[rows] = _pooled(output, batch, spec)

    forward_batches(body, encoder, encoded, consume, progress=progress, output_hidden_states=True)
    return out


def _pooled(output: object, batch: dict[str, torch.Tensor], spec: FeatureSpec) -> np.ndarray:
    states = output.hidden_states  # type: ignore[attr-defined]
    if not -len(states) <= spec.layer < len(states):
        raise RecipeError(
            f"the backbone has no layer {spec.layer}",
            where="ood",
            mend=f"choose 0 (embeddings) to {len(states) - 1}, or −1 for the last",
        )
    return pool(states[spec.layer], batch["attention_mask"], spec.pooling).cpu().numpy()


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """(b, T, d) hidden states and (b, T) mask → (b, d) float32.

    >>> states = torch.tensor([[[1.0], [3.0], [9.0]]]); mask = torch.tensor([[1, 1, 0]])
    >>> [pool(states, mask, kind).item() for kind in ("mean", "first", "last")]
    [2.0, 1.0, 3.0]
    """
    states = states.float()
    if pooling == "first":
        return states[:, 0]
    if pooling == "last":
        return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)
