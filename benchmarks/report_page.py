"""How large is the report of a run over many pairs, and how long does it take to build?

    python benchmarks/report_page.py --pairs 30000

Makes a run folder of that many synthetic pairs (train, dev and three test sets, with a baseline run, a pool and picked
pairs) around a real backbone with an untrained head, and builds its report twice: as by default, and with all the time
that placing the whole sample takes, when the page is at its largest. What is timed does not depend on whether the model
is good. Run it on a calm machine: ``seconds`` is the wall clock. With --save it writes results/report.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from darl.evaluation import Evaluation, evaluate_predictions  # noqa: E402
from darl.grades import GradeScale  # noqa: E402
from darl.model import RelevanceModel  # noqa: E402
from darl.model.features import FeatureSpec  # noqa: E402
from darl.ood import fit_reference  # noqa: E402
from darl.recipe.file import recipe_to_yaml  # noqa: E402
from darl.recipe.settings import Recipe  # noqa: E402
from darl.report import build_report  # noqa: E402
from darl.storage import atomic_write_json, atomic_write_text  # noqa: E402
from machine import commit, machine  # noqa: E402

GRADES = ("irrelevant", "weak", "strong")
SHARES = {"train": 0.5, "dev_id": 0.06, "dev_ood": 0.04, "id": 0.2, "near": 0.08, "far": 0.12}
TESTS = ("id", "near", "far")
WORDS = (
    *("red", "light", "running", "garden", "oak", "table", "insurance", "travel", "pet"),
    *("family", "steel", "cover", "lamp", "shoe", "yearly", "deluxe", "kit"),
)
PER_QUERY = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=30_000)
    parser.add_argument("--backbone", default="minilm-l6")
    parser.add_argument("--save", action="store_true", help="write results/report.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run, baseline, picked = make_runs(Path(scratch), args.pairs, args.backbone)
        rows = []
        for build, seconds in (("first", 10.0), ("whole", 600.0)):
            wall, work = time.perf_counter(), time.process_time()
            found = build_report(run, baseline=baseline, picked=picked, rounds=[baseline], seconds=seconds)
            rows.append(
                {
                    "build": build,
                    "seconds": round(time.perf_counter() - wall, 2),
                    "cpu_seconds": round(time.process_time() - work, 2),
                    "megabytes": round(found.bytes / 1e6, 3),
                    "charts": sum(len(part.charts) for part in found.parts),
                    "pictures": len(found.pictures),
                    "pairs": args.pairs,
                    "backbone": args.backbone,
                }
            )
            print(rows[-1])
    if args.save:
        result = {
            "benchmark": "report",
            "command": f"python benchmarks/report_page.py --pairs {args.pairs} --backbone {args.backbone} --save",
            "commit": commit(),
            "machine": machine(),
            "headline": {
                "seconds": rows[0]["seconds"],
                "cpu_seconds": rows[0]["cpu_seconds"],
                "megabytes": max(row["megabytes"] for row in rows),
            },
            "rows": rows,
        }
        atomic_write_json(HERE / "results" / "report.json", result)


def make_runs(folder: Path, pairs: int, backbone: str) -> tuple[Path, Path, Path]:
    """A run, its baseline and picked pairs."""
    rng = np.random.default_rng(0)
    sizes = {name: int(pairs * part) for name, part in SHARES.items()}
    grades = {name: write_pairs(folder / f"{name}.jsonl", size, rng) for name, size in sizes.items()}
    write_pairs(folder / "pool.jsonl", pairs, rng)
    write_pairs(folder / "picked.jsonl", 500, rng)
    recipe = Recipe.model_validate(
        {
            "name": "synthetic",
            "grades": list(GRADES),
            "backbone": {"name": backbone, "max_length": 64},
            "data": {
                **{name: str(folder / f"{name}.jsonl") for name in ("train", "dev_id", "dev_ood", "pool")},
                "tests": {name: str(folder / f"{name}.jsonl") for name in TESTS},
                "slices": ["domain"],
            },
        }
    )
    for name, skill in (("run", 1.4), ("baseline", 1.0)):
        write_run(folder / name, recipe, sizes, {test: grades[test] for test in TESTS}, skill, rng)
    save_model(folder / "run" / "model", backbone, sizes, rng)
    return folder / "run", folder / "baseline", folder / "picked.jsonl"


def write_pairs(path: Path, size: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs with items of 12 words, as product titles have; returns their grades."""
    grades = rng.integers(0, len(GRADES), size)
    grades[: len(GRADES)] = np.arange(len(GRADES))
    words = np.array(WORDS)[rng.integers(0, len(WORDS), size=(size, 12))]
    with path.open("w", encoding="utf-8") as file:
        for at in range(size):
            pair = {
                "query": f"{words[at // PER_QUERY, 0]} {words[at // PER_QUERY, 1]} {path.stem} {at // PER_QUERY}",
                "item": f"{' '.join(words[at])} {at}",
                "grade": int(grades[at]),
                "domain": f"domain {at // PER_QUERY % 12}",
            }
            file.write(json.dumps(pair) + "\n")
    return grades


