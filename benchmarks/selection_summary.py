"""Summary of the selection benchmark: means over seeds, paired differences to random, label efficiency."""

from __future__ import annotations

from typing import Any

import numpy as np

DRAWS = 1000
METRICS = ("macro_f1", "qwk", "nll")


def figures(grades: np.ndarray, predicted: np.ndarray, chances: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """macro-F1, QWK and NLL under B weightings of the pairs, (B, n) → (3, B)."""
    K = chances.shape[1]
    cells = np.zeros((len(grades), K * K), dtype=np.float32)
    cells[np.arange(len(grades)), grades * K + predicted] = 1
    confusion = (weights @ cells).reshape(len(weights), K, K).astype(np.float64)  # (B, truth, predicted)
    hit = confusion.diagonal(axis1=1, axis2=2)
    rows, columns = confusion.sum(2), confusion.sum(1)
    present = rows + columns > 0
    f1 = np.where(present, 2 * hit / np.where(present, rows + columns, 1), 0).sum(1) / present.sum(1)
    cost = (np.arange(K)[:, None] - np.arange(K)) ** 2
    seen = (confusion * cost).sum((1, 2)) / confusion.sum((1, 2))
    chance = (rows[:, :, None] * columns[:, None, :] * cost).sum((1, 2)) / confusion.sum((1, 2)) ** 2
    nll = -np.log(np.maximum(chances[np.arange(len(grades)), grades], 1e-9))
    return np.stack([f1, 1 - seen / np.where(chance > 0, chance, 1), weights @ nll / weights.sum(1)])


def query_weights(groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """How often each pair stands in DRAWS resamples of whole queries, after one row of ones, (1 + DRAWS, n)."""
    queries, own = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(queries), np.full(len(queries), 1 / len(queries)), size=DRAWS)
    return np.vstack([np.ones(len(groups)), counts[:, own]]).astype(np.float32)


def summarise(rows: list[dict[str, Any]], grades: dict[str, tuple[str, ...]]) -> list[dict[str, Any]]:
    """One row a suite, share, budget, strategy and tier: figures, and differences to random and to no labels.

    An interval covers both the draw of queries and the seeds: in each draw whole queries and, with replacement,
    seeds are resampled, and the two strategies see the same ones.
    """
    cells: dict[tuple, dict[tuple[str, int], dict]] = {}
    for row in rows:
        cells.setdefault((row["suite"], row["share"], row["budget"]), {})[row["strategy"], row["seed"]] = row
    table = []
    for (suite, share, budget), found in cells.items():
        tiers = {key.split(".")[0] for key in next(iter(found.values()))["arrays"]}
        for tier in sorted(tiers, key=("id", "shift", "near", "far").index):
            draws = {key: _drawn(row["arrays"], tier) for key, row in found.items()}
            seeds = sorted({seed for _, seed in found})
            picked = np.random.default_rng(1).integers(len(seeds), size=(DRAWS, len(seeds)))
            for strategy in dict.fromkeys(name for name, _ in found):
                ours = [draws[strategy, seed] for seed in seeds]
                mean = np.mean([d[:, 0] for d in ours], axis=0)
                entry: dict[str, Any] = {
                    "suite": suite, "share": share, "budget": budget, "strategy": strategy, "tier": tier,
                    "seeds": seeds,
                    "new_share": float(np.mean([found[strategy, seed]["new"] for seed in seeds])),
                    **dict(zip(METRICS, mean.tolist(), strict=True)),
                }  # fmt: skip
                for other in ("random", "none"):
                    if other != strategy and (other, seeds[0]) in draws:
                        theirs = [draws[other, seed] for seed in seeds]
                        entry[f"minus_{other}"] = _difference(ours, theirs, picked)
                table.append(entry)
    return table


def _drawn(arrays: dict[str, np.ndarray], tier: str) -> np.ndarray:
    chances, grades = arrays[f"{tier}.probabilities"], arrays[f"{tier}.grades"]
    predicted = arrays.get(f"{tier}.predicted", chances.argmax(axis=1))
    return figures(grades, predicted, chances, query_weights(arrays[f"{tier}.groups"]))


def _difference(ours: list, theirs: list, picked: np.ndarray) -> dict[str, list[float]]:
    gaps = np.stack([a - b for a, b in zip(ours, theirs, strict=True)])  # (seeds, metrics, 1 + draws)
    resampled = np.stack([gaps[picked[:, s], :, np.arange(1, DRAWS + 1)] for s in range(picked.shape[1])]).mean(0)
    low, high = np.nanquantile(resampled, [0.025, 0.975], axis=0)
    mean = gaps[:, :, 0].mean(0)
    return {name: [float(mean[i]), float(low[i]), float(high[i])] for i, name in enumerate(METRICS)}


def show(table: list[dict[str, Any]]) -> None:
    """The table for people."""
    last = None
    for row in table:
        place = (row["suite"], row["share"], row["budget"], row["tier"])
        if place != last:
            print(f"\n{row['suite']}, {row['share']:.0%} new, budget {row['budget']}, {row['tier']}, {row['seeds']}")
            last = place
        text = f"  {row['strategy']:<22} new {row['new_share']:.0%}  " + "  ".join(f"{m} {row[m]:.3f}" for m in METRICS)
        for metric in ("macro_f1", "qwk") if "minus_random" in row else ():
            gain, low, high = row["minus_random"][metric]
            text += f"  {metric} − random {gain:+.3f} [{low:+.3f}, {high:+.3f}]"
        print(text)


def headline(table: list[dict[str, Any]], default: str = "coverage") -> dict[str, float]:
    """Gains of the default over random at 500 labels, the largest loss in distribution, label efficiency."""
    found: dict[str, float] = {}
    out = "far" if any(row["tier"] == "far" for row in table) else "shift"
    ours = [row for row in table if row["strategy"] == default and "minus_random" in row]
    for share in sorted({row["share"] for row in ours}):
        rows = [row for row in ours if row["share"] == share and row["tier"] == out and row["budget"] == 500]
        if rows:
            name = f"gain_{round(100 * share):02d}"
            found[name] = float(np.mean([row["minus_random"]["macro_f1"][0] for row in rows]))
            # suites are independent: half-widths of the mean add in squares
            widths = [row["minus_random"]["macro_f1"][0] - row["minus_random"]["macro_f1"][1] for row in rows]
            found[f"{name}_low"] = found[name] - float(np.sqrt(np.sum(np.square(widths)))) / len(rows)
    losses = [-row["minus_random"]["macro_f1"][0] for row in ours if row["tier"] == "id"]
    if losses:
        found["id_f1_loss_max"] = float(max(losses))
    ratios = [ratio for ratio in efficiencies(table, default, out).values() if ratio is not None]
    if ratios:
        found["label_efficiency"] = float(np.exp(np.mean(np.log(ratios))))
    return found


def efficiencies(table: list[dict[str, Any]], default: str, tier: str) -> dict[str, float | None]:
    """By suite and share: how many random labels buy the default's macro-F1 at 500, over 500.

    Random's curve is interpolated over the logarithm of the budget, from no labels (as one) on; None where
    random's largest budget does not reach it.
    """
    found: dict[str, float | None] = {}
    for row in table:
        if row["strategy"] != default or row["tier"] != tier or row["budget"] != 500:
            continue
        same = [r for r in table if (r["suite"], r["share"], r["tier"]) == (row["suite"], row["share"], tier)]
        curve = sorted((r["budget"], r["macro_f1"]) for r in same if r["strategy"] == "random")
        budgets = np.array([b for b, _ in curve], dtype=float)
        reached = np.maximum.accumulate([f for _, f in curve]) if curve else np.zeros(0)
        key = f"{row['suite']}_{row['share']:g}"
        if len(curve) < 2 or row["macro_f1"] > reached[-1]:
            found[key] = None
        else:
            place = np.interp(row["macro_f1"], reached, np.log(budgets))
            found[key] = float(np.exp(place) / 500)
    return found
