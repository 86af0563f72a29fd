"""An ONNX graph's matrix products in int8: weights rounded once, inputs as they come.

A product Y = X·W of tokens X (…, d) with weights W (d, m) becomes

    Q = round(X / s) + 128,   w_c = max_j |W_jc| / 127,   V = round(W / w),   Y_tc ≈ s · w_c · Σ_j (Q_tj − 128) · V_jc

with Q in uint8, V in int8 and sums in int32. The inputs' scale s is fixed beforehand where a look at some texts shows
that one does for all tokens (:mod:`darl.export.outliers`), which costs least: no look at the range, no scaling of
results, and a bias is added within the product. Else each token has its own, s_t = max_j |X_tj| / 127, after LLM.int8()
(Dettmers et al. 2022, https://arxiv.org/abs/2208.07339). One scale for a whole batch, as onnxruntime's own dynamic
rounding takes it, is that of the batch's largest number: on MiniLM-L6 it errs 2.5 times as far, and by what else is in
the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from darl.export.graph_parts import GraphParts, replace_nodes
from darl.export.int8_rounding import CONSTANTS, DOMAIN, SEVEN_BITS, by_range, by_token, product, rounded_weights
from darl.export.libraries import onnx_library
from darl.export.outliers import fixed_range, inputs_of

ACTIVATIONS = {"Gelu", "Relu", "Sigmoid", "Tanh", "Erf", "Softmax", "Swish"}


def write_int8(source: Path, target: Path, look: Sequence[Mapping[str, np.ndarray]], tokens: int) -> None:
    """The graph at ``source`` with each product of tokens with weights in int8, written to ``target``.

    Products of two activations (attention), lookups of embeddings and the head (a Gemm) stay in float32.

    Args:
        look: inputs of the graph, a text a batch, that show what range the inputs of products have.
        tokens: of the look.

    Raises:
        ModelError: onnx is missing.
    """
    onnx = onnx_library("onnx")
    model = onnx.load(str(source))
    parts, weights = GraphParts(model.graph), _weights(model.graph)
    sizes = {n.input[0]: len(weights[n.input[1]]) for n in model.graph.node if _is_product(n, weights)}
    seen = inputs_of(source, list(sizes), look)
    # what the last layer makes of the token that is read alone is little: it stays as exact as it is
    of_all = {name for name, rows in seen.items() if len(rows) >= tokens}
    ranges = {name: fixed_range(seen[name]) for name in of_all if not _is_activated(parts, name)}
    made, constants, done = [], dict(CONSTANTS), {}
    for node in model.graph.node:
        if not _is_product(node, weights) or node.input[0] not in of_all:
            made.append(node)
            continue
        (name, weight), (output,) = node.input, node.output
        found = ranges.get(name)
        if name not in done:  # queries, keys and values read the same
            gelu = name in parts.maker and parts.maker[name].op_type == "Gelu"
            done[name] = by_range(name, found) if found else by_token(name, sizes[name], gelu=gelu)
            made += done[name].nodes
            constants |= done[name].constants
        sum_ = _sum_with_bias(parts, output) if found else None
        if sum_ is not None:
            (bias,) = [one for one in sum_.input if one != output]
            made += product(done[name], weight, sum_.output[0], bias)
            sum_.output[0] = f"{output}_again"  # nothing reads it any more
        else:
            made += product(done[name], weight, output)
        constants |= rounded_weights(weight, weights[weight], found)
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
    return {name: value(one) for name, one in SEVEN_BITS.items()}


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


def _is_product(node: Any, weights: Mapping[str, np.ndarray]) -> bool:
    return node.op_type == "MatMul" and node.input[1] in weights


def _is_activated(parts: GraphParts, name: str) -> bool:
    """Whether a value comes out of a nonlinearity, or of a gate: it is as large as its text makes it."""
    node = parts.maker.get(name)
    if node is None:
        return False
    return node.op_type in ACTIVATIONS or (node.op_type == "Mul" and not parts.weights.keys() & set(node.input))


def _sum_with_bias(parts: GraphParts, name: str) -> Any:
    """The node that adds a bias to a value and is the only one to read it, or None."""
    readers = parts.readers.get(name, [])
    if len(readers) != 1 or readers[0].op_type != "Add":
        return None
    return readers[0] if [parts.weights.get(one) for one in readers[0].input if one != name] == [1] else None
