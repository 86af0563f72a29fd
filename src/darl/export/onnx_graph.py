"""The network as an ONNX graph, and its weights in int8."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from darl.errors import DarlError, ModelError
from darl.model import RelevanceModel

MEND = "pip install 'darl[onnx]'"


def onnx_library(name: str) -> ModuleType:
    """An optional library by name.

    Raises:
        ModelError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelError(f"{name.split('.')[0]} is not installed", mend=MEND) from error


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
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in _inputs(model)]
    pairs = model.encode(queries=["a", "a b"], items=["c d e", "f"])
    batch = model.encoder.pad([pairs.row(0), pairs.row(1)])
    axes = {0: torch.export.Dim("pairs", min=1), 1: torch.export.Dim("tokens", min=2)}
    network = model.network
    was_training, before, device = network.training, network.config._attn_implementation, network.device
    try:
        network.eval().to("cpu")  # type: ignore[arg-type]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Logits(network, names),
                tuple(batch[name] for name in names),
                str(path),
                input_names=names,
                output_names=["logits"],
                dynamic_shapes={"inputs": tuple(axes for _ in names)},
                dynamo=True,
                verbose=False,
                external_data=False,
            )
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


def write_int8(source: Path, target: Path) -> None:
    """The graph with its matrix products in int8: weights rounded once, a scale a column, inputs as they come.

    Weights use 7 of the 8 bits: processors without VNNI add pairs of products in 16 bits, which 8 would overflow.

    Raises:
        ModelError: onnxruntime is missing.
    """
    quantization = onnx_library("onnxruntime.quantization")
    quantization.quantize_dynamic(
        str(source),
        str(target),
        per_channel=True,
        reduce_range=True,
        weight_type=quantization.QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
    )


def _inputs(model: RelevanceModel) -> list[str]:
    return list(model.tokenizer.model_input_names)
