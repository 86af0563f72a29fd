"""Frozen features of the real suites, cached: what the OOD and the selection benchmarks read.

For each split it keeps the texts as a table of pairs and, as float16 arrays of shape (n, d):

    pair     mean over the tokens of the pair, last layer: what darl's OOD reference reads by default
    middle   the same of the middle layer
    query    the query alone, mean over its tokens, last layer
    item     the item alone

    python benchmarks/suite_features.py --suite patents --cache CACHE

A split is written when it is whole, so a killed run goes on where it was.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from darl.pairs import PairTable, read_pairs
from darl.storage import atomic_file

BACKBONES = {"patents": ("minilm-l6", 64), "retail": ("minilm-l6", 128), "health_zh": ("me5-small", 64)}
KINDS = ("pair", "middle", "query", "item")
SPLITS = ("train", "dev_id", "dev_shift", "pool", "test_id", "test_near", "test_far")
LIMITS = {"train": 4000, "pool": 3000}
"""At most so many pairs of a split, whole queries, the same draw for every seed."""


@dataclass(frozen=True)
class Split:
    """One split of a suite: its pairs, and its features by kind, (n, d) float32."""

    pairs: PairTable
    features: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.pairs)

    def take(self, rows: np.ndarray) -> Split:
        return Split(self.pairs.take(rows), {kind: matrix[rows] for kind, matrix in self.features.items()})


def load_suite(
    suite: str, cache: Path, splits: Sequence[str] = SPLITS, kinds: Sequence[str] = KINDS
) -> dict[str, Split]:
    """The splits of a suite with their features of these kinds, computed where the cache lacks them."""
    found, embed = {}, None
    data = Path(os.environ.get("DARL_DATA", "../shared/data")) / f"{suite}.jsonl.gz"
    for name in splits:
        pairs = read_pairs(data, where={"split": name})
        if name in LIMITS:
            pairs = pairs.sample(LIMITS[name], 0, by="query")
        stem = f"{suite}-{name}-{pairs.fingerprint()[:12]}"
        paths = {kind: cache / f"{stem}-{kind}.npy" for kind in kinds}
        if not all(path.exists() for path in paths.values()):
            embed = embed or _Embedder(*BACKBONES[suite])
            for kind, matrix in embed(pairs, kinds).items():
                with atomic_file(paths[kind]) as scratch, scratch.open("wb") as file:
                    np.save(file, matrix)
            print(f"{suite} {name}: {len(pairs):,} pairs embedded", flush=True)
        found[name] = Split(pairs, {kind: np.load(path).astype(np.float32) for kind, path in paths.items()})
    return found


class _Embedder:
    def __init__(self, backbone: str, max_length: int) -> None:
        from darl.model.backbones import load_body, load_tokenizer, resolve_backbone
        from darl.model.encoding import PairEncoder

        found = resolve_backbone(backbone)
        self.body = load_body(found).eval()
        self.encoder = PairEncoder(load_tokenizer(found), max_length)

    def __call__(self, pairs: PairTable, kinds: Sequence[str]) -> dict[str, np.ndarray]:
        out = dict(zip(("pair", "middle"), self._features(pairs.queries, pairs.items), strict=True))
        for kind, texts in (("query", pairs.queries), ("item", pairs.items)):
            if kind in kinds:
                distinct = list(dict.fromkeys(texts))
                rows = {text: row for row, text in enumerate(distinct)}
                last, _ = self._features(distinct, [""] * len(distinct))
                out[kind] = last[[rows[text] for text in texts]]
        return {kind: out[kind].astype(np.float16) for kind in kinds}

    @torch.inference_mode()
    def _features(self, queries: list[str], items: list[str]) -> tuple[np.ndarray, np.ndarray]:
        from darl.model.features import pool

        encoded = self.encoder.encode(queries, items)
        last = np.zeros((len(encoded), self.body.config.hidden_size), dtype=np.float32)
        middle = np.zeros_like(last)
        for rows, batch in self.encoder.batches(encoded):
            states = self.body(**batch, output_hidden_states=True).hidden_states
            last[rows] = pool(states[-1], batch["attention_mask"], "mean").numpy()
            middle[rows] = pool(states[len(states) // 2], batch["attention_mask"], "mean").numpy()
        return last, middle


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", nargs="+", default=list(BACKBONES), choices=list(BACKBONES))
    parser.add_argument("--cache", type=Path, default=Path("runs/suite_features"))
    args = parser.parse_args()
    for suite in args.suite:
        load_suite(suite, args.cache)
