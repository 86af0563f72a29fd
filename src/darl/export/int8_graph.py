"""An ONNX graph's matrix products in int8: weights rounded once, inputs as they come, a scale for each token.

A product Y = X·W of tokens X (…, d) with weights W (d, m) becomes

    s_t = max_j |X_tj| / 127,   Q = round(X / s) + 128,   w_c = max_j |W_jc| / 127,   V = round(W / w),
    Y_tc ≈ s_t · w_c · Σ_j (Q_tj − 128) · V_jc

with Q in uint8, V in int8 and sums in int32. One scale for a whole batch, as onnxruntime's own dynamic rounding
takes it, is that of the batch's largest number: on MiniLM-L6 it errs 2.5 times as far, and by what else is in the
batch. Scales by token are from LLM.int8() (Dettmers et al. 2022, https://arxiv.org/abs/2208.07339).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from darl.export.graph_parts import replace_nodes
from darl.export.libraries import onnx_library

STEP, ZERO = "darl_input_step", "darl_input_zero"  # of an input's rounding; a session may set them anew
_ONE, _LEAST, _LAST_AXIS = "darl_one", "darl_least", "darl_last_axis"
DOMAIN = "com.microsoft"  # of MatMulIntegerToFloat, which is onnxruntime's own


def write_int8(source: Path, target: Path) -> None:
    """The graph at ``source`` with each product of tokens with weights in int8, written to ``target``.

    Products of two activations (attention), lookups of embeddings and the head (a Gemm) stay in float32.

    Raises:
        ModelError: onnx is missing.
    """
    onnx = onnx_library("onnx")
    model = onnx.load(str(source))
    weights = _weights(model.graph)
    made, constants, rounded = [], _constants(), set()
    for node in model.graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            made.append(node)
            continue
        tokens = node.input[0]
        if tokens not in rounded:  # queries, keys and values read the same
            size = len(weights[node.input[1]])
            constants[rows := f"darl_rows_of_{size}"] = np.array([-1, size], dtype=np.int64)
            made += _rounded(tokens, rows)
            rounded.add(tokens)
        made += _product(tokens, node.input[1], node.output[0])
        constants |= _rounded_weights(node.input[1], weights[node.input[1]])
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    replace_nodes(model.graph, made)
    if all(one.domain != DOMAIN for one in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    onnx.save(model, str(target))


def set_rounding(options: Any) -> None:
    """Round a session's inputs to 7 bits where this processor's products of 8 overflow.

    Args:
        options: onnxruntime's ``SessionOptions``.
    """
    if products_overflow():
        for name, value in _seven_bits().items():
            options.add_initializer(name, value)


@cache  # a session reads these where they lie: they must outlive it
def _seven_bits() -> dict[str, Any]:
    value = onnx_library("onnxruntime").OrtValue.ortvalue_from_numpy
    return {STEP: value(np.array(1 / 63, dtype=np.float32)), ZERO: value(np.array(64, dtype=np.uint8))}


@cache
def products_overflow() -> bool:
    """Whether int8 products come out too small here: tried, not looked up.

    Processors without VNNI add two products of uint8 and int8 in 16 bits, which 255 · 127 · 2 does not fit.
    """
    onnx, runtime = onnx_library("onnx"), onnx_library("onnxruntime")
    helper, kinds = onnx.helper, onnx.TensorProto
    weights = onnx.numpy_helper.from_array(np.full((64, 16), 127, dtype=np.int8), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "products",
        [helper.make_tensor_value_info("x", kinds.UINT8, [1, 64])],
        [helper.make_tensor_value_info("y", kinds.INT32, [1, 16])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.full((1, 64), 255, dtype=np.uint8)})
    return bool((found != 64 * 255 * 127).any())


def _weights(graph: Any) -> dict[str, np.ndarray]:
    """Weights (d, m) by the name that a product calls them, as they lie in the graph or transposed by it."""
    to_array = onnx_library("onnx").numpy_helper.to_array
    found = {one.name: to_array(one) for one in graph.initializer if len(one.dims) == 2}
    turned = {
        node.output[0]: found[node.input[0]].T
        for node in graph.node
        if node.op_type == "Transpose" and node.input[0] in found
    }
    return found | turned


def _constants() -> dict[str, np.ndarray]:
    return {
        STEP: np.array(1 / 127, dtype=np.float32),
        ZERO: np.array(128, dtype=np.uint8),
        _ONE: np.array(1, dtype=np.float32),
        _LEAST: np.array(1e-9, dtype=np.float32),  # of a token's largest number: an empty one divides by it
        _LAST_AXIS: np.array([-1], dtype=np.int64),
    }


def _rounded(tokens: str, width: str) -> list[Any]:
    """Nodes that give ``{tokens}_rounded`` in uint8 and ``{tokens}_scale``, (…, 1).

    Rounded as rows, each with its scale, in one pass and without a quotient. Two looks at the largest and the least
    number write nothing where the sizes |X| would be written and read again.
    """
    node = onnx_library("onnx").helper.make_node
    return [
        node("ReduceMax", [tokens, _LAST_AXIS], [f"{tokens}_largest"], keepdims=1),
        node("ReduceMin", [tokens, _LAST_AXIS], [f"{tokens}_least"], keepdims=1),
        node("Neg", [f"{tokens}_least"], [f"{tokens}_depth"]),
        node("Max", [f"{tokens}_largest", f"{tokens}_depth", _LEAST], [f"{tokens}_range"]),
        node("Mul", [f"{tokens}_range", STEP], [f"{tokens}_scale"]),
        node("Reshape", [f"{tokens}_scale", _LAST_AXIS], [f"{tokens}_scales"]),
        # 128 for each row; an Expand of it would be computed beforehand, from the number that a session has replaced
        node("Sub", [f"{tokens}_scales", f"{tokens}_scales"], [f"{tokens}_none"]),
        node("QuantizeLinear", [f"{tokens}_none", STEP, ZERO], [f"{tokens}_zeros"]),
        node("Reshape", [tokens, width], [f"{tokens}_rows"]),
        node("QuantizeLinear", [f"{tokens}_rows", f"{tokens}_scales", f"{tokens}_zeros"], [f"{tokens}_q"], axis=0),
        node("Shape", [tokens], [f"{tokens}_shape"]),
        node("Reshape", [f"{tokens}_q", f"{tokens}_shape"], [f"{tokens}_rounded"]),
    ]


def _product(tokens: str, weight: str, output: str) -> list[Any]:
    node = onnx_library("onnx").helper.make_node
    inputs = [f"{tokens}_rounded", f"{weight}_rounded", _ONE, f"{weight}_scale", ZERO]
    return [
        node("MatMulIntegerToFloat", inputs, [f"{output}_unscaled"], domain=DOMAIN),
        node("Mul", [f"{output}_unscaled", f"{tokens}_scale"], [output]),
    ]


def _rounded_weights(name: str, weight: np.ndarray) -> dict[str, np.ndarray]:
    scale = np.maximum(np.abs(weight).max(axis=0), 1e-12).astype(np.float32) / np.float32(127)
    rounded = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
    return {f"{name}_rounded": rounded, f"{name}_scale": scale}
