"""Rows held against the published ones, and results that take in a new run of a setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ablation import outside, save
from darl.storage import read_json


def row(macro_f1: float, rung: str = "occ", preset: str | None = "small", **more: Any) -> dict[str, Any]:
    figures = {"macro_f1": macro_f1, "qwk": 0.6, "ece": 0.05}
    intervals = {f"{name}_interval": [value - 0.02, value + 0.02] for name, value in figures.items()}
    place = {"suite": "patents", "backbone": "minilm-l6", "tune": "full", "preset": preset, "rung": rung, "tier": "far"}
    return {"kind": "rung", **place, **figures, **intervals, **more}


def test_where_both_intervals_allow_it_nothing_is_said() -> None:
    assert outside([row(0.40)], [row(0.428)]) == []  # √2 · .02
    narrow = row(0.419) | {"macro_f1_interval": [0.419, 0.60]}  # the side that faces the other figure counts
    assert outside([row(0.40)], [narrow]) == []
    assert outside([row(0.40)], [narrow | {"macro_f1": 0.421, "macro_f1_interval": [0.421, 0.60]}])


@pytest.mark.parametrize("figure", [0.371, 0.429, float("nan")])
def test_outside_them_the_figure_is_named(figure: float) -> None:
    (said,) = outside([row(0.40)], [row(figure)])
    assert said.startswith("occ far: macro_f1")
    assert "published 0.400 [0.380, 0.420]" in said


def test_what_was_never_published_is_no_success() -> None:
    assert outside([row(0.40, preset=None)], [row(0.40)]) == ["occ far: not published"]
    assert outside([], [row(0.40)]) == ["occ far: not published"]


def comparison(gain: float, preset: str | None) -> dict[str, Any]:
    place = {"suite": "patents", "backbone": "minilm-l6", "tune": "full", "preset": preset, "decoder": False}
    pair = {"kind": "comparison", "ours": "dasa_labels", "against": "random_labels", "tier": "far"}
    return {**place, **pair, "differences": {"macro_f1": [gain, gain - 0.01, gain + 0.01]}, "ratios": {}}


def test_a_new_run_of_a_setting_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "ablation.json"
    save([comparison(0.01, None)], path)
    save([comparison(0.05, "small")], path)
    save([comparison(0.03, None)], path)
    found = read_json(path)
    kept = {row["preset"]: row["differences"]["macro_f1"][0] for row in found["rows"]}
    assert kept == {"small": 0.05, None: 0.03}
    assert len(found["rows"]) == 2
    assert found["headline"] == {"dasa_far_f1_gain": 0.03, "dasa_far_f1_gain_low": 0.02}  # of full size alone
    assert {"benchmark", "command", "commit", "machine", "headline", "rows"} == set(found)
