"""The splits of a run: read by recipe, cut where the recipe asks, and held against the leak guard."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darl.errors import EmptySplitError, MissingGradeError, RecipeError
from darl.grades import GradeScale
from darl.pairs import PairTable, read_pairs
from darl.pairs.leaks import check_leaks
from darl.pairs.splitting import split_pairs
from darl.recipe.data import DataSettings, Source
from darl.recipe.settings import Recipe
from darl.training.every_grade import with_every_grade

log = logging.getLogger(__name__)

FEW_QUERIES = 20  # of dev_id, below which a fit warns: with 10 of them noise chose (experiment 45)


@dataclass(frozen=True)
class SoftTargets:
    """A teacher's grade probabilities, (n, K) float32, and how much they count on each pair, (n,) in [0, 1].

    Attributes:
        weights: how much each teacher counts in the probabilities, by its model.
    """

    probabilities: np.ndarray
    share: np.ndarray
    weights: dict[str, float]


@dataclass(frozen=True)
class Splits:
    """What each set of pairs is for.

    Attributes:
        train: for learning. dev_id, dev_ood: for choices. tests: for judging, by name; the first is ID.
        taught: what a teacher says of the training pairs, where there is one.
        ungraded: further pairs of train, without a grade: their texts are for matching alone.
    """

    train: PairTable
    dev_id: PairTable
    dev_ood: PairTable | None
    tests: dict[str, PairTable]
    taught: SoftTargets | None = None
    ungraded: PairTable | None = None

    def tables(self) -> dict[str, PairTable]:
        """Every set of pairs by name."""
        out = {"train": self.train, "dev_id": self.dev_id}
        if self.dev_ood is not None:
            out["dev_ood"] = self.dev_ood
        return out | {f"test {name}": table for name, table in self.tests.items()}

    def sizes(self) -> dict[str, int]:
        return {name: len(table) for name, table in self.tables().items()}

    def told(self) -> str:
        """The sizes in words. Queries are told too: pairs of one query are alike, so few queries show little."""
        return ", ".join(
            f"{name} {len(table):,} ({len(table.query_names()):,} queries)" for name, table in self.tables().items()
        )

    def warning(self) -> str | None:
        """That dev_id has too few queries to choose by, where it has."""
        queries = len(self.dev_id.query_names())
        if queries >= FEW_QUERIES:
            return None
        return (
            f"warning: dev_id has {queries} {'query' if queries == 1 else 'queries'} alone. α, calibration and rule "
            "are chosen by it, so they, and what is said of dev, are close to chance: name a larger data.dev_id"
        )

    def fingerprints(self) -> dict[str, str]:
        """What a stage's key depends on."""
        out = {"train": self.train.fingerprint(), "dev_id": self.dev_id.fingerprint()}
        if self.dev_ood is not None:
            out["dev_ood"] = self.dev_ood.fingerprint()
        return out


def load_splits(recipe: Recipe, skipped_folder: Path | None = None) -> Splits:
    """Read and check every split of a recipe.

    Raises:
        BadRowsError, DataError: a file cannot be used.
        EmptySplitError: a split is empty. RecipeError: dev_id must be cut, and no source may be.
        LeakError: an evaluation query stands in training.
        MissingGradeError: train or dev_id lacks a grade of the scale. With a teacher, ungraded training pairs
            are kept for it to grade, and this is checked later.
    """
    data, scale, taught = recipe.data, recipe.grades.scale(), recipe.teacher is not None

    def read(source: Source, name: str, *, graded: bool = True) -> PairTable:
        table = read_source(source, data, scale, skipped_folder, name, require_grades=graded)
        if source.weight == 1.0:
            return table
        own = np.ones(len(table)) if table.weights is None else table.weights
        return table.with_column("weight", own * source.weight)

    parts = [read(source, f"train-{i}", graded=not taught) for i, source in enumerate(data.train)]
    if any(part.weights is not None for part in parts):
        parts = [p if p.weights is not None else p.with_column("weight", np.ones(len(p))) for p in parts]
    tests = {name: read(source, f"test-{name}") for name, source in data.tests.items()}
    dev_ood = read(data.dev_ood, "dev_ood") if data.dev_ood else None
    if data.dev_id is not None:
        train, dev_id = _joined(parts), read(data.dev_id, "dev_id")
    else:
        kept = [part for part, source in zip(parts, data.train, strict=True) if not source.cut]
        known = [part for part, source in zip(parts, data.train, strict=True) if source.cut]
        if not known:
            raise RecipeError(
                "dev_id would have to be cut from `data.train`, and none of its sources may be cut",
                where="data.train",
                mend="name data.dev_id, or leave out a `cut: false`",
            )
        train, dev_id, cut = _cut(_joined(known), data, scale, need_test=not tests)
        train, tests = _joined([train, *kept]), {"id": cut, **tests} if cut is not None else tests
    if not taught:
        require_every_grade(train, dev_id, scale, cut=data.dev_id is None)
    judging = {"dev_id": dev_id, **({"dev_ood": dev_ood} if dev_ood is not None else {})}
    check_leaks(train, judging | {f"test {name}": table for name, table in tests.items()})
    return Splits(train, dev_id, dev_ood, tests)


