"""A model's fingerprint: whether two models give the same scores."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import torch

from darl.model.relevance_model import RelevanceModel


def model_fingerprint(model: RelevanceModel) -> str:
    """SHA-256 over all that a score depends on: weights, tokenizer, scale, rule, OOD reference. About a second a GB."""
    digest = hashlib.sha256()
    for name, values in sorted(model.network.state_dict().items()):
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}".encode())
        digest.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    facts = [
        model.scale.to_dict(),
        model.rule.to_dict(),
        model.max_length,
        model.backbone.name,
        model.backbone.revision,
    ]
    digest.update(repr(facts).encode())
    tokenizer = json.loads(model.tokenizer.backend_tokenizer.to_str())  # type: ignore[attr-defined]
    for passing in ("truncation", "padding"):  # of the last call, not of the model
        tokenizer.pop(passing, None)
    digest.update(json.dumps(tokenizer, sort_keys=True).encode())
    if model.ood is not None:
        arrays = {**model.ood.detector.state(), "held out": model.ood.held_out_scores}
        digest.update(repr([sorted(model.ood.feature_spec.items()), model.ood.detector.settings()]).encode())
        for name, array in sorted(arrays.items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
