"""The int8 graph: the formulas in numpy, scales fixed and by token, and processors whose products overflow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from darl.export import int8_graph
from darl.export.int8_graph import products_overflow, set_rounding, write_int8
from darl.export.outliers import fixed_range

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
    look = [{"x": TOKENS, "z": np.ones((2, 48, 3), dtype=np.float32)}]
    write_int8(folder / "float.onnx", folder / "int8.onnx", look, tokens=10)
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


LAYER = {
    "w1": RNG.normal(size=(48, 24)).astype(np.float32),
    "b1": RNG.normal(size=24).astype(np.float32),
    "w2": RNG.normal(size=(24, 9)).astype(np.float32),
    "b2": RNG.normal(size=9).astype(np.float32),
    "w3": RNG.normal(size=(48, 5)).astype(np.float32),
}
STEADY = RNG.normal(size=(3, 40, 48)).astype(np.float32)
STEADY[:, :, 7] = 30  # one number that is large in every token
STEADY[:, :, 9] = -12


def feed_forward(folder: Path, look: np.ndarray) -> Path:
    """gelu(x W_1 + b_1) W_2 + b_2, and x[:, :1] W_3, in int8."""
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "w1"], ["xw"]),
        node("Add", ["xw", "b1"], ["inner"]),
        node("Gelu", ["inner"], ["active"]),
        node("MatMul", ["active", "w2"], ["aw"]),
        node("Add", ["b2", "aw"], ["y"]),
        node("Slice", ["x", "from", "to", "axis"], ["first"]),
        node("MatMul", ["first", "w3"], ["read"]),
    ]
    ends = {"from": 0, "to": 1, "axis": 1}
    constants = LAYER | {name: np.array([value], dtype=np.int64) for name, value in ends.items()}
    made = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", "t", 48])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("y", "read")],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), folder / "f.onnx")
    write_int8(folder / "f.onnx", folder / "i.onnx", [{"x": look}], tokens=look.shape[0] * look.shape[1])
    return folder / "i.onnx"


def values(graph: Path, x: np.ndarray, *names: str) -> list[np.ndarray]:
    model = onnx.load(str(graph))
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    set_rounding(options)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(one) for one in session.run(None, {"x": x})]


def gelu(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


@pytest.mark.parametrize("seven", [False, True])
def test_a_range_found_beforehand_follows_the_formula(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seven: bool
) -> None:
    if not seven and products_overflow():
        pytest.skip("this processor's int8 products overflow: tested with 7 bits in this very test")
    monkeypatch.setattr(int8_graph, "products_overflow", lambda: seven)
    levels = 63 if seven else 127
    graph = feed_forward(tmp_path, STEADY)
    found = fixed_range(STEADY.reshape(-1, 48))
    assert found is not None
    assert found.times.sum() == 48 + 8
    assert found.times[7] > found.times[9] > 1
    inner, active, y, read = values(graph, STEADY, "inner", "active", "y", "read")
    share = np.clip(np.rint(STEADY / (found.times * found.limit) * levels), -levels - 1, levels)
    columns = np.abs(LAYER["w1"]).max(axis=0) / 127
    products = (share[..., found.rows] @ np.rint(LAYER["w1"] / columns)[found.rows]) * columns * found.limit / levels
    np.testing.assert_allclose(inner, products + LAYER["b1"], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(active, gelu(inner), rtol=1e-4, atol=1e-5)
    # after GELU: a scale for each token, few steps below zero
    below, above = (12, 115) if seven else (24, 231)
    scale = np.maximum(active.max(axis=-1, keepdims=True), 0.1701 * 231 / 24) / above
    rounded = np.clip(np.rint(active / scale), -below, above)
    columns = np.abs(LAYER["w2"]).max(axis=0) / 127
    np.testing.assert_allclose(
        y, scale * columns * (rounded @ np.rint(LAYER["w2"] / columns)) + LAYER["b2"], rtol=1e-4, atol=2e-3
    )
    np.testing.assert_allclose(read, STEADY[:, :1] @ LAYER["w3"], rtol=1e-5, atol=1e-4)  # of one token: in float32


def test_a_range_found_beforehand_is_finer_and_what_lies_beyond_is_cut(tmp_path: Path) -> None:
    if products_overflow():
        pytest.skip("this processor's int8 products overflow: 7 bits are too few for this bound")
    graph = feed_forward(tmp_path, STEADY)
    truth = STEADY @ LAYER["w1"] + LAYER["b1"]
    (inner,) = values(graph, STEADY, "inner")
    step = np.abs(STEADY).max(axis=-1, keepdims=True) / 127  # a scale for each token
    by_token = np.rint(STEADY / step) * step @ LAYER["w1"] + LAYER["b1"]
    assert np.abs(inner - truth).mean() < 0.7 * np.abs(by_token - truth).mean()  # the weights are rounded too
    wild = STEADY.copy()
    wild[0, 0, 0] = 1e6
    (beyond,) = values(graph, wild, "inner")
    np.testing.assert_array_equal(beyond[0, 1:], inner[0, 1:])  # the other tokens do not feel it
    assert np.isfinite(beyond).all()


def test_inputs_that_differ_from_token_to_token_have_scales_of_their_own(tmp_path: Path) -> None:
    uneven = STEADY * np.geomspace(0.01, 100, 40, dtype=np.float32)[None, :, None]
    graph = feed_forward(tmp_path, uneven)
    kinds = [node.op_type for node in onnx.load(str(graph)).graph.node]
    assert (kinds.count("ReduceMax"), kinds.count("ReduceMin"), kinds.count("Concat")) == (2, 1, 0)
    steady = [node.op_type for node in onnx.load(str(feed_forward(tmp_path, STEADY))).graph.node]
    assert (steady.count("ReduceMax"), steady.count("ReduceMin"), steady.count("Concat")) == (1, 0, 1)
    assert steady.count("Add") == 1  # b_1 is added within the product
