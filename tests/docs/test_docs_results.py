"""The tables of the page of results say what the result files say, rounded as shown."""

from __future__ import annotations

import re

import pytest
from docs_blocks import REPO

from darl.storage import read_json

PAGE = (REPO / "docs" / "results.md").read_text(encoding="utf-8")


def headline(name: str) -> dict[str, float]:
    return read_json(REPO / "benchmarks" / "results" / f"{name}.json")["headline"]


def row(start: str) -> list[str]:
    """The cells after the first of the table row that begins so."""
    found = [line for line in PAGE.splitlines() if line.startswith(f"| {start} |")]
    assert len(found) == 1, f"{len(found)} rows begin with {start!r}"
    return [cell.strip().strip("*") for cell in found[0].strip("|").split("|")[1:]]


@pytest.mark.parametrize(("label", "metric"), [("macro-F1", "f1_gain"), ("QWK", "qwk_gain")])
def test_the_main_job(label: str, metric: str) -> None:
    figures = headline("main_job")
    for cell, split in zip(row(label), ("id", "near", "far"), strict=True):
        shown = float(re.match(r"\+(\.\d+)", cell)[1])  # type: ignore[index]
        setting = "patents_minilm-l6_full_tune.epochs=6_tune.start=probe"
        gain = figures[f"{setting}_cross_entropy_tune.learning_rate=1e-4_{split}_{metric}"]
        assert shown == pytest.approx(gain, abs=0.00051)


@pytest.mark.parametrize("suite", ["patents", "retail", "health_zh"])
def test_telling_in_from_out(suite: str) -> None:
    figures = headline("ood")
    shown = [float(cell) for cell in row(suite)]
    assert shown == pytest.approx([figures[f"{suite}_near_auroc"], figures[f"{suite}_far_auroc"]], abs=0.00051)


def test_drift() -> None:
    figures = headline("drift")
    rows = row("false alarms") + row("windows with 10 % far pairs caught")
    shown = [float(cell.removesuffix(" %")) / 100 for cell in rows]
    names = ["false_alarm_rate", "false_alarm_rate_texts_only", "power_10", "power_10_texts_only"]
    assert shown == pytest.approx([figures[name] for name in names], abs=0.0051)
