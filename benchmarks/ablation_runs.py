"""One rung of the ablation for one seed: trained, or found where it was trained before.

A rung leaves in its folder `predictions-TIER.npz` for each test set, `predictions-calibration.npz` (dev_id, for the
temperature) and, last, `rung.json`: with that file it is finished and is not touched again. Killed before, the same
call goes on inside the stage that was under way.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ablation_rungs import RUNGS, UNMATCHED, Rung
from darl.model import RelevanceModel
from darl.model.backbones import is_decoder, resolve_backbone
from darl.pairs import PairTable, read_pairs, write_pairs
from darl.recipe.file import load_recipe
from darl.recipe.settings import Recipe
from darl.recipe.yaml_text import dump_yaml
from darl.storage import atomic_file, atomic_folder, atomic_write_json, read_json, stable_hash
from darl.training.pipeline import fit
from darl.training.splits import load_splits
from machine import commit
from reads import note_reading
from selection import draw_pool, is_known

HERE = Path(__file__).resolve().parent
CALIBRATION = "calibration"
TIERS = {False: ("id", "near", "far"), True: ("id", "shift")}  # judged on tests, on dev sets


@dataclass(frozen=True)
class Setting:
    """What all rungs have in common.

    Attributes:
        suite, backbone, kind: of the recipe. train: training pairs, the same for every seed.
        set: overrides for every rung. baseline: for those that begin from a random head.
        budget: labels bought. pool_share: share of new traffic in the pool they are bought from.
        strategy: darl's, as in `darl select --strategy`. test: pairs of each dev and test set, where fewer than all.
        dev: judged on dev_id and dev_shift, and no test set is read.
        runs: where the folders lie.
    """

    suite: str
    backbone: str
    kind: str
    train: int
    set: tuple[str, ...]
    baseline: tuple[str, ...]
    budget: int
    pool_share: float
    strategy: str
    test: int | None
    dev: bool
    runs: Path

    @property
    def recipe_file(self) -> Path:
        return HERE / "recipes" / f"{self.suite}.yaml"

    @property
    def folder(self) -> Path:
        told = {name: value for name, value in asdict(self).items() if name not in ("runs", "dev")}
        name = f"{Path(self.backbone).name}-{self.kind}-{self.train}-{stable_hash(told)[:8]}"
        return self.runs.resolve() / self.suite / name

    def run_folder(self, rung: Rung, seed: int, *, dev: bool | None = None) -> Path:
        judged = "dev" if (self.dev if dev is None else dev) else "tests"
        return self.folder / judged / rung.name / f"seed{seed}"

    @property
    def tiers(self) -> tuple[str, ...]:
        return TIERS[self.dev]

    def decoder(self) -> bool:
        return is_decoder(resolve_backbone(self.backbone))


def settings_of(setting: Setting, rung: Rung, seed: int) -> list[str]:
    """The overrides of a rung that name no file."""
    shared = [f"backbone.name={setting.backbone}", f"tune.kind={setting.kind}", f"seed={seed}", *setting.set]
    own = [*(setting.baseline if rung.baseline else ()), *rung.overrides]
    if setting.test:
        sized = ["dev_id", "dev_ood", *(() if setting.dev else (f"tests.{tier}" for tier in setting.tiers))]
        own += [f"data.{name}.sample={setting.test}" for name in sized]
    return [*shared, *own]


def overrides_of(setting: Setting, rung: Rung, seed: int) -> list[str]:
    """Every override of a rung, the files it reads included."""
    found = settings_of(setting, rung, seed)
    data = load_recipe(setting.recipe_file, found).data
    if rung.labels:
        bought = {"path": str(labels_file(setting, rung, seed))}
        train = {**_plain(data.train[0]), "sample": setting.train}
        found.append(f"data.train={dump_flow([train, bought])}")
    else:
        found.append(f"data.train.sample={setting.train}")
    if rung.before:
        before = setting.run_folder(RUNGS[rung.before], seed)
        found.append(f"interpolate.before={before}")
        if UNMATCHED not in rung.overrides:  # as the rounds of a recipe do
            found.append(f"match.reuse={before}")
    if setting.dev:
        assert data.dev_id is not None
        assert data.dev_ood is not None
        sets = {"id": _plain(data.dev_id), "shift": _plain(data.dev_ood)}
        found.append(f"data.tests={dump_flow(sets)}")
    return found


def _plain(source: Any) -> dict[str, Any]:
    return source.model_dump(exclude_defaults=True)


def dump_flow(value: object) -> str:
    """One line of YAML, as an override takes it.

    >>> dump_flow({"id": {"path": "a.jsonl", "sample": 5}})
    '{id: {path: a.jsonl, sample: 5}}'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {dump_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dump_flow, value)) + "]"
    return dump_yaml([value]).strip()[1:-1]


