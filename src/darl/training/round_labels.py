"""The second step of a round of labels: the labelled picks as training pairs that say where they came from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from darl.dasa import label_picks
from darl.errors import DataError, LabelsAwaitedError, MissingColumnError
from darl.grades import GradeScale
from darl.pairs import PairTable, read_pairs, write_pairs
from darl.progress import Reporter
from darl.recipe.rounds import RoundsSettings
from darl.recipe.settings import Recipe
from darl.storage import read_json
from darl.training.processes import barrier, is_main
from darl.training.round_judge import judge_picks, outdated
from darl.training.round_picks import PICKED, picks_of
from darl.training.run import Run, Stage
from darl.training.splits import read_source

NAME = "label"
LABELLED = "labelled.jsonl"
LOOKED_FOR = (LABELLED, "labelled.csv", "labelled.parquet")
PROVENANCE = ("round", "strategy", "source", "labelled_by", "labelled_at", "label_agreement")


def label_stage(
    recipe: Recipe,
    settings: RoundsSettings,
    *,
    before: Path,
    columns: list[str],
    dev: PairTable,
    picked: Stage,
    run: Run,
    reporter: Reporter,
) -> Stage:
    """The labelled picks, in the stage's ``labelled.jsonl``.

    Args:
        before: the finished run that picked; named in the command that labels.
        columns: of the training pairs; of the pool's others none is kept.
        dev: dev_id, which a judge is measured on where it has no gold of its own.

    Raises:
        LabelsAwaitedError: nobody has labelled the picks yet.
        JudgeError: a judge that does not answer, costs too much, or agrees too little with known grades.
        DataError: labels that do not belong to the picks; UnlabelledPicksError: some are missing.
    """
    scale, file = recipe.grades.scale(), _labelled_file(run.folder)
    if settings.labels is None and file is None:
        done = _done_before(run, picked)
        if done is not None:
            return done
        if settings.judge is None:
            raise _awaited(run.folder, before, picked.result["picked"])
    if settings.judge is not None and (file is None or outdated(file, picked.key)):
        barrier()  # every process has looked before the main one writes
        if is_main():
            labelled = run.folder / LABELLED
            judge_picks(recipe, settings.judge, dev, run.folder / PICKED, labelled, reporter, key=picked.key)
        barrier()
        file = _labelled_file(run.folder)
    labels = _read_labels(recipe, settings, file, scale)
    stage = run.stage(
        NAME,
        {"labels": labels.fingerprint(), "on_missing": settings.on_missing},
        lambda folder: _label(settings, labels, scale, columns, picked, folder),
        after=(picked,),
    )
    result, again = stage.result, " (done before)" if stage.reused else ""
    grades = ", ".join(f"{name} {count:,}" for name, count in result["grades"].items())
    reporter.say(f"label: {result['labelled']:,} of {result['picked']:,} picks have a label: {grades}{again}")
    return stage


def _labelled_file(folder: Path) -> Path | None:
    there = [folder / name for name in LOOKED_FOR if (folder / name).is_file()]
    if len(there) > 1:
        raise DataError(
            f"there are several files of labels: {', '.join(path.name for path in there)}",
            where=folder,
            mend="leave the one that counts",
        )
    return there[0] if there else None


def _read_labels(recipe: Recipe, settings: RoundsSettings, file: Path | None, scale: GradeScale) -> PairTable:
    if settings.labels is not None:
        return read_source(settings.labels, recipe.data, scale, None, "labels", require_grades=False)
    try:
        return read_pairs(str(file), scale=scale, columns={}, require_grades=False)
    except MissingColumnError as error:
        raise MissingColumnError(
            error.what,
            where=error.where,
            mend="labels of picks have the columns query, item and grade, so named whatever data.columns says",
        ) from error


def _label(
    settings: RoundsSettings, labels: PairTable, scale: GradeScale, columns: list[str], picked: Stage, folder: Path
) -> dict[str, Any]:
    picks = picks_of(picked.folder)
    own = settings.labels is None
    found = label_picks(picks, labels, scale, on_missing=settings.on_missing, only_picks=own)
    kept = {"query", "item", "grade", *columns, *PROVENANCE} - {"weight"}
    table = PairTable(found.arrow.select([name for name in found.column_names if name in kept]))
    write_pairs(table, folder / LABELLED)
    counts = scale.counts(table.grades).tolist()
    return {
        "picked": len(picks),
        "labelled": len(table),
        "grades": dict(zip(scale.names, counts, strict=True)),
        "picks": picked.key,
    }


def _done_before(run: Run, picked: Stage) -> Stage | None:
    """The stage as it was done with labels whose file has gone since, if it was done with these picks."""
    folder = run.folder / "stages" / NAME
    if not (folder / "stage.json").is_file():
        return None
    said = read_json(folder / "stage.json")
    return Stage(NAME, folder, said["key"], said["result"], True) if said["result"]["picks"] == picked.key else None


def _awaited(folder: Path, before: Path, count: int) -> LabelsAwaitedError:
    picked, labelled = folder / PICKED, folder / LABELLED
    commands = (
        shlex.join(["darl", "label", str(picked), "--grades", str(before)]),
        shlex.join(["darl", "label", "merge", str(folder / "picked.labels.sqlite"), "-o", str(labelled)]),
    )
    return LabelsAwaitedError(
        f"{count:,} picked pairs wait for their labels",
        where=picked,
        mend=f"label them ({commands[0]}), put them where they are looked for ({commands[1]}, or any file with query, "
        f"item and grade as {labelled}), then run the same fit again",
        picked=str(picked),
        labelled=str(labelled),
        commands=commands,
    )
