"""The first step of a round of labels: which pairs of the pool to have labelled."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from darl.dasa import select
from darl.dasa.pool import Pool, open_pool
from darl.model import RelevanceModel
from darl.pairs import PairTable, read_pairs, write_pairs
from darl.progress import Reporter
from darl.recipe.rounds import RoundsSettings
from darl.recipe.settings import Recipe
from darl.storage import atomic_file, atomic_write_json, read_json, storage_errors
from darl.training.processes import device, is_main
from darl.training.run import Run, Stage
from darl.training.splits import Splits

NAME = "select"
PICKED = "picked.jsonl"


def read_pool(recipe: Recipe) -> Pool:
    """The recipe's unlabelled pairs, drawn as its ``sample`` says.

    Raises:
        DataError, StorageError: they cannot be read. EmptySplitError: there are none.
    """
    data, source = recipe.data, recipe.data.pool
    assert source is not None  # the recipe was checked
    columns = data.columns if source.columns is None else source.columns
    pool = open_pool(source.path, columns=columns, where=source.where)
    if source.sample is None:
        return pool
    return Pool(pool.pairs.sample(source.sample, data.sample_seed), pool.unreadable)


def select_stage(
    recipe: Recipe,
    settings: RoundsSettings,
    number: int,
    *,
    before: Path,
    splits: Splits,
    already: PairTable | None,
    run: Run,
    reporter: Reporter,
) -> Stage:
    """Round ``number``'s picks, in the stage's ``picked.jsonl`` and, for who labels them, in the run folder's.

    Args:
        before: the finished run whose model picks. splits: its pairs: none of them is picked, and none of a query
            that judges.
        already: the picks of all earlier rounds, labelled or not.
    """
    pool = read_pool(recipe)
    inputs: dict[str, Any] = {
        "settings": settings.model_dump(include={"budget", "strategy", "per_query", "per_item"}),
        "round": number,
        "seed": recipe.seed,
        "model": read_json(before / "stages" / "finish" / "stage.json")["key"],
        "pool": pool.pairs.fingerprint(),
        "data": splits.fingerprints() | {name: table.fingerprint() for name, table in splits.tests.items()},
        "already": None if already is None else already.fingerprint(),
    }
    cache = run.folder / "pool"
    stage = run.stage(
        NAME,
        inputs,
        lambda folder: _select(recipe, settings, number, before, splits, already, pool, cache, folder, reporter),
    )
    if is_main():
        with storage_errors(run.folder):
            shutil.rmtree(cache, ignore_errors=True)  # as large as the pool, and only for a kill in this stage
            with atomic_file(run.folder / PICKED) as scratch:
                shutil.copyfile(stage.folder / PICKED, scratch)
    again = " (done before)" if stage.reused else ""
    result = stage.result
    reporter.say(f"select: {result['picked']:,} of {result['pool']:,} pool pairs by {result['strategy']}{again}")
    return stage


def picks_of(folder: Path) -> PairTable:
    """What the stage in ``folder`` picked."""
    return read_pairs(folder / PICKED, require_grades=False, columns={})


def _select(
    recipe: Recipe,
    settings: RoundsSettings,
    number: int,
    before: Path,
    splits: Splits,
    already: PairTable | None,
    pool: Pool,
    cache: Path,
    folder: Path,
    reporter: Reporter,
) -> dict[str, Any]:
    model = RelevanceModel.from_pretrained(
        before / "model", device=device(), trust_remote_code=recipe.backbone.trust_remote_code
    )
    evaluations = {"dev_id": splits.dev_id, **({"dev_ood": splits.dev_ood} if splits.dev_ood is not None else {})}
    with reporter.bar("select: score the pool", len(pool.pairs)) as advance:
        found = select(
            model,
            pool,
            budget=settings.budget,
            train=splits.train,
            evaluations=evaluations | {f"test {name}": table for name, table in splits.tests.items()},
            per_query=settings.per_query,
            per_item=settings.per_item,
            already=already,
            seed=recipe.seed,
            strategy=settings.strategy,
            progress=advance,
            cache=cache,
        )
    strategy = found.report["strategy"]
    pairs = found.pairs.with_column("round", [number] * len(found)).with_column("strategy", [strategy] * len(found))
    write_pairs(pairs, folder / PICKED)
    atomic_write_json(folder / "report.json", found.report)
    return {"picked": len(found), "pool": len(pool.pairs), "strategy": strategy}
