"""Cutting traffic into windows: by time, or by so many pairs."""

from __future__ import annotations

import re

import numpy as np

from darl.errors import DataError, RecipeError

_UNITS = {"h": 3600, "d": 86400, "w": 7 * 86400}
_MONDAY = 4 * 86400 * 1_000_000  # the epoch was a Thursday: weeks begin on Mondays, in µs


def windows_by_pairs(n: int, size: int) -> dict[str, np.ndarray]:
    """Consecutive windows of ``size`` pairs; a last one of under half the size joins the one before.

    >>> {name: len(rows) for name, rows in windows_by_pairs(9, 4).items()}
    {'1–4': 4, '5–9': 5}
    """
    if size < 1:
        raise RecipeError(f"a window of {size} pairs", where="--window", mend="give 1 or more; 500 is a good start")
    starts = list(range(0, n, size))
    if len(starts) > 1 and n - starts[-1] < size / 2:
        starts.pop()
    ends = [*starts[1:], n]
    return {f"{start + 1:,}–{end:,}": np.arange(start, end) for start, end in zip(starts, ends, strict=True)}


def windows_by_time(times: np.ndarray | None, every: str) -> dict[str, np.ndarray]:
    """Windows of ``6h``, ``1d``, ``2w`` … in UTC, named by their start; pairs without a time are left out.

    Raises:
        RecipeError: not a length of time. DataError: no pair has a time.

    >>> times = np.array(["2026-05-01T01:00", "2026-05-01T23:00", "2026-05-02T02:00"], dtype="datetime64[us]")
    >>> {name: rows.tolist() for name, rows in windows_by_time(times, "1d").items()}
    {'2026-05-01': [0, 1], '2026-05-02': [2]}
    """
    found = re.fullmatch(r"([1-9]\d*)([hdw])", every.strip())
    if found is None:
        raise RecipeError(f"{every!r} is not a length of time", where="--every", mend="write it as 6h, 1d or 1w")
    if times is None or np.isnat(times).all():
        raise DataError("the traffic has no time", where="--every", mend="name its column with --columns time=…")
    length = int(found[1]) * _UNITS[found[2]] * 1_000_000
    shift = _MONDAY if found[2] == "w" else 0
    known = np.flatnonzero(~np.isnat(times))
    slots = (times[known].astype(np.int64) - shift) // length
    windows = {}
    for slot in np.unique(slots):
        start = np.datetime64(int(slot) * length + shift, "us")
        name = str(start.astype("datetime64[h]")) + ":00" if found[2] == "h" else str(start.astype("datetime64[D]"))
        windows[name] = known[slots == slot]
    return windows
