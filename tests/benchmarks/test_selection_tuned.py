"""The selection benchmark with tuned encoders: from a made-up suite to its table, and on from where it stopped."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import selection

WORDS = ["policy", "dog", "car", "travel", "cover", "life"]
SIZES = {"train": 60, "dev_id": 40, "dev_shift": 40, "pool": 90, "test_id": 30, "test_near": 30, "test_far": 30}


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """patents.jsonl.gz as the benchmark knows it, of made-up phrases: in sections C and E other words stand."""
    rng, folder = np.random.default_rng(0), tmp_path / "data"
    folder.mkdir()
    with gzip.open(folder / "patents.jsonl.gz", "wt") as file:
        for split, size in SIZES.items():
            for row in range(size):
                new = split in ("dev_shift", "test_near", "test_far") or (split == "pool" and row % 3 == 0)
                words = [word[::-1] for word in WORDS] if new else WORDS
                query = f"{split} {' '.join(rng.choice(words, 2))} {row // 3}"
                pair = {"query": query, "item": f"{' '.join(rng.choice(words, 4))} {row}", "label": row % 5}
                file.write(json.dumps(pair | {"domain": "C" if new else "A", "source": "made", "split": split}) + "\n")
    monkeypatch.setenv("DARL_DATA", str(folder))
    return tmp_path / "runs"


def call(runs: Path, monkeypatch: pytest.MonkeyPatch, tiny_encoder: Path, *more: str) -> None:
    arguments = ["--learner", "tuned", "--suites", "patents", "--shares", "0.2", "--budgets", "10", "--seeds", "0", "1"]
    settings = [f"backbone.name={tiny_encoder}", "backbone.max_length=24"]
    monkeypatch.setattr(sys, "argv", ["selection.py", *arguments, "--runs", str(runs), *more, "--set", *settings])
    selection.main()


def test_from_pairs_to_the_table(suite: Path, monkeypatch, tiny_encoder: Path, capsys) -> None:
    strategies = ["--strategies", "random", "coverage", "dasa:0.75", "coverage@3"]
    with pytest.raises(SystemExit, match=r"wait for: .*base-0-1\.jobs\.npz"):
        call(suite, monkeypatch, tiny_encoder, "--elsewhere", *strategies)
    call(suite, monkeypatch, tiny_encoder, *strategies)
    folder = suite / "tuned" / "patents"
    cells = json.loads((folder / "cells-10-0.json").read_text())
    assert len(cells) == 8
    with np.load(folder / "cells-10-0.out.npz") as found:
        assert found["logits"].shape == (8, SIZES["dev_id"] + SIZES["dev_shift"] + 90, 5)
    picks = np.load(folder / "picks" / "0.2-10-coverage-0.npy")
    pool = np.arange(SIZES["pool"]) + SIZES["train"] + SIZES["dev_id"] + SIZES["dev_shift"]
    assert len(set(picks)) == 10
    assert set(picks) <= set(pool)
    table = capsys.readouterr().out
    assert "patents, 20% new, budget 10, shift" in table
    assert "coverage@3" in table

    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    call(suite, monkeypatch, tiny_encoder, *strategies)  # nothing is done twice
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")} == before
