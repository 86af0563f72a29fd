"""Biases folded for an export: the same network, its own biases back afterwards, and sums of nothing taken out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from darl.export import export_onnx
from darl.export.folded_biases import drop_empty_sums, folded_biases
from darl.grades import GradeScale
from darl.model import RelevanceModel

SIZES = {"vocab_size": 90, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
IDS, SEEN = torch.randint(5, 90, (4, 11), generator=torch.Generator().manual_seed(0)), torch.ones(4, 11)
SEEN[1, 6:] = SEEN[3, 2:] = 0


def network(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    made = {
        "bert": lambda: BertForSequenceClassification(BertConfig(**SIZES)),
        "xlm-roberta": lambda: XLMRobertaForSequenceClassification(XLMRobertaConfig(**SIZES)),
    }[kind]()
    with torch.no_grad():
        for name, weight in made.named_parameters():  # a fresh network's biases are all zero
            if name.endswith("bias"):
                weight.normal_(0, 0.5)
    return made.eval()


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
def test_the_function_is_the_same_and_the_biases_come_back(kind: str) -> None:
    made = network(kind)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    with torch.no_grad():
        own = made(input_ids=IDS, attention_mask=SEEN).logits
        with folded_biases(made) as layers:
            folded = made(input_ids=IDS, attention_mask=SEEN).logits
            gone = [n for n, value in made.named_parameters() if n.endswith("bias") and not value.any()]
    assert layers == 3
    assert len(gone) == 9  # of keys, of values and the last of each layer
    torch.testing.assert_close(folded, own, rtol=1e-5, atol=1e-5)
    for name, value in made.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_they_come_back_after_an_error_too() -> None:
    made = network("bert")
    before = {name: value.clone() for name, value in made.state_dict().items()}
    with pytest.raises(RuntimeError, match="in between"), folded_biases(made):
        raise RuntimeError("in between")
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_decoders_and_layers_without_biases_stay_as_they_are(tiny_decoder: Path) -> None:
    model = RelevanceModel.from_backbone(str(tiny_decoder), GradeScale(("a", "b")))
    with folded_biases(model.network) as layers:
        assert layers == 0
    made = network("bert")
    made.get_submodule("bert.encoder.layer.0.output.dense").register_parameter("bias", None)
    with folded_biases(made) as layers:
        assert layers == 2


def test_an_export_has_fewer_sums_and_the_model_is_untouched(tiny_encoder: Path, tmp_path: Path) -> None:
    model = RelevanceModel.from_backbone(str(tiny_encoder), GradeScale(("a", "b")), max_length=32)
    with torch.no_grad():
        for name, weight in model.network.named_parameters():
            if name.endswith("bias"):
                weight.normal_(0, 0.2)
    before = model.fingerprint() if hasattr(model, "fingerprint") else None
    (parity,) = export_onnx(model, tmp_path / "onnx")
    assert parity.max_probability_difference < 1e-5
    if before is not None:
        assert model.fingerprint() == before
    graph = onnx.load(tmp_path / "onnx" / "model.onnx").graph
    to_array = numpy_helper.to_array
    empty = {one.name for one in graph.initializer if len(one.dims) == 1 and not np.any(to_array(one))}
    assert not [node.output[0] for node in graph.node if node.op_type == "Add" and empty.intersection(node.input)]


def test_sums_with_zeros_alone_are_taken_out() -> None:
    node = helper.make_node
    constants = {"zero": np.zeros(4, dtype=np.float32), "one": np.ones(4, dtype=np.float32)}
    nodes = [
        node("Add", ["x", "zero"], ["a"]),
        node("Add", ["zero", "a"], ["b"]),
        node("Add", ["b", "one"], ["c"]),
        node("Add", ["zero", "zero"], ["d"]),  # of no token: left
        node("Add", ["c", "d"], ["e"]),
        node("Add", ["e", "zero"], ["y"]),  # the result keeps its name
    ]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    assert drop_empty_sums(graph) == 2
    assert [one.output[0] for one in graph.node] == ["c", "d", "e", "y"]
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], x + 1)