def recipe_of(setting: Setting, rung: Rung, seed: int) -> Recipe:
    return load_recipe(setting.recipe_file, overrides_of(setting, rung, seed))


# ------------------------------------------------------------------------------------------- commands


def commands_of(setting: Setting, rung: Rung, seed: int) -> list[str]:
    """What a user types to make the rung's model: for labels the selection first."""
    if rung.script:
        return [f"# {rung.title}: benchmarks/{rung.script}.py, called by benchmarks/ablation.py"]
    lines = []
    if rung.labels:
        picks = labels_file(setting, rung, seed)
        lines += [
            shlex.join(["darl", *select_arguments(setting, rung, seed)]),
            f"# label {picks.with_suffix('.picks.jsonl').name} and keep it as {picks}",
        ]
    fitted = ["darl", "fit", os.path.relpath(setting.recipe_file), *overrides_of(setting, rung, seed)]
    return [*lines, shlex.join([*fitted, "--run", str(setting.run_folder(rung, seed))])]


# --------------------------------------------------------------------------------------------- labels


def labels_file(setting: Setting, rung: Rung, seed: int) -> Path:
    """Where the labels lie that were bought for a rung, and for those that take the same."""
    by = "" if rung.chooser == "interpolation" else f"-{rung.chooser}"
    return setting.folder / "labels" / f"{rung.labels}{by}-seed{seed}.jsonl"


def select_arguments(setting: Setting, rung: Rung, seed: int) -> list[str]:
    """`darl select …` for the labels of a rung."""
    model = setting.run_folder(RUNGS[rung.chooser], seed) / "model"
    strategy = "random" if rung.labels == "random" else setting.strategy
    picks = labels_file(setting, rung, seed).with_suffix(".picks.jsonl")
    pool = setting.folder / "labels" / f"pool-seed{seed}.jsonl"
    where = [str(model), str(pool), "--out", str(picks)]
    return ["select", *where, "--budget", str(setting.budget), "--strategy", strategy, "--seed", str(seed)]