def write_run(
    folder: Path,
    recipe: Recipe,
    sizes: dict[str, int],
    tests: dict[str, np.ndarray],
    skill: float,
    rng: np.random.Generator,
) -> None:
    """What a fit leaves, but for the model: recipe, metrics, predictions of a model that is right now and then."""
    folder.mkdir()
    scale, found = GradeScale(GRADES), {}
    for name, grades in tests.items():
        logits = rng.normal(size=(len(grades), scale.size)) + skill * np.eye(scale.size)[grades]
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        groups = np.arange(len(grades)) // PER_QUERY
        slices = {"domain": [f"domain {group % 12}" for group in groups]}
        found[name] = evaluate_predictions(
            grades, p, p.argmax(1), scale=scale, groups=groups, slices=slices, bootstrap=200
        )
        np.savez_compressed(
            folder / f"predictions-{name}.npz", grades=grades, probabilities=p, predicted=p.argmax(1), groups=groups
        )
    candidates = [
        {"start": start, "alpha": alpha, "id_value": 0.4 + alpha / 10, "ood_value": 0.4 - alpha / 20}
        for start in ("random", "probe")
        for alpha in (0.0, 0.7, 0.85, 1.0)
    ]
    metrics = {
        "name": folder.name,
        "seed": 0,
        "sizes": {name if name not in TESTS else f"test {name}": size for name, size in sizes.items()},
        "choices": {
            "probe": {"l2": 0.01, "dev_objective": 0.4},
            "tune-random": {"steps": 100},
            "tune-probe": {"steps": 100},
            "interpolate": {"start": "probe", "alpha": 0.85, "why": "synthetic", "candidates": candidates},
            "finish": {"temperature": 1.2, "dev_ece_before": 0.05, "dev_ece_after": 0.03, "rule_reason": "argmax"},
        },
        "evaluation": Evaluation.of(found, id_split="id").to_dict(),
        "seconds": 0.0,
    }
    atomic_write_json(folder / "metrics.json", metrics)
    atomic_write_text(folder / "recipe.yaml", recipe_to_yaml(recipe))


def save_model(folder: Path, backbone: str, sizes: dict[str, int], rng: np.random.Generator) -> None:
    """The backbone with an untrained head, and an OOD reference of the right size on random features."""
    model = RelevanceModel.from_backbone(backbone, GradeScale(GRADES), max_length=64)
    spec, width = FeatureSpec(), model.network.config.get_text_config().hidden_size
    known, held_out = (rng.normal(size=(sizes[name], width)).astype(np.float32) for name in ("train", "dev_id"))
    model.ood = fit_reference(known, held_out, "knn", feature_spec=spec.to_dict())
    model.save_pretrained(folder)


if __name__ == "__main__":
    main()
