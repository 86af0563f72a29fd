"""A judge labels the picks of a round: measured on known grades first, resumed where it was stopped."""

from __future__ import annotations

import os
from pathlib import Path

from darl.errors import RecipeError
from darl.pairs import PairTable
from darl.progress import Reporter
from darl.recipe.rounds import RoundJudgeSettings
from darl.recipe.settings import Recipe
from darl.storage import atomic_write_json, read_json, sha256_file, storage_errors
from darl.training.splits import read_source

UNLABELLED = "unlabelled.jsonl"
JUDGED = "labelled.judged.jsonl"
"""The judge's labels until the mark beside them is written."""
WRITTEN = "labelled.written.json"
"""Beside the labels that a judge wrote: for which picks, and their hash, by which labels that people gave are known."""
ASKED = {"samples", "temperature", "max_tokens", "concurrency", "timeout"}


def require_judge(settings: RoundJudgeSettings) -> None:
    """Refuse now, not after the first fit, what the judge cannot be asked with.

    Raises:
        MissingExtraError: its package is missing. JudgeError: an address, a number or a key that will not do.
        RecipeError: there is no such guideline.
    """
    from darl.labelling.judge import JudgeError, JudgeSettings

    chosen = {name: value for name, value in settings.model_dump(include=ASKED).items() if value is not None}
    JudgeSettings(settings.endpoint, settings.model, **chosen)
    if settings.guideline is not None and not Path(settings.guideline).is_file():
        raise RecipeError(
            f"no such file: {settings.guideline}", where="rounds.judge.guideline", mend="name the file of the guideline"
        )
    if settings.key_env is not None and not os.environ.get(settings.key_env):
        raise JudgeError(
            f"the environment variable {settings.key_env} is empty",
            where="rounds.judge.key_env",
            mend=f"export {settings.key_env}=… first",
        )


def judge_picks(
    recipe: Recipe,
    settings: RoundJudgeSettings,
    dev: PairTable,
    picked: Path,
    labelled: Path,
    reporter: Reporter,
    *,
    key: str,
) -> None:
    """Write the picks' labels to ``labelled``, the picks without one beside it, and the judge's report.

    Answers lie in ``picked.judge.sqlite`` beside the picks as soon as they are there: killed, or stopped at its budget,
    the same fit goes on without asking twice. Labels that people put there meanwhile stay.

    Args:
        dev: graded pairs that the judge is measured on, where the recipe names no gold.
        picked: the file of the picks. labelled: the file to write. key: of the picks.

    Raises:
        DisagreementError: the judge agrees less than ``min_agreement``; no label is written.
        BudgetError, JudgeError: as :func:`darl.labelling.judge.judge_pairs`.
    """
    from darl.labelling.judge import BudgetError, Prices, judge_pairs
    from darl.labelling.judge.job import report_file

    scale = recipe.grades.scale()
    gold = dev if settings.gold is None else read_source(settings.gold, recipe.data, scale, None, "gold")
    gold = gold.sample(settings.gold_pairs, recipe.seed) if len(gold) > settings.gold_pairs else gold
    judged = labelled.with_name(JUDGED)
    try:
        judge_pairs(
            picked,
            endpoint=settings.endpoint,
            model=settings.model,
            scale=scale,
            gold=gold,
            min_agreement=settings.min_agreement,
            measure=settings.measure,
            guideline=settings.guideline,
            settings=settings.model_dump(include=ASKED),
            prices=None if settings.price is None else Prices(*settings.price, budget=settings.budget),
            key_env=settings.key_env,
            min_confidence=settings.min_confidence,
            out=judged,
            report=report_file(labelled),
            unlabelled=labelled.with_name(UNLABELLED),
            told=reporter.say,
            bar=lambda what, total: reporter.bar(what, total, "answers"),
        )
    except BudgetError as error:
        raise BudgetError(
            error.what,
            where="rounds.judge.budget",
            mend="raise it; the answers so far are kept, the same fit goes on",
        ) from error
    _put_in_place(judged, labelled, key)


def _put_in_place(judged: Path, labelled: Path, key: str) -> None:
    """The mark, then the labels: labels without their mark would pass for those of people once the picks change."""
    with storage_errors(labelled):
        if labelled.exists():
            if not outdated(labelled, key):
                judged.unlink()
                return
            labelled.unlink()  # beside the new mark they would pass for people's; killed here, the answers are kept
        atomic_write_json(labelled.with_name(WRITTEN), {"picks": key, "labels": sha256_file(judged)})
        judged.replace(labelled)


def outdated(labelled: Path, key: str) -> bool:
    """Whether a judge wrote these labels for other picks than those of ``key``, and nobody changed them since."""
    written = labelled.with_name(WRITTEN)
    if not written.is_file():
        return False
    said = read_json(written)
    return said["picks"] != key and said["labels"] == sha256_file(labelled)