def _joined(parts: list[PairTable]) -> PairTable:
    return parts[0].concat(*parts[1:]) if len(parts) > 1 else parts[0]


def read_source(
    source: Source,
    data: DataSettings,
    scale: GradeScale,
    skipped_folder: Path | None,
    name: str,
    *,
    require_grades: bool = True,
) -> PairTable:
    """Read one source of a recipe; draws its sample."""
    table = read_pairs(
        source.path if isinstance(source.path, str) else list(source.path),
        scale=scale,
        columns=data.columns if source.columns is None else source.columns,
        where=source.where,
        on_bad_rows=data.on_bad_rows,
        skipped_to=skipped_folder / f"skipped-{name}.jsonl" if skipped_folder and data.on_bad_rows == "skip" else None,
        require_grades=require_grades,
    )
    return table.sample(source.sample, data.sample_seed) if source.sample and source.sample < len(table) else table


def _cut(
    train: PairTable, data: DataSettings, scale: GradeScale, *, need_test: bool
) -> tuple[PairTable, PairTable, PairTable | None]:
    graded, groups = has_grade(train), train.query_groups()
    known = np.unique(groups[graded])  # queries with a grade: a teacher grades the others, and judging is done by these
    enough = graded.all() or len(known) > 2
    shares = {"dev_id": data.split.dev_id}
    if need_test and data.split.test_id > 0 and graded.any() and enough:
        shares["test_id"] = data.split.test_id
    shares = {"train": 1.0 - sum(shares.values()), **shares}
    judging = np.isin(groups, known) if enough else np.ones(len(train), dtype=bool)
    whole = train if judging.all() else train.where(judging)
    if len(whole.query_names()) < len(shares):
        raise EmptySplitError(
            f"too few queries to cut {' and '.join(list(shares)[1:])} off them: {len(whole.query_names())}",
            where="train",
            mend="add pairs of other queries, or name data.dev_id and data.tests",
        )
    parts: dict[str, PairTable] = split_pairs(whole, shares, by="query", seed=data.sample_seed)
    if graded.all():  # else a teacher grades more
        parts = with_every_grade(parts, scale)
    if not judging.all():
        parts["train"] = parts["train"].concat(train.where(~judging))
    own = {name: has_grade(part) for name, part in parts.items() if name != "train"}
    parts |= {name: parts[name].where(graded) for name, graded in own.items() if graded.any() and not graded.all()}
    sizes = ", ".join(f"{name} {len(part):,}" for name, part in parts.items())
    log.info("no dev_id in the recipe: train is cut by query, in pairs: %s", sizes)
    return parts["train"], parts["dev_id"], parts.get("test_id")


def has_grade(table: PairTable) -> np.ndarray:
    """Which pairs have a grade of their own, bool (n,)."""
    return ~table.arrow.column("grade").is_null().to_numpy() if table.has("grade") else np.zeros(len(table), dtype=bool)


def require_every_grade(train: PairTable, dev_id: PairTable, scale: GradeScale, *, cut: bool = False) -> None:
    """Refuse splits that no model could learn or choose from.

    Args:
        cut: dev_id was cut off train.

    Raises:
        EmptySplitError: no pair. MissingGradeError: a grade that no pair has.
    """
    for name, table in {"train": train, "dev_id": dev_id}.items():
        if len(table) == 0:
            raise EmptySplitError("the split holds no pair", where=name, mend="check its path and its `where`")
        missing = np.flatnonzero(scale.counts(table.grades) == 0)
        if cut and (scale.counts((dev_id if table is train else train).grades)[missing] > 0).any():
            raise MissingGradeError(
                f"too few queries have the grade {', '.join(scale.names[k] for k in missing)}: train and the dev_id "
                "that is cut off it both need one",
                where="train",
                mend="add such pairs to other queries, name a data.dev_id that has them, or take it off `grades`",
            )
        if len(missing):
            raise MissingGradeError(
                f"no pair has the grade {', '.join(scale.names[k] for k in missing)}",
                where=name,
                mend="add pairs of that grade, or take it off `grades`",
            )
