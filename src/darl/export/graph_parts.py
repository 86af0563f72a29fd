"""What passes over an ONNX graph share: who makes a value, its shape, constants, and what nothing reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from darl.export.libraries import onnx_library

Shape = list[int | str]


class GraphParts:
    """A graph's values by name.

    Args:
        graph: an ONNX ``GraphProto``.

    Attributes:
        maker: the node that makes a value. readers: the nodes that read it.
        shape: a value's, where the graph says all of it; names stand for sizes of a batch.
        weights: ranks by name of initializers, their transposes and constants.
    """

    def __init__(self, graph: Any) -> None:
        self._initial = {one.name: one for one in graph.initializer}
        self.maker = {output: node for node in graph.node for output in node.output if output}
        self.readers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in read_by(node):
                self.readers.setdefault(name, []).append(node)
        known = [*graph.value_info, *graph.input, *graph.output]
        self.shape = {one.name: shape for one in known if (shape := _shape(one)) is not None}
        self.weights = {one.name: len(one.dims) for one in graph.initializer}
        turned = [n for n in graph.node if n.op_type in ("Transpose", "Identity") and n.input[0] in self.weights]
        self.weights |= {node.output[0]: self.weights[node.input[0]] for node in turned}
        constants = [node.output[0] for node in graph.node if node.op_type == "Constant"]
        self.weights |= {name: value.ndim for name in constants if (value := self.constant(name)) is not None}

    def constant(self, name: str) -> np.ndarray | None:
        """A value that the graph states, or None."""
        to_array = onnx_library("onnx").numpy_helper.to_array
        if name in self._initial:
            return to_array(self._initial[name])
        node = self.maker.get(name)
        if node is None or node.op_type != "Constant":
            return None
        (stated,) = node.attribute
        value = attribute(node, stated.name)
        return to_array(value) if stated.name == "value" else np.asarray(value)

    def before(self, names: list[str]) -> set[str]:
        """All values that these are made from, themselves included."""
        found: set[str] = set()
        open_ = list(names)
        while open_:
            name = open_.pop()
            if name and name not in found:
                found.add(name)
                open_ += read_by(self.maker[name]) if name in self.maker else []
        return found


def read_by(node: Any) -> list[str]:
    """What a node reads, in branches and loops of its own too."""
    within = [inner for one in node.attribute if one.HasField("g") for inner in one.g.node]
    return [*node.input, *(name for inner in within for name in read_by(inner))]


def attribute(node: Any, name: str) -> Any:
    """A node's attribute, or None."""
    value = onnx_library("onnx").helper.get_attribute_value
    return next((value(one) for one in node.attribute if one.name == name), None)


def replace_nodes(graph: Any, nodes: list[Any]) -> None:
    """Give a graph these nodes, less those that no result is made from, and drop the weights that none reads."""
    needed = {one.name for one in graph.output}
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(read_by(node))
            kept.append(type(node).FromString(node.SerializeToString()))
    weights = [one for one in graph.initializer if one.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(weights)


def _shape(value: Any) -> Shape | None:
    kind = value.type.tensor_type
    sizes = [one.dim_param or one.dim_value for one in kind.shape.dim]
    return sizes if kind.HasField("shape") and all(sizes) else None
