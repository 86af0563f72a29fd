"""Where pairs lie: OOD features and scores of a sample of each set, measured when a report is built.

A fit leaves the reference but not the place of test, pool and picked pairs. They are measured here on a sample, in
an order that a seed fixes, for as long as a time budget allows, and kept beside the report: the next build goes on
where the last one stopped.
"""

from __future__ import annotations

import re
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from darl.model import RelevanceModel
from darl.ood import OODReference
from darl.ood.knn import KNN
from darl.pairs import PairTable
from darl.progress import Reporter
from darl.report.runs import FinishedRun
from darl.report.texts import RunTexts
from darl.report.words import listed
from darl.storage import atomic_file, sha256_file, stable_hash

TRAIN, POOL, PICKED = "train", "pool", "picked"
CHUNK = 32  # pairs between two looks at the clock


@dataclass(frozen=True)
class PlacedSet:
    """A sample of m pairs of one set.

    Attributes:
        name: of the set. total: how many pairs it has.
        features: what the OOD reference reads, (m, d). scores, percentiles: (m,).
        rows: their places in ``table``, (m,). table: the pairs, or None where their texts are not at hand.
    """

    name: str
    total: int
    features: np.ndarray
    scores: np.ndarray
    percentiles: np.ndarray
    rows: np.ndarray
    table: PairTable | None = None

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Coverage:
    """The placed sets: train, tests, pool, picked, as far as they are there.

    Attributes:
        held_out: scores of ID pairs kept aside, sorted: what a percentile is taken against.
        detector: its name. problem: in words, why nothing is placed. late: sets for which there was no time.
    """

    sets: dict[str, PlacedSet] = field(default_factory=dict)
    held_out: np.ndarray = field(default_factory=lambda: np.empty(0))
    detector: str = ""
    problem: str = ""
    late: tuple[str, ...] = ()


def measure_coverage(
    run: FinishedRun,
    texts: RunTexts,
    *,
    cache: Path,
    limit: int = 600,
    seconds: float = 10.0,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Coverage:
    """Place a sample of every set.

    Args:
        cache: a folder for what was measured.
        limit: pairs of a set at most; picked pairs and the others alike.
        seconds: that the model may run, loading not counted. A set gets an equal share of them.

    Raises:
        ModelError: the run's model or its reference is damaged.
    """
    if not (run.model / "ood.json").is_file():
        return Coverage(problem="The model has no OOD reference (ood.enabled: false in the recipe, or a verbalizer).")
    reference = OODReference.load(run.model / "ood")
    tables = {f"test {name}": table for name, table in texts.tests.items()}
    tables |= {POOL: texts.pool} if texts.pool is not None else {}
    tables |= {PICKED: texts.picked} if texts.picked is not None else {}
    sets: dict[str, PlacedSet] = {}
    if isinstance(reference.detector, KNN):
        sets[TRAIN] = _train_of(reference, reference.detector, texts.train, limit, seed)
    elif texts.train is not None:
        tables = {TRAIN: texts.train, **tables}
    identity = sha256_file(run.model / "ood.safetensors")  # changes with the features and with what it was fitted on
    work = {name: _Work.open(cache, name, table, identity, limit, seed) for name, table in tables.items()}
    _measure(run, work, seconds, reporter or Reporter(quiet=True))
    for name, one in work.items():
        if one.done:
            sets[name] = one.placed(name, reference)
    late = tuple(name for name, one in work.items() if not one.done)
    problem = texts.problem
    if late:
        problem += f" There was no time to place {listed(list(late))}: build the report again, it goes on from here."
    return Coverage(sets, reference.held_out_scores, reference.detector.name, problem.strip(), late)


def _train_of(reference: OODReference, detector: KNN, train: PairTable | None, limit: int, seed: int) -> PlacedSet:
    """Training pairs from the reference itself, each scored against the others: without it, its nearest
    neighbour would be itself. So the neighbour that the reference asks for, nearer where it was thinned, is looked up
    as the next one.
    """
    known = detector.reference_.numpy()
    rows = np.sort(np.random.default_rng(seed).permutation(len(known))[:limit])
    scores = KNN(k=detector.nth_ + 1, max_reference=None).fit(known).score(known[rows])
    whole = train is not None and len(train) == len(known)  # a thinned reference does not say which pairs it kept
    return PlacedSet(
        TRAIN, len(known), known[rows], scores, reference.percentile_of(scores), rows, train if whole else None
    )


@dataclass
class _Work:
    """A set on its way: the order of its pairs and the features of the first ``done`` of them."""

    table: PairTable
    order: np.ndarray
    features: list[np.ndarray]
    done: int
    path: Path
    key: str

    @classmethod
    def open(cls, cache: Path, name: str, table: PairTable, identity: str, limit: int, seed: int) -> _Work:
        order = np.random.default_rng(seed).permutation(len(table))[:limit]
        key = stable_hash({"reference": identity, "pairs": table.fingerprint(), "seed": seed})
        path = cache / f"coverage-{re.sub(r'[^A-Za-z0-9_-]+', '_', name)}.npz"
        found = _cached(path, key)[:limit]
        return cls(table, order, [found] if len(found) else [], len(found), path, key)

    @property
    def left(self) -> int:
        return len(self.order) - self.done

    def step(self, model: RelevanceModel) -> int:
        rows = self.order[self.done : self.done + CHUNK]
        self.features.append(model.ood_features(model.encode(self.table.take(rows))).astype(np.float32))
        self.done += len(rows)
        return len(rows)

    def save(self) -> None:
        with atomic_file(self.path) as scratch, scratch.open("wb") as file:
            np.savez_compressed(file, key=np.array(self.key), features=np.concatenate(self.features))

    def placed(self, name: str, reference: OODReference) -> PlacedSet:
        features = np.concatenate(self.features)
        scores = reference.score(features)
        rows = self.order[: self.done]
        return PlacedSet(name, len(self.table), features, scores, reference.percentile_of(scores), rows, self.table)


def _cached(path: Path, key: str) -> np.ndarray:
    """Features that an earlier build left for exactly these pairs and this reference, else none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) == key:
                return file["features"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        pass  # no cache, or a damaged one: measure again
    return np.empty((0, 0), dtype=np.float32)


def _measure(run: FinishedRun, work: dict[str, _Work], seconds: float, reporter: Reporter) -> None:
    open_work = [one for one in work.values() if one.left]
    if not open_work or seconds <= 0:
        return
    model = RelevanceModel.from_pretrained(run.model, trust_remote_code=False)
    if model.ood is not None and model.ood.feature_spec.get("source") == "base":
        model.base()  # loaded before the clock starts
    started = time.monotonic()
    with reporter.bar("how far out are the pairs", sum(one.left for one in open_work)) as advance:
        at = 0
        while open_work and time.monotonic() - started < seconds:
            one = open_work[at % len(open_work)]
            advance(one.step(model))
            at += 1
            open_work = [one for one in open_work if one.left]
    for one in work.values():
        if one.done:
            one.save()
