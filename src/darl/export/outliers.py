"""Products whose inputs are rounded with one scale, found beforehand, because a few inputs stand in them repeatedly.

What comes out of a norm has nearly the same size for every token, but for a few of its d numbers that are many times
the others, the same few wherever one looks. Input j is divided by m_j and stands m_j times in the product, with its
weights each time:

    Σ_j x_j W_jc = Σ_j m_j · (x_j / m_j) W_jc

so the largest of x / m sets the steps, not the largest of x. Copies of channels are from Zhao et al. 2019, "Improving
Neural Network Quantization without Retraining using Outlier Channel Splitting" (https://arxiv.org/abs/1901.09504).
Then one range does for all tokens; the few numbers of other texts that lie outside it are cut to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darl.export.libraries import onnx_library

EXTRA = 8  # copies: 2 % more products at 384 inputs; 16 were no better
# Beyond the largest of a look. Too large costs finer steps; where the few large inputs are cut by a fifth, MiniLM-L6
# errs four times as far.
MARGIN = 1.25
NO_COARSER = 1.6  # steps, than those of a usual token with a scale of its own: numbers near the limit are few


@dataclass(frozen=True)
class FixedRange:
    """One range for a product's inputs.

    Attributes:
        times: m (d,), how often each input stands in the product.
        limit: the largest of x / m, and a margin.
    """

    times: np.ndarray
    limit: float

    @property
    def rows(self) -> np.ndarray:
        """The weights' rows that the product takes: all, then those of the further copies."""
        return np.concatenate([np.arange(len(self.times)), self.again])

    @property
    def again(self) -> np.ndarray:
        """The inputs that the further copies are of."""
        return np.repeat(np.arange(len(self.times)), self.times - 1)


def fixed_range(tokens: np.ndarray, extra: int = EXTRA) -> FixedRange | None:
    """A range for inputs like these (n, d), or None where a usual token's own, the median, has far finer steps.

    Each copy goes to the input whose largest number, divided by its copies so far, is the largest.

    >>> fixed_range(np.array([[1.0, 6.0, -1.0], [0.5, -6.0, 1.0]]), extra=2)
    FixedRange(times=array([1, 3, 1]), limit=2.5)
    >>> fixed_range(np.array([[1.0, -1.0], [1.0, 1.0], [9.0, 9.0]]), extra=1) is None
    True
    """
    largest, times = np.abs(tokens).max(axis=0), np.ones(tokens.shape[1], dtype=np.int64)
    for _ in range(extra):
        times[np.argmax(largest / times)] += 1
    limit = float((largest / times).max())
    by_token = float(np.median(np.abs(tokens).max(axis=1)))
    return FixedRange(times, MARGIN * limit) if 0 < limit <= NO_COARSER * by_token else None


def inputs_of(graph: Path, names: list[str], feeds: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Values inside a graph, each as (tokens, d), over some batches.

    Args:
        names: of the values. feeds: the graph's inputs for each batch, without padding.
    """
    onnx, runtime = onnx_library("onnx"), onnx_library("onnxruntime")
    model = onnx.load(str(graph))
    there = {one.name for one in model.graph.output}
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in there)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = [session.run(names, dict(batch)) for batch in feeds]
    return {
        name: np.concatenate([one[at].reshape(-1, one[at].shape[-1]) for one in found]) for at, name in enumerate(names)
    }
