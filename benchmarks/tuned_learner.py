"""The suite with fine-tuned encoders, many fits at once (`stacked_fits.py`): what a full `darl fit` tunes, without its
choices between starts. A fit begins from a probed head, is tuned with the OCC loss, calibrated and decided by dev.

Three steps, each of which leaves files in the folder of the suite and is not done twice:

1. a fit for each seed on its own draw of training pairs, which scores the pool;
2. for each cell, `darl.dasa.select` on the pool drawn for it;
3. the fits on training pairs and picks.

Where the fits need another machine, `--elsewhere` stops with the files that `stacked_fits.py` reads there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from darl.dasa import select
from darl.losses import make_loss
from darl.model import RelevanceModel
from darl.model.backbones import resolve_backbone
from darl.model.features import FeatureSpec, head_and_pooled_features
from darl.model.relevance_model import softmax
from darl.ood import OODReference, fit_reference
from darl.pairs import PairTable
from darl.recipe.file import load_recipe
from darl.storage import atomic_file
from darl.training.decide import DevLogits, calibrate_on, decide_on
from darl.training.probe import fit_probe
from darl.training.tune import objective_value
from stacked_fits import Jobs

HERE = Path(__file__).resolve().parent
TRAIN = {"patents": 2000, "retail": 4000, "health_zh": 3000}
EPOCHS = {"patents": 6.0, "retail": 4.0, "health_zh": 4.0}
"""Long enough for cross-entropy to be sure of itself (experiment 12); as in the ablation."""

SPLITS = ("train", "dev_id", "dev_shift", "pool", "test_id", "test_near", "test_far")
RATE = 2e-4
PICKS_AT_ONCE = 2


class Elsewhere(SystemExit):
    """The fits wait for another machine."""


class Tuned:
    """One suite. ``prepare`` does all fits of the cells asked for; ``cell`` judges one."""

    def __init__(self, suite: str, args: argparse.Namespace) -> None:
        from selection import TIERS, is_known

        self.suite, self.args = suite, args
        self.folder = args.runs.resolve() / "tuned" / suite
        self.folder.mkdir(parents=True, exist_ok=True)
        self.devices: set[str] = set()  # that did the fits
        self.recipe = load_recipe(HERE / "recipes" / f"{suite}.yaml", args.set)
        self.scale = self.recipe.grades.scale()
        self.tables = self._tables()
        starts = np.cumsum([0, *(len(self.tables[name]) for name in SPLITS)])
        self.start = dict(zip(SPLITS, starts, strict=False))
        self.tiers = {tier: self.tables[name] for tier, name in TIERS[args.judge].items()}
        self.tier_names = dict(TIERS[args.judge])
        self.known = is_known(suite, self.tables["pool"])
        self.grades = np.concatenate([self.tables[name].grades for name in SPLITS])
        self._encode()
        with np.load(self.folder / "features.npz") as saved:
            self.head_features, self.features = saved["head"].astype(np.float32), saved["pair"].astype(np.float32)
        judged = [name for name in SPLITS if name.startswith(("dev", "test"))]
        self.judged_rows = np.concatenate([self.rows(name) for name in judged])

    def _tables(self) -> dict[str, PairTable]:
        from darl.pairs import read_pairs

        source = self.recipe.data.train[0].path
        return {name: read_pairs(source, scale=self.scale, where={"split": name}) for name in SPLITS}

    def rows(self, name: str) -> np.ndarray:
        """Where the pairs of a split stand among all."""
        return self.start[name] + np.arange(len(self.tables[name]))

    def train_rows(self, seed: int) -> np.ndarray:
        """The training pairs of a seed."""
        drawn = np.random.default_rng([seed, 3]).permutation(len(self.tables["train"]))
        return self.start["train"] + np.sort(drawn[: self.args.train_pairs[self.suite]])

    # ------------------------------------------------------------------------------- what the fits read

    def _encode(self) -> None:
        """Token ids and frozen features of every pair, once."""
        if (self.folder / "features.npz").exists():
            return
        model = RelevanceModel.from_backbone(
            self.recipe.backbone.name, self.scale, max_length=self.recipe.backbone.max_length, seed=0
        )
        heads, pairs = [], []
        fields: dict[str, list] = {"input_ids": [], "token_type_ids": []}
        for name in SPLITS:
            encoded = model.encode(self.tables[name])
            head, pair = head_and_pooled_features(model.network, model.encoder, encoded, FeatureSpec())
            heads.append(head)
            pairs.append(pair)
            ids = encoded.fields["input_ids"]
            fields["input_ids"] += ids
            fields["token_type_ids"] += encoded.fields.get("token_type_ids", [[0] * len(row) for row in ids])
            print(f"{self.suite} {name}: {len(ids):,} pairs read", flush=True)
        lengths = np.array([len(row) for row in fields["input_ids"]])
        tables = {}
        for key, rows in fields.items():
            tables[key] = np.zeros((len(rows), lengths.max()), dtype=np.int32)
            for place, row in enumerate(rows):
                tables[key][place, : len(row)] = row
        save(
            self.folder / "suite.npz",
            ids=tables["input_ids"], types=tables["token_type_ids"].astype(np.int8), lengths=lengths.astype(np.int16),
            grades=self.grades.astype(np.int8),
        )  # fmt: skip
        save(
            self.folder / "features.npz",
            head=np.concatenate(heads).astype(np.float16), pair=np.concatenate(pairs).astype(np.float16),
        )  # fmt: skip

    def head(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A probed head, calm as tuning begins."""
        dev, K = self.rows("dev_id"), self.scale.size

        def judge(logits: np.ndarray) -> float:
            return objective_value(self.recipe.objective, self.grades[dev], logits.argmax(1), K)

        probe = fit_probe(
            self.head_features[rows], self.grades[rows], self.head_features[dev], self.grades[dev],
            make_loss("occ", K), l2=self.recipe.probe.l2, judge=judge,
        )  # fmt: skip
        calm = probe.calmed(probe.logits(self.head_features[rows]), self.recipe.probe.spread)
        assert calm.bias is not None
        return calm.weight.numpy(), calm.bias.numpy()

    def jobs(self, rows: list[np.ndarray], weights: list[np.ndarray], seeds: list[int], score: np.ndarray) -> Jobs:
        """Fits of as many pairs each; ``seeds`` tell whose head they begin with."""
        heads = [self._head_of(seed) for seed in seeds]
        return Jobs(
            np.stack(rows), np.stack(weights).astype(np.float32), np.array(seeds),
            np.stack([w for w, _ in heads]), np.stack([b for _, b in heads]), score,
            epochs=self.args.epochs[self.suite], rate=RATE,
        )  # fmt: skip

    def _head_of(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        path = self.folder / f"head-{seed}.npz"
        if not path.exists():
            weight, bias = self.head(self.train_rows(seed))
            save(path, weight=weight, bias=bias)
        with np.load(path) as saved:
            return saved["weight"], saved["bias"]

    def fitted(self, name: str, make: Any) -> dict[str, np.ndarray]:
        """What the fits of this name found; done now, or left to another machine."""
        out, jobs = self.folder / f"{name}.out.npz", self.folder / f"{name}.jobs.npz"
        if not out.exists():
            if not jobs.exists():
                save(jobs, **asdict(make()))
            folder = Path(resolve_backbone(self.recipe.backbone.name).source)
            files = [self.folder / "suite.npz", jobs, folder / "model.safetensors", folder / "config.json", out]
            command = [str(HERE / "stacked_fits.py"), *map(str, files)]
            if self.args.elsewhere:
                raise Elsewhere(f"wait for: python {' '.join(command)}")
            subprocess.run([sys.executable, *command], check=True)
        with np.load(out) as saved:
            self.devices.add(str(saved["device"]))
            return {key: saved[key] for key in saved.files}

    # ------------------------------------------------------------------------------------- the three steps

    def prepare(self, cells: list[tuple[float, int, str, int]]) -> list[tuple[float, int, str, int]]:
        """All fits of these cells (share, budget, strategy, seed), with ``--finished`` none; which cells are done."""
        from selection import NONE

        seeds = sorted({cell[3] for cell in cells})
        score = np.concatenate([self.judged_rows, self.rows("pool")])
        base = self.fitted(
            "base-" + "-".join(map(str, seeds)),
            lambda: self.jobs(
                [self.train_rows(seed) for seed in seeds],
                [np.ones(len(self.train_rows(seed))) for seed in seeds], seeds, score,
            ),
        )["logits"]  # fmt: skip
        self.base = dict(zip(seeds, base, strict=True))
        wanted = [cell for cell in cells if cell[2] != NONE]
        self.wanted = set(wanted)
        self.found: dict[tuple, np.ndarray] = {}
        if self.args.finished:
            for budget in sorted({cell[1] for cell in wanted}):
                self.found |= self._done(budget)
            return [cell for cell in cells if cell[2] == NONE or cell in self.found]
        missing = [cell for cell in wanted if not self._picks_file(cell).exists()]
        if missing:
            with get_context("fork").Pool(PICKS_AT_ONCE) as pool:
                for cell in pool.imap_unordered(self._pick, missing):
                    print(f"{self.suite} picked {cell}", flush=True)
        for budget in sorted({cell[1] for cell in wanted}):
            mine = [cell for cell in wanted if cell[1] == budget]
            done = self._done(budget)
            left = [cell for cell in mine if cell not in done]
            for first in range(0, len(left), self.args.at_once):
                self._fit_cells(budget, left[first : first + self.args.at_once])
            self.found |= self._done(budget)
        return cells

    def _fit_cells(self, budget: int, cells: list[tuple]) -> None:
        """One stacked fit of these cells; `cells-BUDGET-N.json` says which row of its logits is whose."""
        plans = sorted(self.folder.glob(f"cells-{budget}-*.json"))
        same = [plan for plan in plans if json.loads(plan.read_text()) == [list(cell) for cell in cells]]
        plan = same[0] if same else self.folder / f"cells-{budget}-{len(plans)}.json"
        plan.write_text(json.dumps(cells))
        self.fitted(plan.stem, lambda: self._cell_jobs(cells))

    def _cell_jobs(self, cells: list[tuple]) -> Jobs:
        rows, weights = [], []
        for cell in cells:
            train, picks = self.train_rows(cell[3]), np.load(self._picks_file(cell))
            rows.append(np.concatenate([train, picks]))
            weight = float(cell[2].partition("@")[2] or 1)
            weights.append(np.r_[np.ones(len(train)), np.full(len(picks), weight)])
        return self.jobs(rows, weights, [cell[3] for cell in cells], self.judged_rows)

    def _done(self, budget: int) -> dict[tuple, np.ndarray]:
        found = {}
        for path in self.folder.glob(f"cells-{budget}-*.json"):
            out = path.with_suffix(".out.npz")
            if out.exists():
                with np.load(out) as saved:
                    logits, device = saved["logits"], str(saved["device"])
                rows = dict(zip(map(tuple, json.loads(path.read_text())), logits, strict=True))
                found |= {cell: row for cell, row in rows.items() if cell in self.wanted}
                self.devices |= {device} if self.wanted & set(rows) else set()
        return found

    def _picks_file(self, cell: tuple) -> Path:
        share, budget, strategy, seed = cell
        return self.folder / "picks" / f"{share:g}-{budget}-{strategy.partition('@')[0].replace(':', '_')}-{seed}.npy"

    def _pick(self, cell: tuple) -> tuple:
        """Which pool pairs a strategy picks, as rows among all."""
        from selection import draw_pool, strategy_of

        share, budget, strategy, seed = cell
        pool = self.tables["pool"]
        pool = pool.with_column("row", self.rows("pool"))
        drawn = draw_pool(self.known, share, seed)
        train = self.train_rows(seed)
        table = self.tables["train"].take(train - self.start["train"]).with_column("row", train)
        reference = fit_reference(self.features[train], self.features[self.rows("dev_id")], "knn")
        model = Answers(self, seed, reference)
        chosen = select(
            model, pool.take(drawn).without_grades(), budget=budget, train=table,
            evaluations={name: self.tables[name] for name in SPLITS if name.startswith(("dev", "test"))},
            strategy=strategy_of(strategy.partition("@")[0], self.known[drawn]), seed=seed,
        ).pairs  # fmt: skip
        path = self._picks_file(cell)
        path.parent.mkdir(exist_ok=True)
        picked = np.asarray(chosen.column("row"), dtype=np.int64)
        if len(picked) < budget:
            raise RuntimeError(f"{cell}: only {len(picked)} picks")
        with atomic_file(path) as scratch, scratch.open("wb") as file:
            np.save(file, picked)
        return cell

    def cell(self, share: float, budget: int, strategy: str, seed: int) -> dict[str, Any]:
        from selection import NONE

        if strategy == NONE:
            return {**self.judged(self.base[seed], seed), "picked": self.about(np.zeros(0, dtype=np.int64))}
        key = (share, budget, strategy, seed)
        return {**self.judged(self.found[key], seed), "picked": self.about(np.load(self._picks_file(key)))}

    def logits_of(self, logits: np.ndarray, name: str) -> np.ndarray:
        """The part of a fit's logits that belongs to a split."""
        return logits[np.searchsorted(self.judged_rows, self.rows(name))]

    def judged(self, logits: np.ndarray, seed: int) -> dict[str, Any]:
        """Calibrated and decided by dev, as `darl fit` does."""
        scaling, decide = self.finished(logits, seed)
        arrays = {t: softmax(scaling.of(self.logits_of(logits, name))) for t, name in self.tier_names.items()}
        return {"arrays": arrays, "predicted": {tier: decide(p) for tier, p in arrays.items()}}

    def finished(self, logits: np.ndarray, seed: int) -> tuple[Any, Any]:
        """The scaling and the decision rule of a fit."""
        known, shifted = (
            DevLogits(self.logits_of(logits, name), self.tables[name].grades, self.tables[name].query_groups())
            for name in ("dev_id", "dev_shift")
        )
        scaling, _ = calibrate_on(self.recipe, known, shifted)
        train = self.tables["train"].take(self.train_rows(seed) - self.start["train"])
        return scaling, decide_on(self.recipe, train, known, shifted, scaling).rule.decide

    def about(self, picked: np.ndarray) -> dict[str, Any]:
        new = float((~self.known[picked - self.start["pool"]]).mean()) if len(picked) else 0.0
        counts = np.bincount(self.grades[picked], minlength=self.scale.size)
        return {"picks": len(picked), "new": new, "grades": (counts / max(1, counts.sum())).round(3).tolist()}

    def truth(self, tier: str) -> tuple[np.ndarray, np.ndarray]:
        table = self.tiers[tier]
        return table.grades, table.query_groups()


class Answers:
    """What `select` asks of a model, from what a fit said of the pool."""

    def __init__(self, world: Tuned, seed: int, reference: OODReference) -> None:
        self.world, self.ood, self.scale = world, reference, world.scale
        logits = world.base[seed]
        scaling, self.decide = world.finished(logits[: len(world.judged_rows)], seed)
        self.probabilities = softmax(scaling.of(logits[len(world.judged_rows) :]))

    def encode(self, pairs: PairTable) -> PairTable:
        return pairs

    def ood_features(self, encoded: PairTable) -> np.ndarray:
        return self.world.features[np.asarray(encoded.column("row"), dtype=np.int64)]

    def score(self, pairs: PairTable, *, ood: bool = True) -> SimpleNamespace:
        rows = np.asarray(pairs.column("row"), dtype=np.int64) - self.world.start["pool"]
        chances = self.probabilities[rows]
        scores = self.ood.score(self.ood_features(pairs))
        return SimpleNamespace(
            scale=self.scale, probabilities=chances, grades=self.decide(chances),
            relevance=self.scale.relevance(chances), ood_scores=scores,
            ood_percentiles=self.ood.percentile_of(scores),
        )  # fmt: skip


def save(path: Path, **arrays: Any) -> None:
    """Whole or not at all."""
    with atomic_file(path) as scratch, scratch.open("wb") as file:
        np.savez(file, **arrays)
