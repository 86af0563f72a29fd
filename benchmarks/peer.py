"""darl beside sentence-transformers' CrossEncoder: the same saved folder, the same pairs, interleaved repeats."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.model.relevance_model import softmax
from darl.verbs.bench import product_limit, product_weights

GUIDE = (
    "You grade the results of a product search. Strong: the item is what the query asks for in every respect. "
    "Weak: it is related, a part, or of another size, brand or kind. Irrelevant: all other items.\n"
)
BARE = "Query:\n{query}\nItem:\n{item}\nRelevance:\n"
PROMPTS = {"guideline": GUIDE + BARE, "bare": BARE}
Run = Callable[[], np.ndarray]


def data_folder() -> Path:
    """Where the graded suites are."""
    return Path(os.environ.get("DARL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def read_pairs_of(suite: str, tier: str, *, queries: int | None, items: int | None) -> tuple[list[str], list[str]]:
    """Queries and items of a suite's test set, at most so many queries and items of each."""
    by_query: dict[str, list[str]] = {}
    with gzip.open(data_folder() / f"{suite}.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            if row["split"] == tier:
                by_query.setdefault(row["query"], []).append(row["item"])
    chosen = [(query, found[:items]) for query, found in list(by_query.items())[:queries]]
    return [query for query, found in chosen for _ in found], [item for _, found in chosen for item in found]


def save_fresh(
    backbone: str, prompt: str, folder: Path, dtype: torch.dtype = torch.float32, *, max_length: int = 256
) -> Path:
    """A model of three grades with a fresh head, as a folder that both tools load."""
    scale = GradeScale(("irrelevant", "weak", "strong"))
    model = RelevanceModel.from_backbone(backbone, scale, template=PROMPTS[prompt], max_length=max_length)
    model.network.to(dtype)  # type: ignore[arg-type]
    return model.save_pretrained(folder)


def interleaved(ways: dict[str, Run], repeats: int) -> tuple[dict[str, dict[str, list[float]]], dict[str, np.ndarray]]:
    """Wall and processor seconds of each way, one after the other in turn, and what each gave last.

    One untimed round of a few pairs is the caller's business: the first timed run is as warm as the others.
    """
    seconds: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": []} for name in ways}
    found: dict[str, np.ndarray] = {}
    for repeat in range(repeats):
        order = list(ways) if repeat % 2 == 0 else list(ways)[::-1]
        for name in order:
            wall, cpu = time.perf_counter(), time.process_time()
            found[name] = ways[name]()
            seconds[name]["wall"].append(time.perf_counter() - wall)
            seconds[name]["cpu"].append(time.process_time() - cpu)
    return seconds, found


def row(seconds: dict[str, list[float]], pairs: int) -> dict[str, float | list[float]]:
    """Median pairs a second with the spread, by the wall clock and by the processor's."""
    wall, cpu = np.array(seconds["wall"]), np.array(seconds["cpu"])
    return {
        "pairs": pairs,
        "pairs_per_second": pairs / float(np.median(wall)),
        "pairs_per_second_range": [pairs / float(wall.max()), pairs / float(wall.min())],
        "pairs_per_cpu_second": pairs / float(np.median(cpu)),
        "wall_seconds": wall.round(3).tolist(),
        "cpu_seconds": cpu.round(3).tolist(),
    }


def limit_share(model: RelevanceModel, tokens: int, seconds: float, *, passes: int = 1) -> float:
    """How much of this machine's matrix-product limit was reached: 2 · weights · tokens / seconds over the limit.

    Args:
        tokens: that went through the network's weights; passes: 3 for a training step, backward being two forward.
        seconds: all of the time, whatever else it went to.
    """
    flops = 2 * product_weights(model.network) * tokens * passes / seconds
    return flops / (product_limit(model, 2.0) * 1e9)


def require_same(ours: np.ndarray, theirs: np.ndarray, *, half: bool = False) -> None:
    """End the benchmark where the two tools do not score alike: then one of them reads other texts.

    Args:
        half: computed in half precision, whose rounding reaches the second digit.
    """
    off = float(np.abs(ours - theirs).max())
    if off > (0.1 if half else 1e-3):
        raise SystemExit(f"the two tools' probabilities differ by {off:.2g} on the same pairs: nothing to compare")


def as_probabilities(values: np.ndarray) -> np.ndarray:
    """The peer's scores as probabilities, whether it gives logits or these."""
    values = np.asarray(values, dtype=np.float64)
    return values if np.allclose(values.sum(1), 1, atol=2e-2) and (values >= 0).all() else softmax(values)
