"""select: from a pool of unlabelled pairs to the ones worth a label."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from darl.dasa.candidates import Progress, Scorer, require_ood, score_pool
from darl.dasa.guards import (
    DuplicateGuard,
    Guard,
    LabelledGuard,
    LeakGuard,
    item_groups,
    run_guards,
    within_cap,
)
from darl.dasa.language_guards import GibberishGuard, ScriptGuard
from darl.dasa.nearest import chunked_features, known_features, nearest_known
from darl.dasa.picked import Selection, picked_pairs
from darl.dasa.pool import Pool, open_pool
from darl.dasa.report import make_report
from darl.dasa.shards import PoolEngine, folder_key, score_in_shards
from darl.dasa.strategies import Context, Strategy, make_strategy
from darl.dasa.text_guards import EmptyGuard, GarbageGuard
from darl.errors import EmptySplitError, RecipeError
from darl.pairs import PairTable
from darl.pairs.sources import Source


def select(
    model: Scorer | str | Path,
    pool: PairTable | Source | Pool,
    *,
    budget: int,
    train: PairTable | None = None,
    evaluations: Mapping[str, PairTable] | None = None,
    per_query: int | None = 5,
    per_item: int | None = 1,
    already: PairTable | None = None,
    seed: int = 0,
    strategy: str | Strategy = "coverage",
    progress: Progress | None = None,
    cache: str | Path | None = None,
    engine: PoolEngine | None = None,
) -> Selection:
    """Picks the pairs of a pool to label next.

    Args:
        model: with an OOD reference, or the folder of a saved one.
        pool: unlabelled pairs, where to read them, or what :func:`~darl.dasa.pool.open_pool` found there. Grades in
            it are dropped at once and never read.
        budget: how many to pick, ≥ 1; fewer are picked where fewer are left.
        train: what the model was trained on. Its pairs are not picked again, and each pick names the nearest.
        evaluations: by name, the graded tables that judge models. None of their queries is picked.
        per_query: at most so many pairs of a query, the best by rank; None for no cap.
        per_item: at most so many pairs of an item text, so that boilerplate under a thousand queries costs one label;
            None for no cap.
        already: pairs labelled since, such as the picks of an earlier round.
        seed: of any draw of the strategy. The same inputs and seed give the same picks.
        strategy: one of :func:`~darl.dasa.strategies.strategy_names`, or a strategy of your own.
        progress: called with the number of pool pairs scored since the last call.
        cache: a folder for scores and features of the pool, written in shards; the same selection, or another one
            from the same pool with the same model, goes on from them. Needs ``model`` to be a folder.
        engine: scores the pool elsewhere, as :class:`darl.scale_out.RayEngine` of the same model does; needs a cache.

    Raises:
        ModelError: no such model, or it has no OOD reference.
        RecipeError: an unknown strategy, or a budget or cap below 1.
        EmptySplitError: the pool is empty, or the guards leave nothing of it.
        DataError, StorageError: the pool cannot be read.

    Usage::

        selection = select("runs/insurance/model", "traffic.parquet", budget=500, train=train, evaluations=tests)
        print(selection.to_text())
        selection.pairs.to_jsonl("to_label.jsonl")
    """
    if engine is not None and cache is None:
        raise RecipeError(
            "an engine writes the pool's shards into a cache", where="engine", mend="name a folder for it (--cache)"
        )
    chosen = make_strategy(strategy)
    budget = _at_least_one("budget", budget)
    per_query = None if per_query is None else _at_least_one("per_query", per_query)
    per_item = None if per_item is None else _at_least_one("per_item", per_item)
    scorer = _loaded(model)
    require_ood(scorer)  # before the pool is read, which may take minutes
    opened = open_pool(pool)
    pairs = opened.pairs

    guards: list[Guard] = [
        LeakGuard(evaluations),
        LabelledGuard(train=train, already=already),
        DuplicateGuard(),
        EmptyGuard(),
        GarbageGuard(),
        ScriptGuard(train),
        GibberishGuard(train),
    ]
    passed, dropped = run_guards(guards, pairs)
    if not passed.any():
        counts = ", ".join(f"{name} {entry['dropped']:,}" for name, entry in dropped.items() if entry["dropped"])
        raise EmptySplitError(
            f"the guards leave none of the {len(pairs):,} pool pairs ({counts})",
            where="the pool",
            mend="bring other traffic: everything here is labelled, kept for evaluation, or unusable",
        )
    features: Callable[[np.ndarray], np.ndarray]
    if cache is None:
        candidates = score_pool(scorer, pairs, progress=progress)
        features = partial(chunked_features, scorer, pairs)
    else:
        scored = score_in_shards(scorer, pairs, cache, model_key=model_key(model), progress=progress, engine=engine)
        candidates, features = scored.candidates, scored.features
    context = Context(
        pairs,
        candidates,
        np.flatnonzero(passed),
        budget,
        seed,
        features,
        known=partial(known_features, scorer, train),
        per_query=per_query,
        per_item=per_item,
        known_shares=None if train is None or not train.has_grades else grade_shares(train, candidates.scale.size),
    )
    ranked = chosen.order(context)
    before = len(ranked)
    ranked = ranked[within_cap(item_groups(pairs)[ranked], per_item)]
    dropped["per_item"] = {
        "dropped": before - len(ranked),
        "reason": f"the item text has {per_item} better pairs" if per_item else "no cap per item was set",
        "details": {},
    }
    capped = ranked[within_cap(pairs.query_groups()[ranked], per_query)]
    picks = capped[:budget]

    nearest = None if train is None else nearest_known(scorer, features(picks), train)
    report = make_report(
        candidates,
        picks,
        guards=dropped,
        open_pairs=len(context.open_rows),
        ranked=len(ranked),
        within_cap=len(capped),
        unreadable=len(opened.unreadable),
        settings={
            "strategy": chosen.name,
            "seed": seed,
            "budget": budget,
            "per_query": per_query,
            "per_item": per_item,
            "pool_fingerprint": pairs.fingerprint(),
            "evaluations": sorted(evaluations or {}),
            "has_train": train is not None,
        },
    )
    return Selection(picked_pairs(chosen, context, picks, nearest, train), report)


def grade_shares(table: PairTable, K: int) -> np.ndarray:
    """The share of each of K grades among graded pairs, (K,)."""
    counts = np.bincount(table.grades, minlength=K)[:K]
    return counts / max(1, counts.sum())


def model_key(model: Scorer | str | Path) -> str:
    """What tells this model from others: of a folder its contents, of an object its own ``fingerprint()``.

    Raises:
        RecipeError: an object without one.
    """
    if isinstance(model, (str, Path)):
        return folder_key(model)
    own = getattr(model, "fingerprint", None)
    if own is None:
        raise RecipeError("a cache needs a saved model", where="cache", mend="give the model's folder to select")
    return str(own())


def _loaded(model: Scorer | str | Path) -> Scorer:
    if not isinstance(model, (str, Path)):
        return model
    from darl.model import RelevanceModel  # only here: a caller with a model at hand need not load transformers

    return RelevanceModel.from_pretrained(model)


def _at_least_one(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise RecipeError(f"must be a whole number from 1 up, got {value!r}", where=name)
    return int(value)
