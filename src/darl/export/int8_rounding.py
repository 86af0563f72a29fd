"""Nodes of an ONNX graph that round a product's inputs, and the product itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from darl.export.libraries import onnx_library
from darl.export.outliers import FixedRange

# Of an input's rounding: the step for numbers up to 1, and what stands for 0. A session may set them anew.
STEP, ZERO = "darl_input_step", "darl_input_zero"
# GELU is nowhere less than −.1701, so its numbers take most of the range: 24 steps below 0, 231 above.
GELU_STEP, GELU_ZERO = "darl_gelu_step", "darl_gelu_zero"
_ONE, _LEAST, _GELU_LEAST, _LAST_AXIS = "darl_one", "darl_least", "darl_gelu_least", "darl_last_axis"
CONSTANTS = {
    STEP: np.array(1 / 127, dtype=np.float32),
    ZERO: np.array(128, dtype=np.uint8),
    GELU_STEP: np.array(1 / 231, dtype=np.float32),
    GELU_ZERO: np.array(24, dtype=np.uint8),
    _ONE: np.array(1, dtype=np.float32),
    _LEAST: np.array(1e-9, dtype=np.float32),  # of a token's largest number: an empty one divides by it
    _GELU_LEAST: np.array(0.1701 * 231 / 24, dtype=np.float32),  # so that the steps below 0 reach −.1701
    _LAST_AXIS: np.array([-1], dtype=np.int64),
}
SEVEN_BITS = {
    STEP: np.array(1 / 63, dtype=np.float32),
    ZERO: np.array(64, dtype=np.uint8),
    GELU_STEP: np.array(1 / 115, dtype=np.float32),
    GELU_ZERO: np.array(12, dtype=np.uint8),
}
DOMAIN = "com.microsoft"  # of MatMulIntegerToFloat, which is onnxruntime's own


@dataclass(frozen=True)
class Rounding:
    """How a value is rounded: nodes that make it in uint8, and the constants that they read.

    Attributes:
        rounded: its name in uint8. zero: what stands for 0 there, by name.
        scale: the name of its tokens' scales, (…, 1), or None where one is fixed.
    """

    nodes: list[Any]
    constants: dict[str, np.ndarray]
    rounded: str
    zero: str = ZERO
    scale: str | None = None


def by_range(tokens: str, found: FixedRange) -> Rounding:
    """x / (m · limit), which is within ±1 but for what is cut, in steps of 1/127; then the further copies.

    Where a session has 7 bits, what is cut is still let up to the eighth: such numbers are few.
    """
    node = onnx_library("onnx").helper.make_node
    share, again, q = f"{tokens}_share", f"{tokens}_again", f"{tokens}_q"
    constants = {share: (1 / (found.times * found.limit)).astype(np.float32)}
    nodes = [
        node("Mul", [tokens, share], [f"{tokens}_shared"]),
        node("QuantizeLinear", [f"{tokens}_shared", STEP, ZERO], [q]),
    ]
    if not len(found.again):
        return Rounding(nodes, constants, q)
    constants[again] = found.again
    nodes.append(node("Gather", [q, again], [f"{tokens}_more"], axis=-1))
    nodes.append(node("Concat", [q, f"{tokens}_more"], [f"{tokens}_rounded"], axis=-1))
    return Rounding(nodes, constants, f"{tokens}_rounded")


def by_token(tokens: str, size: int, *, gelu: bool) -> Rounding:
    """Rounded as rows, each with its scale, in one pass and without a quotient.

    Two looks at the largest and the least number write nothing where the sizes |X| would be written and read again.

    Args:
        size: d. gelu: the value is one of GELU, whose least number needs no look.
    """
    node = onnx_library("onnx").helper.make_node
    rows, scale = f"darl_rows_of_{size}", f"{tokens}_scale"
    step, zero = (GELU_STEP, GELU_ZERO) if gelu else (STEP, ZERO)
    nodes = [node("ReduceMax", [tokens, _LAST_AXIS], [f"{tokens}_largest"], keepdims=1)]
    if gelu:
        nodes.append(node("Max", [f"{tokens}_largest", _GELU_LEAST], [f"{tokens}_range"]))
    else:
        nodes += [
            node("ReduceMin", [tokens, _LAST_AXIS], [f"{tokens}_least"], keepdims=1),
            node("Neg", [f"{tokens}_least"], [f"{tokens}_depth"]),
            node("Max", [f"{tokens}_largest", f"{tokens}_depth", _LEAST], [f"{tokens}_range"]),
        ]
    nodes += [
        node("Mul", [f"{tokens}_range", step], [scale]),
        node("Reshape", [scale, _LAST_AXIS], [f"{tokens}_scales"]),
        # the zero for each row; an Expand of it would be computed beforehand, from what a session has replaced
        node("Sub", [f"{tokens}_scales", f"{tokens}_scales"], [f"{tokens}_none"]),
        node("QuantizeLinear", [f"{tokens}_none", step, zero], [f"{tokens}_zeros"]),
        node("Reshape", [tokens, rows], [f"{tokens}_rows"]),
        node("QuantizeLinear", [f"{tokens}_rows", f"{tokens}_scales", f"{tokens}_zeros"], [f"{tokens}_q"], axis=0),
        node("Shape", [tokens], [f"{tokens}_shape"]),
        node("Reshape", [f"{tokens}_q", f"{tokens}_shape"], [f"{tokens}_rounded"]),
    ]
    return Rounding(nodes, {rows: np.array([-1, size], dtype=np.int64)}, f"{tokens}_rounded", zero, scale)


def rounded_weights(name: str, weight: np.ndarray, found: FixedRange | None) -> dict[str, np.ndarray]:
    """V and w of weights (d, m), by name; for a fixed range with the rows of its copies, and its limit in w."""
    rows = weight if found is None else weight[found.rows]
    scale = np.maximum(np.abs(rows).max(axis=0), 1e-12).astype(np.float32) / np.float32(127)
    rounded = np.clip(np.rint(rows / scale), -127, 127).astype(np.int8)
    return {f"{name}_rounded": rounded, f"{name}_scale": scale * np.float32(1 if found is None else found.limit)}


def product(rounding: Rounding, weight: str, output: str, bias: str = "") -> list[Any]:
    """The product with the weights of that name; a bias only where the range is fixed."""
    node = onnx_library("onnx").helper.make_node
    inputs = [rounding.rounded, f"{weight}_rounded", STEP, f"{weight}_scale", rounding.zero, "", bias]
    if rounding.scale is None:
        return [node("MatMulIntegerToFloat", inputs if bias else inputs[:5], [output], domain=DOMAIN)]
    inputs[2] = _ONE
    return [
        node("MatMulIntegerToFloat", inputs[:5], [f"{output}_unscaled"], domain=DOMAIN),
        node("Mul", [f"{output}_unscaled", rounding.scale], [output]),
    ]
