"""The verb `judge`: pairs, a model and gold labels in; labels, how far to trust them, and their cost out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, get_args

from darl.grades import GradeScale
from darl.labelling.files import file_beside
from darl.labelling.judge.cache import AnswerCache
from darl.labelling.judge.gold import Measure, gold_agreement
from darl.labelling.judge.material import Material, read_material
from darl.labelling.judge.model import Judge
from darl.labelling.judge.problems import DisagreementError, JudgeError
from darl.labelling.judge.result import Judged
from darl.labelling.judge.settings import JudgeSettings, Prices
from darl.pairs import PairTable
from darl.pairs.sources import Source

KEY_VARIABLE = "DARL_JUDGE_KEY"
Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


def judge_pairs(
    pairs: PairTable | Source,
    *,
    endpoint: str,
    model: str,
    scale: GradeScale,
    gold: PairTable | Source | None = None,
    unmeasured: bool = False,
    min_agreement: float | None = None,
    measure: Measure = "qwk",
    guideline: str | Path | None = None,
    examples: PairTable | Source | None = None,
    show: Sequence[str] = (),
    reason: bool = False,
    settings: Mapping[str, Any] | None = None,
    prices: Prices | None = None,
    key_env: str | None = None,
    cache: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    limit: int | None = None,
    min_confidence: float = 0.0,
    weight: float | None = None,
    out: str | Path | None = None,
    answers: str | Path | None = None,
    unlabelled: str | Path | None = None,
    report: str | Path | None = None,
    stop_after: Literal["estimate", "gold"] | None = None,
    told: Callable[[str], None] = lambda text: None,
    bar: Bar | None = None,
) -> Judged:
    """Has a language model grade pairs, after it was measured on gold pairs.

    The gold pairs are judged first. Their agreement is told, and written to the report, before any other pair is
    asked about. The same call goes on where an earlier one was stopped or killed.

    Args:
        pairs: the pairs to label, as :func:`darl.select` picks them; a grade they have is not looked at.
        endpoint, model, settings: of :class:`JudgeSettings`; None in ``settings`` leaves one as it is.
        scale: the grades.
        gold: pairs with known grades.
        unmeasured: label without gold pairs; nobody knows then how good the labels are.
        min_agreement: the least agreement by ``measure``; below it no label is written.
        guideline: a file of text. examples: graded pairs shown to the judge, of other queries than the gold pairs.
        show: further columns that the judge sees. reason: whether it gives a reason first.
        prices: of tokens, and the budget.
        key_env: the environment variable with the endpoint's key; default ``DARL_JUDGE_KEY``, which may be unset.
        cache: the file of answers; default ``<pairs>.judge.sqlite`` beside the file of the pairs.
        columns: {darl's name: the files' name}. limit: only the first so many pairs.
        min_confidence: the share of the samples below which a pair stays unlabelled.
        weight: of the rows, times the confidence; None: they have none.
        out: the labelled pairs. answers: every judgement, for `darl label merge`. unlabelled: pairs without a grade.
        report: everything as JSON; default beside ``out``. Files are JSON lines but for the report.
        stop_after: ``estimate``: nothing is asked. ``gold``: only the agreement is measured.
        told: is given the estimate and the agreement as text, as soon as they are known.
        bar: makes a progress bar: (what, total) → a context manager of a function that takes the answers done.

    Raises:
        DisagreementError: less agreement than ``min_agreement``. BudgetError: the budget is used up, or too small.
        JudgeError: settings that do not fit, or an endpoint that does not answer; each kind is a class.
        LeakError, DataError, StorageError: the files cannot be used.
    """
    _check(gold is not None, unmeasured, min_agreement, measure, stop_after, limit, weight)
    chosen = {name: value for name, value in (settings or {}).items() if value is not None}
    asked = JudgeSettings(endpoint, model, **chosen)
    key = _key(key_env)
    material = read_material(
        pairs, scale=scale, gold=gold, guideline=guideline, examples=examples, show=show, reason=reason,
        columns=columns, limit=limit,
    )  # fmt: skip
    report = report_file(out, report)
    with AnswerCache(_beside(pairs, cache)) as answered:
        judge = Judge(asked, material.prompt, answered, prices=prices, key=key, least=min_confidence)
        found = Judged(judge, judge.estimate([*material.gold, *(material.records if stop_after != "gold" else [])]))
        found.weight = weight
        told(found.estimate.to_text())
        if stop_after == "estimate":
            return found
        judge.check_budget(found.estimate)
        with _bar(bar, "judging gold pairs", len(material.gold) * asked.samples) as advance:
            _measure(found, material, advance)
        if found.agreement is not None:
            told(found.agreement.to_text())
        found.write_report(report)
        _refuse(found, min_agreement, measure, report)
        if stop_after == "gold":
            return found
        with _bar(bar, "judging pairs", len(material.records) * asked.samples) as advance:
            said = judge.grade(material.records, advance)
        found.pairs = list(zip(material.records, said, strict=True))
        found.write_report(report)
        found.write(out, answers=answers, unlabelled=unlabelled)
    return found


def report_file(out: str | Path | None, report: str | Path | None = None) -> str | Path | None:
    """Where the report goes: where it was said, else beside the labels; nowhere where there are none.

    >>> str(report_file("work/judged.jsonl"))
    'work/judged.judge.json'
    """
    return report if report is not None or out is None else Path(out).with_suffix(".judge.json")


def _measure(found: Judged, material: Material, advance: Callable[[int], None]) -> None:
    if not material.gold:
        return
    said = found.judge.grade(material.gold, advance)
    found.gold = list(zip(material.gold, said, material.gold_grades, strict=True))
    scale = material.prompt.scale
    found.agreement = gold_agreement(scale, material.gold_grades, said, material.gold_groups)


def _refuse(found: Judged, least: float | None, measure: Measure, report: str | Path | None) -> None:
    agreement = found.agreement
    if agreement is None:
        return
    seen = f"; see {report}" if report is not None else ""
    if not agreement.agreement.n:
        raise DisagreementError(
            f"none of the {agreement.pairs:,} gold pairs got a grade, first: {found.gold[0][1].problem}",
            where="darl judge",
            mend=f"try another model, a larger max_tokens or another form of the answer{seen}",
        )
    if least is not None and not agreement.value(measure) >= least:
        interval = agreement.intervals[measure]
        raise DisagreementError(
            f"the judge agrees with gold by {measure} {interval.estimate:.3f} [{interval.low:.2f}, "
            f"{interval.high:.2f}], less than {least}; no label was written",
            where="darl judge",
            mend=f"mend the guideline, give examples, or take another model{seen}",
        )


def _check(
    gold: bool,
    unmeasured: bool,
    least: float | None,
    measure: str,
    stop_after: str | None,
    limit: int | None,
    weight: float | None,
) -> None:
    if not gold and (least is not None or stop_after == "gold" or (not unmeasured and stop_after != "estimate")):
        raise JudgeError(
            "there are no gold pairs to measure the judge on",
            where="darl judge",
            mend="give some with known grades by --gold; --unmeasured labels without knowing how well",
        )
    if measure not in get_args(Measure):
        raise JudgeError(f"no such measure: {measure!r}", mend=f"choose from {', '.join(get_args(Measure))}")
    if stop_after not in (None, "estimate", "gold"):
        raise JudgeError(f"stop_after={stop_after!r}", mend="say estimate or gold")
    if weight is not None and not 0 < weight < math.inf:
        raise JudgeError(f"weight={weight}", where="judge settings", mend="give a number above 0")
    if limit is not None and limit < 1:
        raise JudgeError(f"limit={limit}", where="judge settings", mend="give a number from 1 up")


def _key(variable: str | None) -> str | None:
    """The key from the environment: it stands on no command line and in no file of darl's."""
    key = os.environ.get(variable or KEY_VARIABLE)
    if variable is not None and not key:
        raise JudgeError(
            f"the environment variable {variable} is empty", where="darl judge", mend=f"export {variable}=… first"
        )
    return key


def _beside(pairs: PairTable | Source, cache: str | Path | None) -> str | Path:
    if cache is not None:
        return cache
    if not isinstance(pairs, (str, Path)) or "://" in str(pairs):
        raise JudgeError("no file for the answers is named", where="judge", mend="give one: cache='answers.sqlite'")
    return file_beside(pairs, "judge.sqlite")


def _bar(bar: Bar | None, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda done: None) if bar is None or not total else bar(what, total)
