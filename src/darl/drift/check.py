"""check_drift: a model and its traffic in, a verdict and what to do next out."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from darl.drift.figures import Figures
from darl.drift.judge import ALPHA, WindowDrift, enough, judge_window
from darl.drift.signals import KnownSide
from darl.drift.traffic import Traffic, read_traffic
from darl.drift.windows import windows_by_pairs, windows_by_time
from darl.errors import DataError, ModelError, RecipeError
from darl.model import RelevanceModel
from darl.ood.knn import unit_rows
from darl.ood.known import KnownPairs, chosen_rows
from darl.pairs import PairTable, read_pairs
from darl.progress import Reporter
from darl.verbs.inputs import as_model

log = logging.getLogger(__name__)
CHUNK = 2048


@dataclass(frozen=True)
class Drift:
    """The answer.

    Attributes:
        windows: one entry a window, in order. alarms: the names of those that alarm after Holm's correction for
            their number; none of calm windows does.
        notes: what could not be tested, and why. command: what to run next, or ''.
        columns: the named columns that were looked at. far_at: the OOD percentile that counts as far.
    """

    windows: list[WindowDrift]
    alarms: list[str]
    notes: list[str]
    command: str
    alpha: float
    source: str
    known_pairs: int
    known_queries: int
    columns: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """``alarm``, ``calm``, or ``too little`` where no window could be judged."""
        if self.alarms:
            return "alarm"
        return "too little" if all(one.state == "too little" for one in self.windows) else "calm"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**vars(self), "state": self.state, "windows": [one.to_dict() for one in self.windows]}


def check_drift(
    model: RelevanceModel | str | Path,
    traffic: Any,
    *,
    reference: Any = None,
    window: int | None = None,
    every: str | None = None,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, Any] | None = None,
    slices: list[str] | None = None,
    logged: bool = False,
    alpha: float = ALPHA,
    draws: int = 1999,
    seed: int = 0,
    budget: int = 200,
    model_name: str | None = None,
    quiet: bool = True,
) -> Drift:
    """Hold traffic against the held-out pairs that a model knows.

    Args:
        model: a model, or the folder of one (or of a run).
        traffic: anything that :func:`darl.read_pairs` reads, graded or not, or the folder of a traffic log.
        reference: graded in-distribution pairs that are not in training, to compare with instead of those that
            the model brings.
        window: pairs a window. every: or its length in time: ``6h``, ``1d``, ``1w``. Neither: one window.
        columns, where: as for :func:`darl.read_pairs`.
        slices: the columns to look for slices in; default every column of texts.
        logged: take a log's own figures instead of scoring its texts anew; always so where texts are hashed.
        alpha: false alarms that known traffic may raise, above 0 and below 1.
        draws, seed: of the null windows; a window that stands out among many others gets as many as tell it apart.
        budget: in the command that comes next. model_name: how it names the model; default the folder given.

    Raises:
        ModelError: no model, or one that brings no known pairs while no ``reference`` is given.
        DataError: the traffic cannot be read, or has no such column; ``window`` and ``every`` at once.
        RecipeError: a level, or a length of window, that is none.
    """
    if window is not None and every is not None:
        raise DataError("a window is so many pairs or so long a time", mend="give --window or --every, not both")
    if not 0 < alpha < 1:
        raise RecipeError(f"level {alpha}", where="drift", mend="give one above 0 and below 1; 0.01 is usual")
    name = model_name or (str(model) if isinstance(model, (str, Path)) else "MODEL")
    loaded, reporter = as_model(model), Reporter(quiet=quiet)
    seen = read_traffic(traffic, columns=columns, where=where)
    notes = [f"{seen.lost:,} rows could not be read and were left out"] if seen.lost else []
    sliced, parts = _sliced(seen, slices), {"all": np.arange(len(seen))}  # refused before the scoring, not after it
    if window is not None:
        parts = windows_by_pairs(len(seen), window)
    elif every is not None:
        parts = windows_by_time(seen.times, every)
        if missing := len(seen) - sum(map(len, parts.values())):
            notes.append(f"{missing:,} pairs have no time and were left out")
    known = _known(loaded, reference, columns, reporter)
    if logged or seen.queries is None:
        figures, told = logged_figures(loaded, seen, known, sliced)
        notes += told
    else:
        figures = fresh_figures(loaded, seen.queries, seen.items or [], seen.groups, known, sliced, reporter)
    found = judged(KnownSide(known, seed), figures, parts, alpha=alpha, draws=draws, seed=seed)
    alarms = holm(found, alpha)
    if known.wording is None:
        notes.append("the model does not know the wording of its training queries: new wording was not tested")
    if known.item_wording is None:
        notes.append("the model does not know the wording of its training items: new items were not tested; fit again")
    return Drift(
        windows=found,
        alarms=alarms,
        notes=notes,
        command=next_command(name, traffic, found, alarms, budget, columns, where) if seen.queries is not None else "",
        alpha=alpha,
        source=seen.source,
        known_pairs=len(known.groups),
        known_queries=len(np.unique(known.groups)),
        columns=list(sliced),
    )


def judged(
    side: KnownSide, figures: Figures, parts: Mapping[str, np.ndarray], *, alpha: float, draws: int, seed: int = 0
) -> list[WindowDrift]:
    """Every window, with so many null windows as Holm's correction needs where it matters.

    Among m windows an alarm may need p ≤ α/m, and the smallest p that B draws can give is 1/(B + 1): B ∝ m for each
    window is m² in all. So a window whose p from the first draws is above α, which is an alarm beside no others,
    keeps that p, and only the rest are drawn again with B ∝ m. For t ≤ α, P(p ≤ t) ≤ P(p of the second draws ≤ t) ≤ t.

    Args:
        parts: {name: rows} of the m windows.
    """
    first = max(draws, ceil(2 / alpha))
    needed = max(first, ceil(2 * sum(enough(figures.groups[rows]) for rows in parts.values()) / alpha))
    found = []
    for name, rows in parts.items():
        one = figures.take(rows)
        drift = judge_window(side, one, name, alpha=alpha, draws=first, seed=seed)
        if drift.state == "alarm" and needed > first:
            drift = judge_window(side, one, name, alpha=alpha, draws=needed, seed=seed)
        found.append(drift)
    return found


def holm(windows: list[WindowDrift], alpha: float) -> list[str]:
    """The windows that alarm when all are looked at together (Holm 1979): at most ``alpha`` for a false one."""
    judged = sorted((one for one in windows if one.state != "too little"), key=lambda one: one.p)
    found = []
    for rank, one in enumerate(judged):
        if one.p > alpha / (len(judged) - rank):
            break
        found.append(one.name)
    return [one.name for one in windows if one.name in found]


def fresh_figures(
    model: RelevanceModel,
    queries: list[str],
    items: list[str],
    groups: np.ndarray,
    known: KnownPairs | None,
    columns: dict[str, list],
    reporter: Reporter,
) -> Figures:
    """Figures from the model itself; errors as :meth:`RelevanceModel.score`."""
    logits, rows = [], []
    with reporter.bar("scoring the traffic", len(queries)) as advance:
        for start in range(0, len(queries), CHUNK):
            encoded = model.encode(queries=queries[start : start + CHUNK], items=items[start : start + CHUNK])
            logits.append(model.logits(encoded))
            rows.append(model.ood_features(encoded, logits[-1]))
            advance(len(logits[-1]))
    features = np.concatenate(rows)
    assert model.ood is not None
    scores = model.scores_from(np.concatenate(logits), model.ood.score(features))
    return Figures(
        groups=groups,
        ood_scores=scores.ood_scores,
        probabilities=scores.probabilities,
        decided=scores.grades,
        features=unit_rows(features),
        novelty=known.wording.score(queries) if known is not None and known.wording is not None else None,
        item_novelty=known.item_wording.score(items) if known is not None and known.item_wording is not None else None,
        columns=columns,
        queries=queries,
        items=items,
    )


def logged_figures(
    model: RelevanceModel, seen: Traffic, known: KnownPairs, columns: dict[str, list]
) -> tuple[Figures, list[str]]:
    """The figures that the server logged, and what they do not allow.

    Raises:
        DataError: the traffic has no logged figures, or of another number of grades.
    """
    names = seen.table.column_names
    if "probabilities" not in names:
        raise DataError("the traffic has no logged figures", where=seen.source, mend="leave out --logged")
    rows = seen.table.column("probabilities").to_pylist()
    if any(row is None or len(row) != model.scale.size for row in rows):
        raise DataError(
            f"logged probabilities are not of {model.scale.size} grades",
            where=seen.source,
            mend="name the model that served",
        )
    probabilities = np.array(rows, dtype=np.float64)
    notes = ["only the logged figures were tested: no features, and no examples to show"]
    scores = None
    if "ood_score" in names and seen.table.column("ood_score").null_count == 0:
        scores = seen.table.column("ood_score").to_numpy().astype(np.float64)
    else:
        notes.append("the log lacks OOD scores of some pairs: the share far out was not tested")
    versions = set(seen.table.column("model_version").to_pylist()) if "model_version" in names else set()
    if len(versions) > 1:
        notes.append(f"the log holds {len(versions)} model versions; their figures differ for that alone")
    novelty = item_novelty = None
    if seen.queries is not None and known.wording is not None:
        novelty = known.wording.score(seen.queries)
    if seen.items is not None and known.item_wording is not None:
        item_novelty = known.item_wording.score(seen.items)
    figures = Figures(
        groups=seen.groups,
        ood_scores=scores,
        probabilities=probabilities,
        decided=model.rule.decide(probabilities),
        novelty=novelty,
        item_novelty=item_novelty,
        columns=columns,
        queries=seen.queries,
        items=seen.items,
    )
    return figures, notes


def next_command(
    name: str,
    traffic: Any,
    windows: list[WindowDrift],
    alarms: list[str],
    budget: int,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, Any] | None = None,
) -> str:
    """``darl select`` on this traffic, read as here and narrowed to the slice that moved where one is plain.

    '' when calm, and where the traffic is no file.
    """
    if not alarms or not isinstance(traffic, (str, Path)):
        return ""
    source = str(Path(traffic) / "*.parquet") if Path(traffic).is_dir() else str(traffic)
    worst = min((one for one in windows if one.name in alarms), key=lambda one: one.p)
    words = ["darl", "select", name, source, "--budget", str(budget), "-o", "to_label.jsonl"]
    if columns:
        words += ["--columns", ",".join(f"{ours}={theirs}" for ours, theirs in columns.items())]
    kept = {column: _listed(wanted) for column, wanted in (where or {}).items()}
    new = [one for one in worst.slices if one.new]
    if new:
        kept[new[0].column] = [one.value for one in new if one.column == new[0].column]
    for column, wanted in kept.items():
        for value in wanted:
            words += ["--where", f"{column}={_argument(value)}"]
    return shlex.join(words)


def _listed(wanted: Any) -> list:
    return list(wanted) if isinstance(wanted, Iterable) and not isinstance(wanted, str) else [wanted]


def _argument(value: Any) -> str:
    """As `--where` writes it: missing values are empty, truth values in lower case."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _known(model: RelevanceModel, reference: Any, columns: Mapping[str, str] | None, reporter: Reporter) -> KnownPairs:
    if model.ood is None:
        raise ModelError("this model has no OOD reference", mend="fit again with `ood:` in the recipe")
    if reference is None:
        if model.ood.known is None:
            raise ModelError(
                "the model was saved without the pairs that drift is held against",
                mend="name graded pairs that are in distribution and not in training with --reference, or fit again",
            )
        return model.ood.known
    table = reference if isinstance(reference, PairTable) else read_pairs(reference, scale=model.scale, columns=columns)
    table = table.take(chosen_rows(table.query_groups()))
    grades, brought = table.grades, model.ood.known
    figures = fresh_figures(model, table.queries, table.items, table.query_groups(), brought, {}, reporter)
    assert figures.ood_scores is not None
    assert figures.probabilities is not None
    assert figures.decided is not None
    assert figures.features is not None
    return KnownPairs(
        groups=figures.groups,
        ood_scores=figures.ood_scores,
        probabilities=figures.probabilities,
        decided=figures.decided,
        grades=grades,
        features=figures.features,
        novelty=figures.novelty,
        wording=None if brought is None else brought.wording,
        item_novelty=figures.item_novelty,
        item_wording=None if brought is None else brought.item_wording,
        columns={} if brought is None else brought.columns,
        queries=0 if brought is None else brought.queries,
    )


def _sliced(seen: Traffic, wanted: list[str] | None) -> dict[str, list]:
    found = seen.columns()
    if not wanted:
        return {name: values for name, values in found.items() if name not in ("dialect", "model_version")}
    for name in wanted:
        if name not in seen.table.column_names:
            raise DataError(f"the traffic has no column {name!r}", mend=f"choose from {', '.join(found) or 'none'}")
    return {name: seen.table.column(name).to_pylist() for name in wanted}