def buy_labels(setting: Setting, rung: Rung, seed: int) -> Path:
    """Pick from the pool and take the pool's own grades for the picks: no other grade of it is read."""
    labelled = labels_file(setting, rung, seed)
    if labelled.exists():
        return labelled
    recipe = load_recipe(setting.recipe_file)
    source, scale = recipe.data.pool, recipe.grades.scale()
    assert source is not None
    pool = read_pairs(source.path, scale=scale, where=source.where)
    rows = draw_pool(is_known(setting.suite, pool), setting.pool_share, seed)
    shown = PairTable.from_pairs(pool.take(rows).queries, pool.take(rows).items).with_column("pool_row", rows.tolist())
    arguments = select_arguments(setting, rung, seed)
    labelled.parent.mkdir(parents=True, exist_ok=True)
    write_pairs(shown, Path(arguments[2]))
    subprocess.run([sys.executable, "-m", "darl", *arguments, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    picks = read_pairs(arguments[4], require_grades=False)
    bought = pool.take(np.asarray(picks.column("pool_row"), dtype=np.int64))
    write_pairs(PairTable.from_pairs(bought.queries, bought.items, bought.grades), labelled)
    return labelled


# ----------------------------------------------------------------------------------------------- runs


def perform(setting: Setting, rung: Rung, seed: int, reads: Path | None) -> Path:
    """Train and judge one rung, or find it done; ``reads`` is the log of what read a test set."""
    folder = setting.run_folder(rung, seed)
    if (folder / "rung.json").exists():
        return folder
    if rung.before:
        perform(setting, RUNGS[rung.before], seed, reads)
    if rung.labels:
        perform(setting, RUNGS[rung.chooser], seed, reads)
        buy_labels(setting, rung, seed)
    if rung.shares:
        perform(setting, RUNGS[rung.shares], seed, reads)
    overrides = overrides_of(setting, rung, seed)
    wall, cpu, again = time.perf_counter(), time.process_time(), folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if reads is not None and not setting.dev:
        note_read(reads, setting, rung, seed)
    if rung.script:
        run_peer(setting, rung, seed, folder)
    else:
        borrow_stages(setting, rung, seed)
        # the intervals are drawn here, over seeds and for differences; a run's own would only cost time
        fit(load_recipe(setting.recipe_file, [*overrides, "evaluate.bootstrap=0"]), run=folder, quiet=True)
        judge_calibration_set(setting, rung, seed, folder)
    about = {
        "rung": rung.name,
        "overrides": settings_of(setting, rung, seed),
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "resumed": again,  # then the seconds are those since
        "commit": commit(),
    }
    atomic_write_json(folder / "rung.json", about)
    return folder


def borrow_stages(setting: Setting, rung: Rung, seed: int) -> None:
    """Link in what another run has done already; a stage that is not the same is refused by its key."""
    own = setting.run_folder(rung, seed)
    twin = setting.run_folder(rung, seed, dev=not setting.dev)  # the same model, judged elsewhere
    lenders: list[tuple[Path, tuple[str, ...]]] = []
    if (twin / "rung.json").exists():
        lenders.append((twin, ("match", "probe", "tune-*", "interpolate", "augment", "finish")))
    if rung.shares:
        lenders.append((setting.run_folder(RUNGS[rung.shares], seed), ("match", "probe", "tune-*")))
    for lender, names in lenders:
        for name in names:
            for stage in (lender / "stages").glob(name):
                target = own / "stages" / stage.name
                whole = stage.suffix != ".partial" and (stage / "stage.json").exists()
                if whole and not target.exists():
                    with atomic_folder(target) as partial:
                        shutil.copytree(stage, partial, copy_function=os.link, dirs_exist_ok=True)


def run_peer(setting: Setting, rung: Rung, seed: int, folder: Path) -> None:
    """Train a peer on the same splits, and keep what it says of the same tables."""
    assert rung.script is not None
    recipe = recipe_of(setting, rung, seed)
    splits = load_splits(recipe)
    tables = {CALIBRATION: splits.dev_id, **splits.tests}
    train = import_module(rung.script).train
    for name, (chances, predicted) in train(
        recipe, splits.train, splits.dev_id, tables, folder, **rung.options
    ).items():
        write_predictions(folder, name, tables[name], chances, predicted)


def judge_calibration_set(setting: Setting, rung: Rung, seed: int, folder: Path) -> None:
    """What the model says of dev_id, on which a temperature is fitted afterwards."""
    dev = load_splits(recipe_of(setting, rung, seed)).dev_id
    scores = RelevanceModel.from_pretrained(folder / "model").score(dev, ood=False)
    write_predictions(folder, CALIBRATION, dev, scores.probabilities, scores.grades)


def write_predictions(
    folder: Path, name: str, table: PairTable, probabilities: np.ndarray, predicted: np.ndarray
) -> None:
    arrays = {
        "grades": table.grades,
        "probabilities": probabilities,
        "predicted": predicted,
        "groups": table.query_groups(),
    }
    with atomic_file(folder / f"predictions-{name}.npz") as scratch, scratch.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_predictions(folder: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(folder / f"predictions-{name}.npz") as saved:
        return dict(saved)


def about_of(folder: Path) -> dict:
    return read_json(folder / "rung.json")


def note_read(reads: Path, setting: Setting, rung: Rung, seed: int) -> None:
    """One line for each configuration that is judged on test sets; asked again, it is noted already."""
    line = {
        "benchmark": "ablation",
        "suite": setting.suite,
        "tests": list(setting.tiers),
        "rung": rung.name,
        "settings": settings_of(setting, rung, seed),
        "train": setting.train,
        "labels": [rung.labels, setting.budget, setting.pool_share, setting.strategy] if rung.labels else None,
    }
    note_reading(line, reads)
