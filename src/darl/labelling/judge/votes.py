"""Self-consistency: several answers to one pair, the grade that most of them give, and how many do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from darl.labelling.judge.asking import Verdict


@dataclass(frozen=True)
class Judgement:
    """What the judge says of a pair.

    Attributes:
        grade: the one that most samples give (Wang et al. 2023, *Self-consistency improves chain of thought
            reasoning in language models*); None on a tie, or where no sample could be read.
        share: of all samples that give it, the unreadable ones among them: the confidence, in (0, 1].
        votes: the grades of the samples that could be read.
        reason: of the first sample with this grade, where reasons were asked for.
        problem: why there is no grade.
        created: when the last answer came, in seconds since 1970.
    """

    grade: int | None
    share: float
    votes: tuple[int, ...]
    reason: str = ""
    problem: str = ""
    created: float = 0.0


def judgement(verdicts: Sequence[Verdict], least: float = 0.0) -> Judgement:
    """The judgement from the samples of one pair; a share below ``least`` decides nothing.

    >>> from darl.labelling.judge.parsing import Reading
    >>> found = judgement([Verdict(0, sample, Reading(grade)) for sample, grade in enumerate((2, 1, 2))])
    >>> found.grade, round(found.share, 2), judgement([Verdict(0, 0, Reading(1)), Verdict(0, 1, Reading(2))]).problem
    (2, 0.67, 'the samples are divided')
    """
    verdicts = sorted(verdicts, key=lambda one: one.sample)
    votes = tuple(one.reading.grade for one in verdicts if one.reading.grade is not None)
    created = max((one.created for one in verdicts), default=0.0)
    if not votes:
        problems = Counter(one.reading.problem for one in verdicts)
        return Judgement(None, 0.0, votes, problem=problems.most_common(1)[0][0], created=created)
    ranked = Counter(votes).most_common(2)
    grade, hits = ranked[0]
    share = hits / len(verdicts)
    if len(ranked) > 1 and ranked[1][1] == hits:
        return Judgement(None, share, votes, problem="the samples are divided", created=created)
    if share < least:
        told = f"only {hits} of {len(verdicts)} samples agree"
        return Judgement(None, share, votes, problem=told, created=created)
    reason = next(one.reading.reason for one in verdicts if one.reading.grade == grade)
    return Judgement(grade, share, votes, reason, created=created)


def judgements(verdicts: Iterable[Verdict], pairs: int, least: float = 0.0) -> list[Judgement]:
    """One judgement for each of the pairs 0 … pairs − 1."""
    by_pair: list[list[Verdict]] = [[] for _ in range(pairs)]
    for one in verdicts:
        by_pair[one.pair].append(one)
    return [judgement(one, least) for one in by_pair]
