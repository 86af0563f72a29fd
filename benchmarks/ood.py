"""OOD detection: every detector of darl beside pytorch-ood's, on the same features in the same run; and their speed.

    python benchmarks/ood.py --cache runs/suite_features

Features are those of the frozen base (last layer, mean over tokens): 4,000 training pairs to fit on, 1,000 pairs of
each test set to tell apart. `darl (default)` is the detector that `choose_detector` takes on dev_id and dev_shift.
Detectors on logits, and those of pytorch-ood that want a head, read one logistic regression on the same features.
Speed is processor time on one thread: fit on 100,000 rows of 384 features, then 2,000 rows scored by neighbours,
or all rows by Mahalanobis distance.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from darl.ood import auroc, fpr_at_95_tpr, make_detector
from darl.ood.choice import choose_detector
from darl.ood.peers import HEADED, HEADLESS, Peer, detectors, linear_head
from darl.storage import atomic_write_json
from machine import commit, machine
from suite_features import BACKBONES, load_suite

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "ood.json"
TEST = 1000
DEFAULT = "darl (default)"
OURS: dict[str, dict[str, Any]] = {
    "darl knn, k 10": {"name": "knn", "k": 10},
    "darl knn, k 50": {"name": "knn", "k": 50},
    "darl mahalanobis": {"name": "mahalanobis"},
    "darl mahalanobis, by grade": {"name": "mahalanobis", "class_conditional": True},
    "darl mahalanobis, relative": {"name": "mahalanobis", "relative": True},
    "darl fusion": {"name": "fusion", "members": [{"name": "knn", "k": 50}, {"name": "mahalanobis"}]},
}


def suite_rows(suite: str, cache: Path) -> list[dict[str, Any]]:
    """One row a detector and tier."""
    names = ("train", "dev_id", "dev_shift", "test_id", "test_near", "test_far")
    splits = load_suite(suite, cache, names, ("pair",))
    splits = {
        name: split.take(np.sort(np.random.default_rng(0).permutation(len(split))[:TEST]))
        if name.startswith("test") else split
        for name, split in splits.items()
    }  # fmt: skip
    features = {name: split.features["pair"] for name, split in splits.items()}
    grades = splits["train"].pairs.grades
    choice = choose_detector(features["train"], features["dev_id"], features["dev_shift"], grades=grades)
    print(f"{suite}: chose {choice.detector!r}")
    scorers: dict[str, Callable[[np.ndarray], np.ndarray]] = {DEFAULT: choice.detector.score}
    for label, settings in OURS.items():
        detector = make_detector(**settings).fit(features["train"], grades, held_out=features["dev_id"])
        scorers[label] = detector.score
    head = linear_head(features["train"], grades)
    for name in ("energy", "msp"):
        logits_detector = make_detector(name).fit(np.zeros((1, head.out_features)))
        scorers[f"darl {name}"] = lambda rows, d=logits_detector: d.score(logits(head, rows))
    for method in (*HEADLESS, *HEADED):
        scorers[f"pytorch-ood {method}"] = Peer(method).fit(features["train"], grades).score
    for method in ("EnergyBased", "MaxSoftmax", "Entropy", "GEN", "MaxLogit"):
        cls = getattr(detectors(), method)
        scorers[f"pytorch-ood {method}"] = lambda rows, c=cls: (
            c(None).predict_logits(torch.from_numpy(logits(head, rows))).double().numpy()
        )
    rows = []
    for label, score in scorers.items():
        known = score(features["test_id"])
        row: dict[str, Any] = {"suite": suite, "detector": label}
        if label == DEFAULT:
            row["chosen"], row["dev"] = repr(choice.detector), list(choice.table)
        for tier in ("near", "far"):
            shifted = score(features[f"test_{tier}"])
            row |= {f"{tier}_auroc": auroc(known, shifted), f"{tier}_fpr95": fpr_at_95_tpr(known, shifted)}
        rows.append(row)
        print(
            f"{suite:<10}{label:<28}" + "  ".join(f"{key} {row[key]:.3f}" for key in row if key[-1] in "c5"), flush=True
        )
    return rows


def logits(head: torch.nn.Linear, rows: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return head(torch.from_numpy(rows)).numpy()


def speed_rows(n: int = 100_000, d: int = 384) -> list[dict[str, Any]]:
    """Processor seconds of fit and score, ours and theirs, on one thread; the least of three runs."""
    rng = np.random.default_rng(0)
    rows, grades = rng.normal(1, 1, (n, d)).astype(np.float32), rng.integers(0, 3, n)
    found = []
    for label, ours, theirs, m in (
        ("knn", make_detector("knn", k=50), Peer("KNN"), 2000),
        ("mahalanobis", make_detector("mahalanobis"), Peer("Mahalanobis"), n),
    ):
        for who, detector in (("darl", ours), ("pytorch-ood", theirs)):
            fit = seconds(lambda detector=detector: detector.fit(rows, grades), 1)
            size = m if who == "pytorch-ood" else 1024  # theirs takes all rows at once, as its own call does
            score = seconds(lambda d=detector, part=rows[:m], size=size: d.score(part, chunk_rows=size), 3)
            found.append({"speed": label, "detector": who, "rows": n, "scored": m, "fit_s": fit, "score_s": score})
            print(found[-1], flush=True)
    return found


def seconds(work: Callable[[], Any], runs: int) -> float:
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def headline(rows: list[dict[str, Any]]) -> dict[str, float]:
    out: dict[str, float] = {}
    for suite in dict.fromkeys(row["suite"] for row in rows if "suite" in row):
        mine = next(row for row in rows if row.get("suite") == suite and row["detector"] == DEFAULT)
        peers = [row for row in rows if row.get("suite") == suite and row["detector"].startswith("pytorch-ood")]
        for tier in ("near", "far"):
            out[f"{suite}_{tier}_auroc"] = mine[f"{tier}_auroc"]
            out[f"{suite}_{tier}_auroc_peer"] = max(row[f"{tier}_auroc"] for row in peers)
    for label in ("knn", "mahalanobis"):
        times = {row["detector"]: row["score_s"] for row in rows if row.get("speed") == label}
        if times:
            out[f"{label}_speedup"] = times["pytorch-ood"] / times["darl"]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", nargs="*", default=list(BACKBONES), choices=list(BACKBONES))
    parser.add_argument("--cache", type=Path, default=Path("runs/suite_features"))
    parser.add_argument("--no-speed", action="store_true")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    known = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    rows = [row for row in known if row.get("suite") not in args.suites and (args.no_speed or "speed" not in row)]
    for suite in args.suites:
        rows += suite_rows(suite, args.cache)
    if not args.no_speed:
        rows += speed_rows()
    found = headline(rows)
    atomic_write_json(
        RESULTS,
        {
            "benchmark": "ood",
            "command": "OMP_NUM_THREADS=1 python benchmarks/ood.py",
            "commit": commit(),
            "machine": machine(),
            "headline": found,
            "rows": rows,
        },
    )
    for key, value in found.items():
        print(f"{key}: {value:.3f}")


if __name__ == "__main__":
    main()
