"""Drift on the real suites: false alarms on known traffic, and how often 10 % of far traffic is caught.

    python benchmarks/drift.py [--suites patents retail health_zh] [--windows 200] [--on test]

A window is 500 pairs of whole queries (the last one cut) of `test_id`; in a shifted one 50 of them are far, of
whole queries of `test_far`. Known pairs are `dev_id`; the detector (kNN, k = 10, frozen base) and a probe for
the probabilities have seen about 4,000 training pairs, the wording all training queries. Each window is judged
twice: by its texts alone, and with the column `domain` that the traffic carries. `--on dev` draws from `pool`
and is what choices were made on. Features are computed once and kept in `--cache`.

Headline: `false_alarm_rate` and `power_10` with the column, `…_texts_only` without; worst suite each.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

from darl.decisions import DecisionRule
from darl.drift import Figures, KnownSide, judge_window
from darl.drift.judge import ALPHA
from darl.grades import GradeScale
from darl.losses import make_loss
from darl.model import RelevanceModel
from darl.model.features import FeatureSpec
from darl.model.relevance_model import softmax
from darl.ood import make_detector
from darl.ood.knn import unit_rows
from darl.ood.known import KnownPairs, count_by_query
from darl.ood.novelty import WordingNovelty
from darl.pairs import PairTable, read_pairs
from darl.storage import atomic_write_json, read_json, stable_hash
from darl.training.calibrate import fit_temperature
from darl.training.probe import fit_probe
from machine import commit, machine

HERE = Path(__file__).resolve().parent
SUITES: dict[str, dict[str, Any]] = {
    "patents": {"backbone": "minilm-l6", "grades": 5, "length": 64, "id": ["A", "B", "F"]},
    "retail": {
        "backbone": "minilm-l6",
        "grades": 3,
        "length": 128,
        "id": ["lighting_electrical", "plumbing_bath_kitchen", "tools_hardware"],
    },
    "health_zh": {"backbone": "me5-small", "grades": 3, "length": 64, "id": ["medical_zh"]},
}
JUDGING = ("accuracy", "clusters", "figures", "judge", "null", "signals", "slices")
TRAIN, POOL, WINDOW, FAR_PAIRS = 4000, 3000, 500, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", nargs="+", default=list(SUITES), choices=list(SUITES))
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--on", default="test", choices=["test", "dev"])
    parser.add_argument("--cache", type=Path, default=Path("runs/drift"))
    parser.add_argument("--draws", type=int, default=999)
    parser.add_argument("--no-save", action="store_true")
    args = parser.parse_args()
    rows = [row for suite in args.suites for row in finished(suite, args)]
    if args.no_save or args.on != "test" or set(args.suites) != set(SUITES):
        return
    atomic_write_json(
        HERE / "results" / "drift.json",
        {
            "benchmark": "drift",
            "command": f"python benchmarks/drift.py --windows {args.windows} --draws {args.draws}",
            "commit": commit(),
            "machine": machine(),
            "headline": headline(rows),
            "rows": rows,
        },
    )


def headline(rows: list[dict]) -> dict[str, float]:
    """The worst suite for each key; with the traffic's column, and by texts alone."""
    found = {}
    for mode, end in (("column", ""), ("texts", "_texts_only")):
        these = [row for row in rows if row["mode"] == mode]
        found[f"false_alarm_rate{end}"] = max(row["alarm_rate"] for row in these if row["far_pairs"] == 0)
        found[f"power_10{end}"] = min(row["alarm_rate"] for row in these if row["drawn"] == "queries")
    return found


def finished(suite: str, args: argparse.Namespace) -> list[dict]:
    """A suite's rows, kept in the cache, so that suites can run beside each other and a killed run goes on."""
    sources = sorted((HERE.parent / "src" / "darl" / "drift").glob("*.py"))
    code = stable_hash([path.read_text(encoding="utf-8") for path in sources if path.stem in JUDGING])[:12]
    path = args.cache / f"rows-{suite}-{args.on}-{args.windows}-{args.draws}-{code}.json"
    if not path.is_file():
        atomic_write_json(path, measure(suite, args))
    return read_json(path)


