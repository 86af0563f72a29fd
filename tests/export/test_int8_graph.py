"""The int8 graph: the formula in numpy, a scale for each token, and processors whose products overflow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from darl.export import int8_graph
from darl.export.int8_graph import products_overflow, set_rounding, write_int8

RNG = np.random.default_rng(0)
WEIGHTS = {"a": RNG.normal(size=(48, 20)).astype(np.float32), "b": RNG.normal(size=(48, 7)).astype(np.float32)}
TOKENS = (RNG.normal(size=(2, 5, 48)) * np.array([0.01, 1, 1, 50, 1])[None, :, None]).astype(np.float32)
TOKENS[0, 2] = 0
TOKENS[1, 3] = -np.abs(TOKENS[1, 3])  # its largest by size is its least


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8")
    nodes = [helper.make_node("MatMul", ["x", name], [f"y_{name}"]) for name in WEIGHTS]
    nodes.append(helper.make_node("MatMul", ["x", "z"], ["attention"]))  # two activations: not rounded
    made = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [2, 5, 48]), ("z", [2, 48, 3]))],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("y_a", "y_b", "attention")],
        [numpy_helper.from_array(values, name) for name, values in WEIGHTS.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, folder / "float.onnx")
    write_int8(folder / "float.onnx", folder / "int8.onnx")
    return folder / "int8.onnx"


def run(graph: Path) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    set_rounding(options)
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    z = np.ones((2, 48, 3), dtype=np.float32)
    found = [np.asarray(one) for one in session.run(None, {"x": TOKENS, "z": z})]
    return dict(zip(("y_a", "y_b", "attention"), found, strict=True))


def by_formula(weights: np.ndarray, levels: int) -> np.ndarray:
    largest = np.maximum(np.abs(TOKENS).max(axis=-1, keepdims=True), 1e-9)
    columns = np.abs(weights).max(axis=0) / 127
    return (largest / levels) * columns * (np.rint(TOKENS / largest * levels) @ np.rint(weights / columns))


def test_products_follow_the_formula(graph: Path) -> None:
    assert not products_overflow() or pytest.skip("this processor's int8 products overflow: tested with 7 bits below")
    found = run(graph)
    for name, weights in WEIGHTS.items():
        np.testing.assert_allclose(found[f"y_{name}"], by_formula(weights, 127), rtol=2e-5, atol=1e-6)
        errors = np.abs(found[f"y_{name}"] - TOKENS @ weights).max(axis=-1)
        assert (errors <= 0.02 * np.abs(TOKENS @ weights).max(axis=-1) + 1e-9).all()  # of each token's own size
    np.testing.assert_allclose(found["attention"], TOKENS.sum(axis=-1, keepdims=True).repeat(3, -1), rtol=1e-4)


@pytest.mark.parametrize("seven", [False, True])
def test_inputs_are_rounded_to_the_formulas_integers(graph: Path, monkeypatch: pytest.MonkeyPatch, seven: bool) -> None:
    monkeypatch.setattr(int8_graph, "products_overflow", lambda: seven)
    model = onnx.load(str(graph))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("x_rounded", TensorProto.UINT8, None))
    options = onnxruntime.SessionOptions()
    set_rounding(options)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": TOKENS, "z": np.ones((2, 48, 3), dtype=np.float32)})
    levels = 63 if seven else 127
    largest = np.maximum(np.abs(TOKENS).max(axis=-1, keepdims=True), np.float32(1e-9))
    np.testing.assert_array_equal(found, np.rint(TOKENS / (largest * np.float32(1 / levels))) + levels + 1)


def test_seven_bits_where_products_overflow(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8_graph, "products_overflow", lambda: True)
    found = run(graph)
    for name, weights in WEIGHTS.items():
        np.testing.assert_allclose(found[f"y_{name}"], by_formula(weights, 63), rtol=2e-5, atol=1e-6)


def test_inputs_shared_by_products_are_rounded_once_and_no_float_weight_is_left(graph: Path) -> None:
    model = onnx.load(str(graph))
    kinds = [node.op_type for node in model.graph.node]
    assert (kinds.count("ReduceMax"), kinds.count("MatMulIntegerToFloat"), kinds.count("MatMul")) == (1, 2, 1)
    assert not set(WEIGHTS) & {one.name for one in model.graph.initializer}
