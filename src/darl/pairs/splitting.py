"""split_pairs: by query share, by domain or by time, and always so that no query stands in two splits."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Literal

import numpy as np

from darl.errors import DataError, EmptySplitError
from darl.pairs.schema import codes
from darl.pairs.table import PairTable

log = logging.getLogger(__name__)

Moment = str | date | datetime
_DROPPED = -1


class Splits(dict[str, PairTable]):
    """The splits by name, and ``dropped``: the pairs that could not go to any split."""

    def __init__(self, splits: Mapping[str, PairTable], dropped: PairTable) -> None:
        super().__init__(splits)
        self.dropped = dropped


def split_pairs(
    table: PairTable,
    shares: Mapping[str, float] | None = None,
    *,
    by: Literal["query", "domain", "time"] = "query",
    seed: int = 0,
    domains: Mapping[str, Sequence[str]] | None = None,
    straddling: Literal["drop", "first"] = "drop",
    cutoffs: Mapping[str, Moment | None] | None = None,
) -> Splits:
    """Splits a table so that each query, by its normalised text, stands in one split only.

    Args:
        table: n pairs.
        shares: with ``by="query"``, the share of the *queries* that each split gets; they sum to 1.
            Default train 0.8, dev 0.1, test 0.1.
        by: ``query`` draws at random; ``domain`` goes by the column ``domain``; ``time`` by the column ``time``.
        seed: of the draw. It depends on the query texts and not on the order of the rows.
        domains: with ``by="domain"``, the domains of each split. Pairs of other domains are dropped.
        straddling: with ``by="domain"``, what becomes of a query whose pairs belong to several splits:
            ``drop`` drops all its pairs, ``first`` gives them all to the first of these splits in ``domains``.
        cutoffs: with ``by="time"``, the exclusive end of each split, the earliest split first; None, only for
            the last, is an open end. A query goes with all its pairs to the split of its *first* occurrence,
            so a later pair of an early query is in the early split. A time without zone is UTC.

    Returns:
        The splits, each in the table's order, and ``.dropped``. With ``by="query"`` nothing is dropped; with
        ``by="time"`` only queries that first occur after the last cutoff are.

    Raises:
        EmptySplitError: a split would hold no pair.
        DataError: the options do not fit together, or a needed column or time is missing.

    >>> table = PairTable.from_pairs(["a", "A", "b", "c"], ["1", "2", "3", "4"], domain=["x", "x", "x", "y"])
    >>> splits = split_pairs(table, by="domain", domains={"train": ["x"], "far": ["y"]})
    >>> {name: len(split) for name, split in splits.items()}, len(splits.dropped)
    ({'train': 3, 'far': 1}, 0)
    """
    if by == "query":
        plan = _by_query(table, shares or {"train": 0.8, "dev": 0.1, "test": 0.1}, seed)
    elif by == "domain":
        plan = _by_domain(table, _given(domains, "domains", by), straddling)
    elif by == "time":
        plan = _by_time(table, _given(cutoffs, "cutoffs", by))
    else:
        raise DataError(f"cannot split by {by!r}", mend="split by query, domain or time")
    names, assignment = plan
    parts = {name: table.where(assignment == index) for index, name in enumerate(names)}
    splits = Splits(parts, table.where(assignment == _DROPPED))
    for name, split in splits.items():
        if not len(split):
            raise EmptySplitError(
                f"split {name!r} would hold no pair of {len(table):,}", mend="change the shares, domains or cutoffs"
            )
    if len(splits.dropped):
        log.warning("split by %s dropped %s of %s pairs", by, f"{len(splits.dropped):,}", f"{len(table):,}")
    return splits


def _by_query(table: PairTable, shares: Mapping[str, float], seed: int) -> tuple[list[str], np.ndarray]:
    if not all(share > 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        raise DataError(f"shares {dict(shares)} must be positive and sum to 1")
    texts = table.query_names()
    # A keyed hash orders the queries at random, yet by their text alone.
    keys = [hashlib.blake2b(text.encode(), digest_size=8, key=str(seed).encode()[:64]).digest() for text in texts]
    order = np.argsort(np.array(keys, dtype="S8").view(">u8") if keys else np.zeros(0), kind="stable")
    counts = _apportion(np.array(list(shares.values())), len(texts))
    split_of_group = np.empty(len(texts), dtype=np.int64)
    split_of_group[order] = np.repeat(np.arange(len(shares)), counts)
    return list(shares), split_of_group[table.query_groups()]


def _apportion(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers in proportion to the shares that sum to ``total``: largest remainders, one each at least."""
    exact = shares / shares.sum() * total
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    while counts.min() == 0 and counts.max() > 1:
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    return counts