def measure(suite: str, args: argparse.Namespace) -> list[dict]:
    side, inside, outside = prepare(suite, args.on, args.cache)
    print(f"{suite}: {len(inside[0])} known, {len(outside[0])} far pairs to draw from ({args.on})", flush=True)
    rows = []
    for drawn, far_pairs in (("none", 0), ("queries", FAR_PAIRS), ("pairs", FAR_PAIRS)):
        count = args.windows if drawn != "pairs" else max(1, args.windows // 4)
        found: list[dict] = [one_window(side, inside, outside, far_pairs, drawn, w, args) for w in range(count)]
        for mode in ("texts", "column"):
            these = [f[mode] for f in found]
            alarms = [one for one in these if one["alarm"]]
            row = {
                "suite": suite,
                "mode": mode,
                "far_pairs": far_pairs,
                "drawn": drawn,
                "windows": count,
                "on": args.on,
                "alarm_rate": float(np.mean([one["alarm"] for one in these])),
                "alarm_rate_at": {
                    str(a): float(np.mean([one["p"] <= a for one in these])) for a in (0.01, 0.02, 0.05, 0.1)
                },
                "far_queries": float(np.mean([one["far_queries"] for one in these])),
                "queries": float(np.mean([one["queries"] for one in these])),
                "signals": {
                    name: float(np.mean([one["signals"][name] <= 0.05 for one in these]))
                    for name in these[0]["signals"]
                },
                "accuracy_error": {
                    name: float(np.mean([abs(one["accuracy"][name] - one["true"]) for one in these]))
                    for name in these[0]["accuracy"]
                },
            }
            if far_pairs:
                row["named_first_right"] = float(np.mean([one["right"] for one in alarms])) if alarms else None
                row["caught_and_named"] = float(np.mean([one["alarm"] and one["right"] for one in these]))
            rows.append(row)
            print({k: v for k, v in row.items() if k not in ("windows", "on")}, flush=True)
    return rows


def one_window(side: KnownSide, inside, outside, far_pairs: int, drawn: str, number: int, args) -> dict[str, dict]:
    """A window judged by its texts and with its column: p, alarm, whether the far part is named first."""
    rng = np.random.default_rng(number)
    own = draw_queries(inside[0].groups, WINDOW - far_pairs, rng)
    if drawn == "pairs":
        others = rng.choice(len(outside[0]), far_pairs, replace=False)
    else:
        others = draw_queries(outside[0].groups, far_pairs, rng)
    figures = join(inside[0].take(own), outside[0].take(others))
    truth = np.concatenate([inside[1][own], outside[1][others]])
    far = np.arange(len(figures)) >= len(own)
    far_values = set(outside[0].columns["domain"]) - set(inside[0].columns["domain"])
    drift = judge_window(side, figures, draws=args.draws, seed=number)
    assert drift.accuracy is not None
    assert figures.decided is not None
    shared = {
        "queries": drift.queries,
        "far_queries": len(np.unique(figures.groups[far])),
        "signals": {signal.name: signal.p for signal in drift.signals},
        "accuracy": drift.accuracy.others,
        "true": float((figures.decided == truth).mean()),
    }
    # without columns a window has the same signals, and their p is the whole p
    named = {
        "texts": bool(drift.clusters) and bool(far[drift.clusters[0].rows].mean() >= 0.5),
        "column": bool(drift.slices) and drift.slices[0].value in far_values,
    }
    p = {"texts": drift.signals_p, "column": drift.p}
    return {mode: {**shared, "p": p[mode], "alarm": p[mode] <= ALPHA, "right": named[mode]} for mode in p}


def draw_queries(groups: np.ndarray, pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of whole queries at random, the last one cut to make ``pairs``."""
    order = rng.permutation(groups.max() + 1)
    rows = np.argsort(order.argsort()[groups], kind="stable")
    return rows[:pairs]


def join(a: Figures, b: Figures) -> Figures:
    """Two parts of one window; their queries differ."""
    both = {name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in ARRAYS}
    both["groups"] = np.concatenate([a.groups, b.groups + 10**6])
    columns = {name: [*a.columns[name], *b.columns[name]] for name in a.columns}
    return Figures(**both, columns=columns, queries=[*a.queries, *b.queries], items=[*a.items, *b.items])


ARRAYS = ("ood_scores", "probabilities", "decided", "features", "novelty", "item_novelty")


def prepare(suite: str, on: str, cache: Path):
    """The known side, and the pairs to draw known and far traffic from, each with its grades."""
    about = SUITES[suite]
    scale = GradeScale(tuple(f"grade {k}" for k in range(about["grades"])))
    path = f"{os.environ.get('DARL_DATA', str(HERE.parents[1] / 'shared' / 'data'))}/{suite}.jsonl.gz"
    every = read_pairs(path, scale=scale)
    split = np.array(every.column("split"))
    tables = {name: every.where(split == name) for name in ("train", "dev_id", "test_id", "test_far", "pool")}
    whole_train = tables["train"]
    tables["train"] = whole_train.sample(TRAIN, 0, by="query")
    tables["pool"] = tables["pool"].sample(POOL, 0, by="query")
    used = ("train", "dev_id", *(("test_id", "test_far") if on == "test" else ("pool",)))
    features = {name: cached_features(suite, name, tables[name], scale, cache) for name in used}
    train, dev = tables["train"], tables["dev_id"]
    detector = make_detector("knn", k=10).fit(features["train"])
    probe = fit_probe(
        features["train"], train.grades, features["dev_id"], dev.grades,
        make_loss("cross_entropy", scale.size), l2=[1e-2, 1e-3],
    )  # fmt: skip
    temperature = fit_temperature(probe.logits(features["dev_id"]), dev.grades)
    wording, item_wording = WordingNovelty.fit(whole_train.query_names()), WordingNovelty.fit(whole_train.items)

    def figures(table: PairTable, rows: np.ndarray) -> Figures:
        probabilities = softmax(probe.logits(rows) / temperature)
        return Figures(
            groups=table.query_groups(),
            ood_scores=detector.score(rows),
            probabilities=probabilities,
            decided=DecisionRule("argmax").decide(probabilities),
            features=unit_rows(rows),
            novelty=wording.score(table.queries),
            item_novelty=item_wording.score(table.items),
            columns={"domain": table.column("domain")},
            queries=table.queries,
            items=table.items,
        )

    held_out = figures(dev, features["dev_id"])
    known_queries = whole_train.concat(dev)
    known = KnownPairs(
        **{name: getattr(held_out, name) for name in ("groups", *ARRAYS)},
        grades=dev.grades,
        wording=wording,
        item_wording=item_wording,
        columns=count_by_query(known_queries.query_groups(), {"domain": known_queries.column("domain")}),
        queries=len(known_queries.query_names()),
    )
    if on == "test":
        parts = [(tables[name], features[name]) for name in ("test_id", "test_far")]
    else:
        pool, domain = tables["pool"], np.array(tables["pool"].column("domain"))
        source = np.array(pool.column("source"))
        inside = np.isin(domain, about["id"]) & ~np.isin(source, ["esci", "qbqtc"])
        outside = {
            "patents": np.isin(domain, ["C", "G", "H"]),
            "retail": source == "esci",
            "health_zh": (source == "qbqtc") & (domain != "health"),
        }[suite]
        parts = [(pool.where(mask), features["pool"][mask]) for mask in (inside, outside)]
    inside, outside = ((figures(table, rows), table.grades) for table, rows in parts)
    return KnownSide(known), inside, outside


def cached_features(suite: str, split: str, table: PairTable, scale: GradeScale, cache: Path) -> np.ndarray:
    """Features of the frozen base, (n, d) float32, computed once a table."""
    path = cache / f"{suite}-{split}-{table.fingerprint()[:12]}.npy"
    if not path.is_file():
        about = SUITES[suite]
        model = RelevanceModel.from_backbone(about["backbone"], scale, max_length=about["length"])
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, model.features(model.encode(table), FeatureSpec()).astype(np.float16))
    return np.load(path).astype(np.float32)


if __name__ == "__main__":
    main()
