"""The suite with real fits: `darl fit`, `darl.dasa.select`, labels, `darl fit` again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from darl.dasa import select
from darl.pairs import PairTable, read_pairs, write_pairs
from darl.recipe.file import load_recipe
from darl.training.pipeline import fit
from darl.training.splits import load_splits

HERE = Path(__file__).resolve().parent


class Full:
    """One suite; every fit is a run folder, so a killed benchmark resumes in the middle of a fit."""

    def __init__(self, suite: str, args: argparse.Namespace) -> None:
        from selection import TIERS, is_known

        self.suite, self.args = suite, args
        self.folder = args.runs.resolve() / "full-runs" / suite
        self.recipe_file = HERE / "recipes" / f"{suite}.yaml"
        recipe = self._recipe(0, [])
        splits = load_splits(recipe)
        source = recipe.data.pool
        assert source is not None
        self.pool = read_pairs(source.path, scale=recipe.grades.scale(), where=source.where)
        self.known, self.train = is_known(suite, self.pool), splits.train
        self.tables: dict[str, PairTable] = {"dev_id": splits.dev_id, **splits.tests}
        if splits.dev_ood is not None:
            self.tables["dev_shift"] = splits.dev_ood
        names = {"test_id": "id", "test_near": "near", "test_far": "far"}
        self.tiers = {tier: self.tables[names.get(name, name)] for tier, name in TIERS[args.judge].items()}
        self.scale = recipe.grades.scale()

    def _recipe(self, seed: int, extra: list[tuple[str, float]]) -> Any:
        overrides = [f"seed={seed}", f"data.train.sample={self.args.train}", *self.args.set]
        recipe = load_recipe(self.recipe_file, overrides)
        if extra:
            sources = [*recipe.data.train, *[type(recipe.data.train[0])(path=path, weight=w) for path, w in extra]]
            recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"train": sources})})
        return recipe

    def cell(self, share: float, budget: int, strategy: str, seed: int) -> dict[str, Any]:
        from selection import NONE, draw_pool, strategy_of

        base = self.folder / f"seed{seed}" / "base"
        fit(self._recipe(seed, []), run=base, quiet=True)
        if strategy == NONE:
            return self._judged(base, np.zeros(0, dtype=np.int64))
        rows = draw_pool(self.known, share, seed)
        pool = self.pool.take(rows).with_column("pool_row", rows)
        name, _, weight = strategy.partition("@")
        selection = select(
            base / "model",
            pool.without_grades(),
            budget=budget,
            train=self.train,
            evaluations=self.tables,
            strategy=strategy_of(name, self.known[rows]),
            seed=seed,
            cache=self.folder / "pools",
        )
        picked = np.asarray(selection.pairs.column("pool_row"), dtype=np.int64)
        run = self.folder / f"seed{seed}" / f"{share:g}-{budget}-{strategy.replace(':', '_').replace('@', '_w')}"
        labelled = run.with_suffix(".jsonl")
        bought = self.pool.take(picked)  # the annotator: grades of the picks alone are read
        write_pairs(PairTable.from_pairs(bought.queries, bought.items, bought.grades), labelled)
        fit(self._recipe(seed, [(str(labelled), float(weight or 1))]), run=run, quiet=True)
        return self._judged(run, picked)

    def _judged(self, run: Path, picked: np.ndarray) -> dict[str, Any]:
        from darl.model import RelevanceModel

        model = RelevanceModel.from_pretrained(run / "model")
        scores = {tier: model.score(table, ood=False) for tier, table in self.tiers.items()}
        counts = np.bincount(self.pool.grades[picked], minlength=self.scale.size)
        return {
            "arrays": {tier: s.probabilities for tier, s in scores.items()},
            "predicted": {tier: s.grades for tier, s in scores.items()},
            "picked": {
                "picks": len(picked),
                "new": float((~self.known[picked]).mean()) if len(picked) else 0.0,
                "grades": (counts / max(1, counts.sum())).round(3).tolist(),
            },
        }

    def truth(self, tier: str) -> tuple[np.ndarray, np.ndarray]:
        table = self.tiers[tier]
        return table.grades, table.query_groups()
