"""A judge labels the picks of a round: measured on known grades first, resumed where it was stopped."""

from __future__ import annotations

from pathlib import Path

from darl.pairs import PairTable
from darl.progress import Reporter
from darl.recipe.rounds import RoundJudgeSettings
from darl.recipe.settings import Recipe
from darl.training.splits import read_source

UNLABELLED = "unlabelled.jsonl"


def require_judge() -> None:
    """Raises MissingExtraError now, not after the first fit, where the judge's package is missing."""
    import darl.labelling.judge  # noqa: F401


def judge_picks(
    recipe: Recipe, settings: RoundJudgeSettings, dev: PairTable, picked: Path, labelled: Path, reporter: Reporter
) -> None:
    """Write the picks' labels to ``labelled``, the picks without one beside it, and the judge's report.

    Answers lie in ``picked.judge.sqlite`` beside the picks as soon as they are there: killed, or stopped at its budget,
    the same fit goes on without asking twice.

    Args:
        dev: graded pairs that the judge is measured on, where the recipe names no gold.
        picked: the file of the picks. labelled: the file to write.

    Raises:
        DisagreementError: the judge agrees less than ``min_agreement``; no label is written.
        BudgetError, JudgeError: as :func:`darl.labelling.judge.judge_pairs`.
    """
    from darl.labelling.judge import Prices, judge_pairs

    scale = recipe.grades.scale()
    gold = dev if settings.gold is None else read_source(settings.gold, recipe.data, scale, None, "gold")
    gold = gold.sample(settings.gold_pairs, recipe.seed) if len(gold) > settings.gold_pairs else gold
    judge_pairs(
        picked,
        endpoint=settings.endpoint,
        model=settings.model,
        scale=scale,
        gold=gold,
        min_agreement=settings.min_agreement,
        measure=settings.measure,
        guideline=settings.guideline,
        settings=settings.model_dump(include={"samples", "temperature", "max_tokens", "concurrency", "timeout"}),
        prices=None if settings.price is None else Prices(*settings.price, budget=settings.budget),
        key_env=settings.key_env,
        min_confidence=settings.min_confidence,
        out=labelled,
        unlabelled=labelled.with_name(UNLABELLED),
        told=reporter.say,
        bar=lambda what, total: reporter.bar(what, total, "answers"),
    )
