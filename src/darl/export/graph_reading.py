"""The last layer on the token that a classifier reads, not on all.

A classifier that reads the first token's state h[:, 0] after the last layer needs of that layer keys and values of all
tokens and everything else of that one: its query, the product after attention, the feed-forward part. Operations that
work on each token alone commute with reading: f(x)[:, 0] = f(x[:, 0]).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from darl.export.graph_parts import GraphParts, attribute, replace_nodes
from darl.export.libraries import onnx_library

# Work on each token alone, where what they read besides is a bias or a norm's weights: of one axis, or a number.
BY_TOKEN = {"Add", "Mul", "Sub", "Div", "Gelu", "Relu", "Tanh", "Erf", "Sigmoid", "Identity", "LayerNormalization"}


def read_early(graph: Any) -> int:
    """Move the reading of one token to before all that works on each token alone; how many readings were moved."""
    parts = GraphParts(graph)
    nodes: list[Any] = []
    count = 0
    for node in graph.node:
        walk = _Walk(parts)
        if _reads_first(parts, node) and walk.source(node.input[0]):
            node.input[0] = walk.read(node.input[0])
            nodes += walk.made
            count += 1
        nodes.append(node)
    replace_nodes(graph, nodes)
    return count


def _reads_first(parts: GraphParts, node: Any) -> bool:
    """Whether a node is h[:, 0] of h (b, T, d)."""
    if node.op_type != "Gather" or attribute(node, "axis") != 1 or len(parts.shape.get(node.input[0], [])) != 3:
        return False
    index = parts.constant(node.input[1])
    return index is not None and index.ndim == 0 and index == 0


class _Walk:
    """From a reading of the first token back to the last attention, and what it makes anew of that token alone."""

    def __init__(self, parts: GraphParts) -> None:
        self._parts = parts
        self._whole: set[str] = set()  # needed of all tokens
        self._done: dict[str, str] = {}
        self.made: list[Any] = []

    def source(self, name: str) -> bool:
        """Whether the reading goes back to attention over the tokens; finds what that needs of all of them.

        By a residual it goes back to earlier layers too, all of whose tokens the last one's keys need.
        """
        found, seen, left = False, set(), [name]
        while left:
            node = self._parts.maker.get(one := left.pop())
            if node is None or one in seen:
                continue
            seen.add(one)
            if self._attends(node):
                self._whole |= self._parts.before(list(node.input[1:]))
                found = True
            else:
                left += self._inputs(node) or []
        return found

    def read(self, name: str) -> str:
        """The name of x[:, :1], (b, 1, d), for x of that name."""
        if name in self._done:
            return self._done[name]
        result = self._done[name] = f"{name}_read"
        node = None if name in self._whole else self._parts.maker.get(name)
        if node is not None and self._attends(node):
            mask = [self._slice(one, f"{result}_mask", axis=-2) for one in node.input[3:] if one]
            self._copy(node, [self.read(node.input[0]), *node.input[1:3], *mask], result)
        elif node is not None and (inputs := self._inputs(node)) is not None:
            self._copy(node, [self.read(one) if one in inputs else one for one in node.input], result)
        else:
            self._slice(name, result, axis=1)
        return result

    def _attends(self, node: Any) -> bool:
        """Whether a node is attention of whole tokens (b, T, d); its mask, if any, has a row for each query."""
        joined = node.op_type == "Attention" and attribute(node, "q_num_heads") and not attribute(node, "is_causal")
        return bool(joined) and not any(node.input[4:]) and len(node.output) == 1

    def _inputs(self, node: Any) -> list[str] | None:
        """The inputs of a node that have tokens, where it works on each token alone; else None."""
        rank, shape = self._parts.weights, self._parts.shape
        if node.op_type == "Slice":  # of torch, thus forward: one that leaves the shape leaves all
            same = shape.get(node.input[0]) == shape.get(node.output[0], [])
            return [node.input[0]] if same else None
        tokens = [name for name in node.input if name not in rank]
        if any(shape.get(name, [])[:2] != shape.get(node.output[0], [0])[:2] for name in tokens):
            return None
        if len(shape.get(node.output[0], [])) != 3:
            return None
        if node.op_type == "MatMul":
            return tokens if tokens == [node.input[0]] and rank[node.input[1]] == 2 else None
        if node.op_type not in BY_TOKEN or any(rank[name] > 1 for name in node.input if name in rank):
            return None
        return None if node.op_type == "LayerNormalization" and attribute(node, "axis") not in (None, -1) else tokens

    def _slice(self, name: str, result: str, *, axis: int) -> str:
        onnx = onnx_library("onnx")
        ends = [f"{result}_{part}" for part in ("from", "to", "axis")]
        for end, value in zip(ends, (0, 1, axis), strict=True):
            tensor = onnx.numpy_helper.from_array(np.array([value], dtype=np.int64), end)
            self.made.append(onnx.helper.make_node("Constant", [], [end], value=tensor))
        self.made.append(onnx.helper.make_node("Slice", [name, *ends], [result]))
        return result

    def _copy(self, node: Any, inputs: list[str], result: str) -> None:
        copy = type(node).FromString(node.SerializeToString())
        copy.name = result
        del copy.input[:], copy.output[:]
        copy.input.extend(inputs)
        copy.output.append(result)
        self.made.append(copy)
