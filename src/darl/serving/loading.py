"""What a worker serves: a model's folder through torch, or an export's through onnxruntime, and its description.

Importing this brings the heavy libraries, which is what a spare worker waits with.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from darl.errors import DarlError
from darl.export.onnx_model import FACTS, OnnxModel
from darl.model import RelevanceModel
from darl.model.inference.laid_out import lay_out_weights, put_back
from darl.model.inference.packed import body_of
from darl.model.precision import Dtype
from darl.serving.facts import ModelFacts
from darl.verbs.inputs import as_model, refuse_dtype

if TYPE_CHECKING:
    from darl.serving.nearest import NearestPairs


Served = RelevanceModel | OnnxModel


def load_served(
    folder: Path, *, device: str | None, threads: int | None, dtype: Dtype | None = None, ood: bool = True
) -> Served:
    """The scorer in a folder: an export where `darl export` wrote it, else a darl model.

    Args:
        device: of a model; an export computes on the processor.
        dtype: of a model; default what it was saved in.
        ood: whether anybody will ask how far out pairs are; else the frozen base is not looked for.

    Raises:
        ModelError: missing, incomplete, corrupt, or a library is missing; a ``dtype`` for an export.
    """
    if (folder / FACTS).is_file():
        refuse_dtype(folder, dtype)
        return OnnxModel(folder, threads=threads)
    if threads:
        torch.set_num_threads(threads)
    model = as_model(folder, device=device, dtype=dtype)
    own_memory(model, ood=ood)
    return model


def own_memory(model: RelevanceModel, *, ood: bool = True) -> None:
    """Move the weights from the mapped files into memory of the process.

    Loaded weights are pages of the files: who cuts a file short in place would kill the process that serves it.
    """
    for network in (model.network, *((model.base(),) if ood and _needs_base(model) else ())):
        for tensor in (*network.parameters(), *network.buffers()):  # a tied weight is listed once
            if tensor.device.type == "cpu":
                tensor.data = tensor.data.clone()


def lay_out(model: Served, *, ood: bool = True) -> None:
    """Make a model on a processor quick on small batches; from here on it can only score. An export is so already.

    Args:
        ood: as in :func:`load_served`.

    A network that would then give other numbers, or fail, stays as it is.
    """
    if not isinstance(model, RelevanceModel) or model.network.device.type != "cpu":
        return
    few = model.encode(queries=["a", "a", "a longer one"], items=["few", "made up", "pairs"])
    # not the head: others ask what it is, and it is small
    _lay_out(body_of(model.network), lambda: model.logits(few))
    if ood and _needs_base(model):
        _lay_out(model.base(), lambda: model.ood_features(few))


def _lay_out(network: torch.nn.Module, numbers: Callable[[], np.ndarray]) -> None:
    before = numbers()
    replaced = lay_out_weights(network)
    try:
        same = np.allclose(numbers(), before, rtol=0, atol=1e-4 * max(1.0, float(np.abs(before).max())))
    except Exception:  # a network that reads its layers' weights itself
        same = False
    if not same:
        put_back(replaced)


def _needs_base(model: RelevanceModel) -> bool:
    return model.ood is not None and model.ood.feature_spec.get("source", "base") == "base"


def keep_prefixes(model: Served, mebibytes: int) -> None:
    """Have a causal LLM on a processor keep prompts and queries; any other model goes on as it is."""
    if isinstance(model, RelevanceModel):
        model.keep_prefixes(mebibytes * 2**20)


def prefix_tokens(model: Served) -> tuple[int, int]:
    """Tokens taken from kept prefixes, and computed beside them, since the model keeps any; none where it does not."""
    kept = model.kept_prefixes if isinstance(model, RelevanceModel) else None
    return (kept.taken, kept.computed) if kept is not None else (0, 0)


def nearest_pairs(model: Served, folder: Path, *, wanted: bool, ood: bool) -> tuple[NearestPairs | None, str | None]:
    """What names the nearest training pairs, or why there is nothing: a model serves without it."""
    from darl.serving.nearest import read_nearest

    if not wanted:
        return None, "the server was not started with nearest=true"
    if not ood:
        return None, "the server was started with ood=never"
    if not isinstance(model, RelevanceModel):
        return None, "an exported model keeps no features of training pairs"
    try:
        return read_nearest(model, folder), None
    except DarlError as error:
        return None, error.what


def describe(model: Served, version: str, no_nearest: str | None) -> ModelFacts:
    """The facts of a loaded model."""
    encoder, ood = model.encoder, model.ood
    return ModelFacts(
        version=version,
        grades=model.scale.names,
        gains=model.scale.gains,
        max_length=encoder.max_length,
        fixed_tokens=int(model.encode(queries=[""], items=[""]).lengths[0]),
        has_ood=ood is not None,
        ood_is_free=ood is not None and ood.feature_spec.get("source") == "logits",
        shares_prefix=isinstance(model, RelevanceModel) and model.shares_prefixes,
        no_nearest=no_nearest,
        **_runtime(model),
    )


def _runtime(model: Served) -> dict[str, Any]:
    if not isinstance(model, RelevanceModel):
        kind = "int8" if model.int8 else "float32"
        return {"backbone": model.backbone, "dtype": kind, "device": "cpu", "runtime": "onnx"}
    parameter = next(model.network.parameters())
    return {
        "backbone": Path(model.backbone.name).name,
        "dtype": str(parameter.dtype).removeprefix("torch."),
        "device": str(parameter.device),
    }