def _by_domain(table: PairTable, domains: Mapping[str, Sequence[str]], straddling: str) -> tuple[list[str], np.ndarray]:
    if straddling not in ("drop", "first"):
        raise DataError(f"straddling={straddling!r}", mend="choose drop or first")
    split_of: dict[str, int] = {}
    for index, (name, members) in enumerate(domains.items()):
        if isinstance(members, str):
            raise DataError(f"the domains of {name!r} must be a list, got {members!r}")
        for domain in members:
            if split_of.setdefault(domain, index) != index:
                raise DataError(f"domain {domain!r} is given to two splits", mend="name it once")
    code, found = codes(_column(table, "domain"))
    absent = sorted(set(split_of) - set(found))
    if absent:
        raise DataError(f"no pair is of domain {', '.join(absent)}; found: {', '.join(sorted(found))}")
    wanted = np.array([split_of.get(domain, _DROPPED) for domain in found] + [_DROPPED])[code]  # −1 finds the last

    groups = table.query_groups()
    n_groups = int(groups.max(initial=-1)) + 1
    listed = wanted != _DROPPED
    first, last = np.full(n_groups, len(domains)), np.full(n_groups, _DROPPED)
    np.minimum.at(first, groups[listed], wanted[listed])
    np.maximum.at(last, groups[listed], wanted[listed])
    if straddling == "drop":
        first = np.where(first == last, first, _DROPPED)
    # A pair of a domain that no split lists is dropped, whatever becomes of its query's other pairs.
    return list(domains), np.where(listed, first[groups], _DROPPED)


def _by_time(table: PairTable, cutoffs: Mapping[str, Moment | None]) -> tuple[list[str], np.ndarray]:
    ends = [_moment(end, f"the cutoff of {name!r}") if end is not None else math.inf for name, end in cutoffs.items()]
    if any(later <= earlier for earlier, later in pairwise(ends)):
        raise DataError(
            f"cutoffs must increase: {dict(cutoffs)}", mend="the earliest split first; only the last may be open (None)"
        )
    code, found = codes(_column(table, "time"))
    missing = np.flatnonzero(code < 0)
    if len(missing):
        raise DataError(f"{len(missing):,} pairs have no time", where=table.place(int(missing[0])), mend="fill them")
    times = []
    for index, value in enumerate(found):
        times.append(_moment(value, "this pair's time", lambda i=index: table.place(int(np.flatnonzero(code == i)[0]))))
    groups = table.query_groups()
    first = np.full(int(groups.max(initial=-1)) + 1, math.inf)
    np.minimum.at(first, groups, np.array(times)[code])
    split_of_group = np.searchsorted(np.array(ends), first, side="right")
    split_of_group[split_of_group == len(ends)] = _DROPPED
    return list(cutoffs), split_of_group[groups]


def _moment(value: object, what: str, place: object = None) -> float:
    """Seconds since 1970 of an ISO 8601 text, a date or a datetime; without a zone it is UTC."""
    try:
        if isinstance(value, datetime):
            moment = value
        elif isinstance(value, date):
            moment = datetime(value.year, value.month, value.day)
        else:
            moment = datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise DataError(
            f"{what}, {value!r}, is no time",
            where=place() if callable(place) else None,
            mend="write it as 2024-05-31 or 2024-05-31T12:00:00Z",
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _given(option: Mapping | None, name: str, by: str) -> Mapping:
    if not option:
        raise DataError(f"a split by {by} needs `{name}`", mend=f"name each split and its {name}")
    return option


def _column(table: PairTable, name: str):
    if not table.has(name):
        raise DataError(f"a split by {name} needs a column {name!r}", mend=f"found: {', '.join(table.column_names)}")
    return table.arrow.column(name)
