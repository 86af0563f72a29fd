"""The report of a selection: what was dropped, how far out pool and picks are, and what to be wary of."""

from __future__ import annotations

from typing import Any

import numpy as np

from darl.dasa.candidates import Candidates

FAR = 95.0
"""OOD percentile above which a pair counts as far out; by definition 5 % of known pairs are."""

HARDLY_OOD = 1.5
"""A pool with fewer than this many times the expected far pairs is about as known as the training set."""

ONE_SIDED = 0.9
"""Share of one predicted grade from which the picks are called one-sided."""

_ENOUGH = 20  # picks below which a share says little


def make_report(
    candidates: Candidates,
    rows: np.ndarray,
    *,
    guards: dict[str, dict],
    open_pairs: int,
    ranked: int,
    within_cap: int,
    settings: dict[str, Any],
    unreadable: int = 0,
) -> dict[str, Any]:
    """The report, fit for JSON.

    Args:
        candidates: the whole pool, n pairs.
        rows: the picks, (m,).
        guards: of :func:`darl.dasa.guards.run_guards`.
        open_pairs: how many pairs the guards let through.
        ranked: how many of these the strategy ranked.
        within_cap: how many of these the cap per query leaves.
        settings: strategy, seed, budget, per_query, and which tables were given.
        unreadable: pool rows that could not be parsed.
    """
    whole = np.arange(len(candidates))
    report: dict[str, Any] = {
        **settings,
        "pool": {"pairs": len(candidates), "unreadable": unreadable, "open": open_pairs, "within_cap": within_cap},
        "picked": len(rows),
        "guards": {
            **guards,
            "per_query": {
                "dropped": ranked - within_cap,
                "reason": f"the query has {settings['per_query']} better pairs"
                if settings["per_query"]
                else "no cap per query was set",
                "details": {},
            },
        },
        "ood": {
            "above_percentile": FAR,
            "expected": (100 - FAR) / 100,
            "pool": far_share(candidates, whole),
            "picks": far_share(candidates, rows),
        },
        "predicted_grades": {"pool": grade_mix(candidates, whole), "picks": grade_mix(candidates, rows)},
    }
    report["warnings"] = warnings(report)
    return report


def far_share(candidates: Candidates, rows: np.ndarray) -> float:
    """Share of these rows above the percentile :data:`FAR`."""
    return float((candidates.ood_percentiles[rows] > FAR).mean()) if len(rows) else 0.0


def grade_mix(candidates: Candidates, rows: np.ndarray) -> dict[str, float]:
    """Share of each predicted grade among these rows, by name."""
    shares = candidates.scale.counts(candidates.grades[rows]) / max(1, len(rows))
    return dict(zip(candidates.scale.names, shares.tolist(), strict=True))


def warnings(report: dict[str, Any]) -> list[str]:
    """What to be wary of, in words."""
    pool, ood, found = report["pool"], report["ood"], []
    if report["picked"] < report["budget"]:
        capped = report["guards"]["per_query"]["dropped"]
        found.append(
            f"the budget of {report['budget']:,} exceeds the {report['picked']:,} pairs that are left"
            + (f"; the cap of {report['per_query']} a query holds {capped:,} more back" if capped else "")
        )
    if ood["pool"] < HARDLY_OOD * ood["expected"]:
        found.append(
            f"the pool is hardly out of distribution: {ood['pool']:.1%} of it lies above the {FAR:g}th percentile "
            f"of known pairs, where {ood['expected']:.0%} is expected of known traffic"
        )
    name, share = max(report["predicted_grades"]["picks"].items(), key=lambda entry: entry[1])
    if share >= ONE_SIDED and report["picked"] >= _ENOUGH:
        found.append(
            f"the picks are one-sided: {share:.0%} are predicted {name!r} "
            f"(pool: {report['predicted_grades']['pool'][name]:.0%})"
        )
    if pool["open"] < pool["pairs"] / 2:
        guard, entry = max(report["guards"].items(), key=lambda item: item[1]["dropped"] * ("per_" not in item[0]))
        found.append(
            f"the guards dropped {pool['pairs'] - pool['open']:,} of {pool['pairs']:,} pairs, "
            f"most of them ({entry['dropped']:,}) by {guard!r}: {entry['reason']}"
        )
    if pool["unreadable"]:
        found.append(f"{pool['unreadable']:,} rows of the pool could not be parsed and were left out")
    if not report["evaluations"]:
        found.append("no evaluation table was given, so an evaluation query may be among the picks")
    if not report["has_train"]:
        found.append("no training table was given, so a pair that is labelled already may be among the picks")
    return found


def report_text(report: dict[str, Any]) -> str:
    """The report for people."""
    pool, ood = report["pool"], report["ood"]
    lines = [
        f"picked {report['picked']:,} of {pool['pairs']:,} pairs by {report['strategy']} "
        f"(budget {report['budget']:,}, seed {report['seed']})",
        "dropped by the guards:",
    ]
    for name, entry in report["guards"].items():
        details = ", ".join(f"{key} {count:,}" for key, count in entry["details"].items() if count)
        extra = f" ({details})" if details else ""
        lines.append(f"  {name:<10}{entry['dropped']:>9,}  {entry['reason']}{extra}")
    lines += [
        f"above the {ood['above_percentile']:g}th percentile of known pairs ({ood['expected']:.0%} expected): "
        f"pool {ood['pool']:.1%}, picks {ood['picks']:.1%}",
        "predicted grades, pool → picks:",
    ]
    picks = report["predicted_grades"]["picks"]
    for name, share in report["predicted_grades"]["pool"].items():
        lines.append(f"  {name}: {share:.0%} → {picks[name]:.0%}")
    return "\n".join(lines + [f"warning: {warning}" for warning in report["warnings"]])
