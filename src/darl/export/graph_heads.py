"""Attention that reads its heads where the products left them, without four transposes.

Exported attention gets queries, keys and values as (pairs, heads, tokens, size) and gives its result so. ONNX's
operator also takes (pairs, tokens, heads · size), which is how the products before it give them and the one after it
reads them, and onnxruntime then steps over the other heads' numbers instead of copying all of them.
"""

from __future__ import annotations

from typing import Any

from darl.export.graph_parts import GraphParts, attribute, replace_nodes
from darl.export.libraries import onnx_library

SWAP = [0, 2, 1, 3]


def join_heads(graph: Any) -> int:
    """Rewrite each attention whose heads are split by a reshape and a transpose alone; how many there were."""
    parts = GraphParts(graph)
    set_attribute = onnx_library("onnx").helper.make_attribute
    count = 0
    for node in graph.node:
        if node.op_type != "Attention" or len([name for name in node.output if name]) != 1:
            continue
        joined = [_joined(parts, name) for name in node.input[:3]]
        result = _result(parts, node.output[0])
        if None in joined or result is None or any(node.input[4:]):
            continue
        for at, found in enumerate(joined):
            assert found is not None
            node.input[at] = found[0]
        heads = [found[1] for found in joined if found is not None]
        node.attribute.extend([set_attribute("q_num_heads", heads[0]), set_attribute("kv_num_heads", heads[1])])
        parts.maker[result].output[0] = f"{result}_split"  # nothing reads it any more
        node.output[0] = result
        count += 1
    replace_nodes(graph, list(graph.node))
    return count


def _joined(parts: GraphParts, name: str) -> tuple[str, int] | None:
    """The (b, T, h·s) that (b, h, T, s) was made from, and h."""
    turn = parts.maker.get(name)
    if turn is None or turn.op_type != "Transpose" or attribute(turn, "perm") != SWAP:
        return None
    split = parts.maker.get(turn.input[0])
    if split is None or split.op_type != "Reshape":
        return None
    wide, apart = parts.shape.get(split.input[0], []), parts.shape.get(split.output[0], [])
    if len(wide) != 3 or len(apart) != 4 or wide[:2] != apart[:2]:
        return None
    width, heads, size = wide[2], apart[2], apart[3]
    if not (isinstance(width, int) and isinstance(heads, int) and isinstance(size, int)):
        return None
    return (split.input[0], heads) if width == heads * size else None


def _result(parts: GraphParts, name: str) -> str | None:
    """The (b, T, h·s) that an attention's result (b, h, T, s) is made to, where it is made to nothing else."""
    turn = _only_reader(parts, name)
    if turn is not None and turn.op_type == "Reshape" and parts.shape.get(turn.output[0], []) == parts.shape.get(name):
        turn = _only_reader(parts, turn.output[0])  # the exporter's, to the shape that it has
    if turn is None or turn.op_type != "Transpose" or attribute(turn, "perm") != SWAP:
        return None
    join = _only_reader(parts, turn.output[0])
    if join is None or join.op_type != "Reshape":
        return None
    apart, wide = parts.shape.get(turn.output[0], []), parts.shape.get(join.output[0], [])
    return join.output[0] if len(apart) == 4 and len(wide) == 3 and apart[:2] == wide[:2] else None


def _only_reader(parts: GraphParts, name: str) -> Any:
    readers = parts.readers.get(name, [])
    return readers[0] if len(readers) == 1 else None
