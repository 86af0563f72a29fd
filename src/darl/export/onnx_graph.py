"""The network as an ONNX graph."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from darl.errors import DarlError, ModelError
from darl.export.folded_biases import drop_empty_sums, folded_biases
from darl.export.graph_heads import join_heads
from darl.export.graph_reading import read_early
from darl.export.libraries import onnx_library
from darl.model import RelevanceModel

OPSET = 23  # the first with an operator for attention; below it ten stand for it, two of them guards never needed here


class _Logits(torch.nn.Module):
    """The classifier as a function of its inputs in order, logits alone as its result."""

    def __init__(self, network: torch.nn.Module, names: list[str]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        options: dict[str, Any] = dict(zip(self.names, inputs, strict=True))
        return self.network(**options).logits


def write_graph(model: RelevanceModel, path: Path) -> None:
    """The network in float32 as ONNX: token ids, mask (and token types) of any batch (b, T) → logits (b, K).

    Raises:
        ModelError: a library is missing, or the architecture cannot be exported.
    """
    for name in ("onnx", "onnxscript"):
        onnx_library(name)
    names = graph_inputs(model)
    pairs = model.encode(queries=["a", "a b"], items=["c d e", "f"])
    batch = model.encoder.pad([pairs.row(0), pairs.row(1)])
    axes = {0: torch.export.Dim("pairs", min=1), 1: torch.export.Dim("tokens", min=2)}
    network = model.network
    was_training, before, device = network.training, network.config._attn_implementation, network.device
    try:
        network.eval().to("cpu")  # type: ignore[arg-type]
        with warnings.catch_warnings(), folded_biases(network):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Logits(network, names),
                tuple(batch[name] for name in names),
                str(path),
                input_names=names,
                output_names=["logits"],
                dynamic_shapes={"inputs": tuple(axes for _ in names)},
                opset_version=OPSET,
                optimize=False,  # its joined rotary positions are refused by onnxruntime; that folds constants itself
                dynamo=True,
                verbose=False,
                external_data=False,
            )
        _lean(path)
    except DarlError:
        raise
    except Exception as error:
        detail = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise ModelError(
            f"{type(network).__name__} cannot be exported to ONNX ({type(error).__name__}: {detail})",
            mend="score it with --runtime torch",
        ) from error
    finally:
        network.train(was_training)
        network.config._attn_implementation = before
        network.to(device)  # type: ignore[arg-type]


def _lean(path: Path) -> None:
    """Rewrite a graph to one that gives the same with less: torch's copies heads, adds zeros and reads late."""
    onnx = onnx_library("onnx")
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    drop_empty_sums(model.graph)
    join_heads(model.graph)
    read_early(model.graph)
    onnx.save(model, str(path))


def graph_inputs(model: RelevanceModel) -> list[str]:
    """What the graph reads, in order."""
    known: list[str] = list(model.tokenizer.model_input_names)
    return [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in known]
