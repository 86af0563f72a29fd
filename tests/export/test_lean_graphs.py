"""Passes over float graphs: the same results with heads left joined and the last layer on the token that is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from darl.export.graph_heads import join_heads
from darl.export.graph_parts import replace_nodes
from darl.export.graph_reading import read_early

RNG = np.random.default_rng(0)
HEADS, SIZE, WIDTH, WIDE = 4, 8, 32, 64
SHAPES = {"q": (WIDTH, WIDTH), "k": (WIDTH, WIDTH), "v": (WIDTH, WIDTH), "o": (WIDTH, WIDTH), "up": (WIDTH, WIDE)}
SHAPES |= {"down": (WIDE, WIDTH), "bias": (WIDTH,), "norm": (WIDTH,)}
WEIGHTS = {name: RNG.normal(size=shape).astype(np.float32) / 4 for name, shape in SHAPES.items()}
LENGTHS = np.array([7, 3, 5])
X = RNG.normal(size=(3, 7, WIDTH)).astype(np.float32)
SEEN = np.arange(7) < LENGTHS[:, None]
node = helper.make_node


def layers(count: int = 1, *, token: int = 0, split: bool = True) -> onnx.ModelProto:
    """An encoder of some layers and a reading of one token, as exported: y (b, d) from x (b, T, d) and a mask."""
    nodes: list[onnx.NodeProto] = []
    shapes: dict[str, tuple] = {}
    for at in range(count):
        made, told = layer(at, split)
        nodes += made
        shapes |= told
    nodes.append(node("Gather", [f"x{count}", "token"], ["y"], axis=1))
    constants = {"apart": np.array([0, 0, HEADS, SIZE]), "together": np.array([0, 0, WIDTH]), "token": np.array(token)}
    constants["half"] = np.array(0.5, dtype=np.float32)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "layers",
        [
            info("x0", TensorProto.FLOAT, ["pairs", "tokens", WIDTH]),
            info("mask", TensorProto.BOOL, ["pairs", 1, "tokens", "tokens"]),
        ],
        [info("y", TensorProto.FLOAT, ["pairs", WIDTH])],
        [numpy_helper.from_array(value, name) for name, value in (WEIGHTS | constants).items()],
        value_info=[info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


def layer(at: int, split: bool) -> tuple[list[onnx.NodeProto], dict[str, tuple]]:
    """x{at+1} from x{at}, norms before the products and residuals first; and shapes that the exporter tells."""
    x = f"x{at}"
    nodes = [node("LayerNormalization", [x, "norm", "bias"], [f"calm{at}"])]
    for name in "qkv":
        part = f"{name}{at}"
        nodes.append(node("MatMul", [f"calm{at}", name], [f"{part}_flat"]))
        nodes.append(node("Add", [f"{part}_flat", "bias"], [f"{part}_wide"]))
        nodes.append(node("Reshape", [f"{part}_wide", "apart"], [f"{part}_apart"]))
        source = f"{part}_apart"
        if not split:  # heads that something else is done to first, as with rotary positions
            nodes.append(node("Mul", [source, source], [f"{part}_worked"]))
            source = f"{part}_worked"
        nodes.append(node("Transpose", [source], [f"{part}_heads"], perm=[0, 2, 1, 3]))
    nodes += [
        node("Attention", [f"q{at}_heads", f"k{at}_heads", f"v{at}_heads", "mask"], [f"seen{at}"]),
        node("Transpose", [f"seen{at}"], [f"turned{at}"], perm=[0, 2, 1, 3]),
        node("Reshape", [f"turned{at}", "together"], [f"joined{at}"]),
        node("MatMul", [f"joined{at}", "o"], [f"out{at}"]),
        node("Add", [x, f"out{at}"], [f"h{at}"]),
        node("MatMul", [f"h{at}", "up"], [f"up{at}"]),
        node("Gelu", [f"up{at}"], [f"bent{at}"]),
        node("MatMul", [f"bent{at}", "down"], [f"down{at}"]),
        node("Mul", [f"down{at}", "half"], [f"less{at}"]),
        node("Add", [f"h{at}", f"less{at}"], [f"x{at + 1}"]),
    ]
    apart = dict.fromkeys([f"{name}{at}_apart" for name in "qkv"], ("pairs", "tokens", HEADS, SIZE))
    heads = dict.fromkeys([f"{name}{at}_heads" for name in "qkv"], ("pairs", HEADS, "tokens", SIZE))
    turned = {f"seen{at}": ("pairs", HEADS, "tokens", SIZE), f"turned{at}": ("pairs", "tokens", HEADS, SIZE)}
    return nodes, apart | heads | turned | {f"joined{at}": ("pairs", "tokens", WIDTH)}


def run(model: onnx.ModelProto) -> np.ndarray:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    mask = np.repeat(SEEN[:, None, None], 7, axis=2)
    return np.asarray(session.run(None, {"x0": X, "mask": mask})[0])


def kinds(model: onnx.ModelProto) -> list[str]:
    return [one.op_type for one in model.graph.node]


def whole_products(model: onnx.ModelProto) -> list[str]:
    """The weights of products that run on all tokens."""
    model = onnx.shape_inference.infer_shapes(model)
    shape = {one.name: one.type.tensor_type.shape for one in [*model.graph.value_info, *model.graph.input]}
    products = [one for one in model.graph.node if one.op_type == "MatMul"]
    return [one.input[1] for one in products if shape[one.input[0]].dim[1].dim_param == "tokens"]


def test_heads_are_read_where_the_products_left_them() -> None:
    model = layers()
    before = run(model)
    assert join_heads(model.graph) == 1
    assert not {"Transpose", "Reshape"} & set(kinds(model))
    np.testing.assert_allclose(run(model), before, atol=1e-5)


def test_heads_that_are_worked_on_stay_split() -> None:
    model = layers(split=False)
    before = run(model)
    assert join_heads(model.graph) == 0
    assert kinds(model).count("Transpose") == 4
    np.testing.assert_array_equal(run(model), before)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_all_of_the_last_layer_but_keys_and_values_runs_on_the_token_that_is_read(count: int) -> None:
    model = layers(count)
    before = run(model)
    join_heads(model.graph)
    assert read_early(model.graph) == 1
    np.testing.assert_allclose(run(model), before, atol=1e-4)
    assert whole_products(model) == ["q", "k", "v", "o", "up", "down"] * (count - 1) + ["k", "v"]
    assert kinds(model).count("MatMul") == 6 * count  # nothing is computed twice


@pytest.mark.parametrize("options", [{"token": 2}, {"split": False}])
def test_readings_that_stay_where_they_are(options: dict[str, Any]) -> None:
    """Of another token, or after heads that stay split."""
    model = layers(2, **options)
    join_heads(model.graph)
    before = run(model)
    assert read_early(model.graph) == 0
    np.testing.assert_array_equal(run(model), before)


def test_what_only_a_branch_reads_is_kept() -> None:
    info = helper.make_tensor_value_info
    y = info("y", TensorProto.FLOAT, None)
    inner = [helper.make_graph([node(op, ["twice", "w"], ["y"])], op, [], [y]) for op in ("Add", "Mul")]
    nodes = [node("Add", ["x", "x"], ["twice"]), node("Add", ["x", "x"], ["vain"])]
    nodes.append(node("If", ["yes"], ["result"], then_branch=inner[0], else_branch=inner[1]))
    inputs = [info("x", TensorProto.FLOAT, [2]), info("yes", TensorProto.BOOL, [])]
    weights = [numpy_helper.from_array(np.ones(2, dtype=np.float32), name) for name in ("w", "unread")]
    graph = helper.make_graph(nodes, "branch", inputs, [info("result", TensorProto.FLOAT, [2])], weights)
    replace_nodes(graph, list(graph.node))
    assert [one.output[0] for one in graph.node] == ["twice", "result"]
    assert [one.name for one in graph.initializer] == ["w"]
