"""The verdict on the claims, on made-up rows."""

from __future__ import annotations

from typing import Any

import pytest

from ablation_verdict import CLAIMS, headline, lines_of, mean_of, verdicts

SUITES = ("patents", "retail", "health_zh")


def row(suite: str, ours: str, against: str, tier: str, decoder: bool = False, **figures: tuple) -> dict[str, Any]:
    """A comparison row; a figure that begins with ``times_`` is a ratio."""
    return {
        "kind": "comparison", "suite": suite, "decoder": decoder, "ours": ours, "against": against, "tier": tier,
        "differences": {name: list(value) for name, value in figures.items() if not name.startswith("times_")},
        "ratios": {name[6:]: list(value) for name, value in figures.items() if name.startswith("times_")},
    }  # fmt: skip


def dasa(*gains: tuple[float, float, float]) -> list[dict[str, Any]]:
    names = zip(SUITES, gains, strict=False)
    return [row(suite, "dasa_labels", "random_labels", "far", macro_f1=gain) for suite, gain in names]


def found(rows: list[dict[str, Any]], name: str) -> Any:
    return next(one for one in verdicts(rows) if one.claim.name.startswith(name))


def test_a_claim_holds_where_the_mean_clears_the_bar_and_its_interval_leaves_out_zero() -> None:
    verdict = found(dasa((0.03, 0.02, 0.04), (0.02, 0.01, 0.03), (0.04, 0.01, 0.07)), "DASA")
    assert verdict.holds is True
    assert verdict.findings[0].mean[0] == pytest.approx(0.03)


def test_judged_on_dev_the_shifted_set_stands_for_far() -> None:
    assert found([row("patents", "dasa_labels", "random_labels", "shift", macro_f1=(0.03, 0.01, 0.05))], "DASA").holds


def test_a_mean_below_the_bar_does_not_hold() -> None:
    assert found(dasa((0.019, 0.01, 0.03)), "DASA").holds is False


def test_an_interval_that_covers_zero_does_not_hold() -> None:
    assert found(dasa((0.03, -0.01, 0.07)), "DASA").holds is False


def test_one_harmed_suite_is_enough() -> None:
    verdict = found(dasa((0.09, 0.08, 0.1), (0.09, 0.08, 0.1), (-0.02, -0.03, -0.01)), "DASA")
    assert verdict.findings[0].mean[0] > 0.05
    assert verdict.findings[0].harmed == ["health_zh"]
    assert verdict.holds is False


def test_where_a_suite_was_climbed_with_matching_those_rungs_count() -> None:
    """The others go in with what they have, and nothing counts twice."""
    rows = [
        row("patents", "interpolation", "frozen", "far", macro_f1=(-0.01, -0.02, 0.0)),
        row("patents", "matching", "frozen", "far", macro_f1=(0.05, 0.03, 0.07)),
        row("retail", "interpolation", "frozen", "far", macro_f1=(0.01, 0.0, 0.02)),
    ]
    assert {s: v[0] for s, v in found(rows, "Multi-stage").findings[0].suites.items()} == {
        "patents": 0.05,
        "retail": 0.01,
    }


def test_harm_within_noise_is_none() -> None:
    assert found(dasa((0.09, 0.08, 0.1), (-0.02, -0.05, 0.01)), "DASA").holds is True


def test_nothing_measured_is_no_verdict() -> None:
    assert {verdict.holds for verdict in verdicts([])} == {None}
    assert "not measured" in "\n".join(lines_of(verdicts([])))


OCC = {
    "times_ece": (0.4, 0.3, 0.5),
    "qwk": (0.02, 0.01, 0.03),
    "macro_f1": (0.0, -0.01, 0.01),
    "middle_recall": (0.01, 0.005, 0.02),
}


def test_all_parts_of_occ_must_hold() -> None:
    assert found([row("patents", "occ", "cross_entropy", "mean", **OCC)], "OCC against cross").holds is True
    for worse in (
        {"times_ece": (0.51, 0.4, 0.6)},
        {"times_ece": (0.5, 0.3, 1.1)},
        {"qwk": (0.02, -0.01, 0.03)},
        {"macro_f1": (-0.001, -0.01, 0.01)},
        {"middle_recall": (-0.01, -0.02, 0.02)},
    ):
        rows = [row("patents", "occ", "cross_entropy", "mean", **(OCC | worse))]
        assert found(rows, "OCC against cross").holds is False


def test_a_part_that_is_missing_leaves_the_claim_open() -> None:
    rows = [row("patents", "occ", "cross_entropy", "mean", **{k: v for k, v in OCC.items() if k != "qwk"})]
    assert found(rows, "OCC against cross").holds is None


def test_what_is_lost_is_positive() -> None:
    rows = [
        row("patents", "interpolation", "frozen", "far", macro_f1=(0.02, 0.01, 0.03)),
        row("patents", "interpolation", "frozen", "id", macro_f1=(-0.002, -0.01, 0.006)),
    ]
    assert found(rows, "Multi-stage").holds is True
    assert headline(rows) == {
        "stages_far_f1_gain": 0.02,
        "stages_far_f1_gain_low": 0.01,
        "stages_id_f1_loss": 0.002,
    }
    rows[1]["differences"]["macro_f1"] = [-0.02, -0.03, -0.01]
    verdict = found(rows, "Multi-stage")
    assert verdict.findings[1].harmed == ["patents"]
    assert verdict.holds is False


def full(suite: str, against: str, decoder: bool, far: float) -> list[dict[str, Any]]:
    return [
        row(suite, "full", against, "far", decoder, macro_f1=(far, far - 0.01, far + 0.01), times_gap=(0.4, 0.2, 0.6)),
        row(suite, "full", against, "id", decoder, macro_f1=(0.01, 0.0, 0.02)),
        row(suite, "full", against, "mean", decoder, times_ece=(0.3, 0.2, 0.4)),
    ]


def test_the_naive_one_is_the_verbalizer_on_a_decoder_and_the_head_on_an_encoder() -> None:
    rows = full("patents", "verbalizer", True, 0.1) + full("patents", "cross_entropy", True, 0.9)
    assert found(rows, "Full").findings[0].mean[0] == pytest.approx(0.1)
    assert found(full("patents", "cross_entropy", False, 0.2), "Full").holds is True


def test_backbones_of_a_suite_count_once() -> None:
    rows = full("patents", "verbalizer", True, 0.1) + full("patents", "cross_entropy", False, 0.3)
    rows += full("health_zh", "cross_entropy", False, 0.5)
    finding = found(rows, "Full").findings[0]
    assert finding.suites["patents"][0] == pytest.approx(0.2)
    assert finding.mean[0] == pytest.approx(0.35)


def test_half_widths_add_in_squares() -> None:
    assert mean_of([(1.0, 0.7, 1.1), (3.0, 2.6, 3.1)]) == pytest.approx((2.0, 2 - 0.5 / 2, 2 + 0.2**0.5 * 0.1**0.5 / 2))


def test_every_headline_key_comes_from_one_part() -> None:
    keys = [part.key for claim in CLAIMS for part in claim.parts if part.key]
    assert len(keys) == len(set(keys)) == 10
