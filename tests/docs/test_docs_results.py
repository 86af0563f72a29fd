"""The tables of the page of results say what the result files say, rounded as shown."""

from __future__ import annotations

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


MAIN_JOB = {
    "patents": "patents_minilm-l6_full_2000_tune.epochs=6_cross_entropy",
    "health_zh": "health_zh_me5-small_full_1500_tune.epochs=5_cross_entropy",
    "retail": "retail_minilm-l6_full_4000_tune.epochs=4_cross_entropy",
}


@pytest.mark.parametrize("suite", list(MAIN_JOB))
@pytest.mark.parametrize(
    ("label", "metric", "within"),
    [("macro-F1", "f1_gain", 0.00051), ("QWK", "qwk_gain", 0.00051), ("ECE, of the baseline's", "ece_ratio", 0.0051)],
)
def test_the_main_job(suite: str, label: str, metric: str, within: float) -> None:
    figures = headline("main_job-gpu")
    for cell, split in zip(row(f"{suite} {label}"), ("id", "near", "far"), strict=True):
        shown = float(cell.split()[0].replace("−", "-"))
        assert shown == pytest.approx(figures[f"{MAIN_JOB[suite]}_{split}_{metric}"], abs=within)


@pytest.mark.parametrize(
    ("label", "metric", "within"),
    [("macro-F1", "f1_gain", 0.00051), ("QWK", "qwk_gain", 0.00051), ("ECE, of the baseline's", "ece_ratio", 0.0051)],
)
def test_the_main_job_with_more_pairs_before_matching(label: str, metric: str, within: float) -> None:
    figures = headline("main_job")
    name = "health_zh_me5-small_full_3000_tune.epochs=5_match.enabled=false_cross_entropy"
    for cell, split in zip(row(f"health_zh, 3,000: {label}"), ("id", "near", "far"), strict=True):
        shown = float(cell.split()[0].replace("−", "-"))
        assert shown == pytest.approx(figures[f"{name}_tune.learning_rate=1e-4_{split}_{metric}"], abs=within)


MATCHED = {
    "patents": "patents_minilm-l6_full_2000_tune.epochs=6_cross_entropy_tune.learning_rate=1e-4",
    "retail": "retail_minilm-l6_full_4000_tune.epochs=4_cross_entropy_tune.learning_rate=1e-4",
    "health_zh": "health_zh_me5-small_full_3000_tune.epochs=5_cross_entropy_tune.learning_rate=1e-4",
}


@pytest.mark.parametrize("suite", list(MATCHED))
@pytest.mark.parametrize(
    ("label", "metric", "within"),
    [("macro-F1", "f1_gain", 0.00051), ("QWK", "qwk_gain", 0.00051), ("ECE, of the baseline's", "ece_ratio", 0.0051)],
)
def test_the_main_job_with_matching(suite: str, label: str, metric: str, within: float) -> None:
    figures = headline("main_job")
    for cell, split in zip(row(f"{suite}, matched: {label}"), ("id", "near", "far"), strict=True):
        shown = float(cell.split()[0].replace("−", "-"))
        assert shown == pytest.approx(figures[f"{MATCHED[suite]}_{split}_{metric}"], abs=within)


FINISHED = {
    "patents": ("minilm-l6", 2000, ["tune.epochs=6"]),
    "retail": ("minilm-l6", 4000, ["tune.epochs=4"]),
    "health_zh": ("me5-small", 3000, ["tune.epochs=5"]),
}
AFTERWARDS = {"macro-F1": "macro_f1", "QWK": "qwk", "NLL": "nll", "accuracy": "accuracy"}


@pytest.mark.parametrize("suite", list(FINISHED))
@pytest.mark.parametrize("method", ["temperature", "finished"])
def test_against_a_baseline_that_was_finished_with_care(suite: str, method: str) -> None:
    backbone, train, settings = FINISHED[suite]
    rows = {
        (row["method"], row["tier"]): row
        for row in read_json(REPO / "benchmarks" / "results" / "main_job.json")["rows"]
        if (row["suite"], row["backbone"], row["train"], row["set"]) == (suite, backbone, train, settings)
        and row["baseline"] == ["tune.learning_rate=1e-4"]
    }
    tiers = ("id", "near", "far")
    for cell, tier in zip(row(f"{suite}, {method}: ECE, of the baseline's"), tiers, strict=True):
        assert float(cell) == pytest.approx(rows["darl", tier]["ece"] / rows[method, tier]["ece"], abs=0.0051)
    for label, metric in AFTERWARDS.items() if method == "finished" else []:
        for cell, tier in zip(row(f"{suite}, finished: {label}"), tiers, strict=True):
            shown = [float(part.strip("[],").replace("−", "-")) for part in cell.split()]
            assert shown == pytest.approx(rows["finished", tier]["darl_minus_this"][metric], abs=0.00051)


@pytest.mark.parametrize("suite", ["patents", "retail"])
@pytest.mark.parametrize(
    ("label", "metric", "within"),
    [("macro-F1", "f1_gain", 0.00051), ("QWK", "qwk_gain", 0.00051), ("ECE, of the baseline's", "ece_ratio", 0.0051)],
)
def test_the_main_job_with_an_llm(suite: str, label: str, metric: str, within: float) -> None:
    figures = headline("main_job-gpu")
    for cell, split in zip(row(f"LLM {suite} {label}"), ("id", "near", "far"), strict=True):
        shown = float(cell.split()[0].replace("−", "-"))
        name = f"{suite}_smollm2-135m_full_2000_tune.epochs=3_tune.start=verbalizer_verbalizer_{split}_{metric}"
        assert shown == pytest.approx(figures[name], abs=within)


@pytest.mark.parametrize(
    ("claim", "name"),
    [
        ("OCC against cross-entropy: ECE before calibration", "occ_ece_ratio"),
        ("OCC against cross-entropy: QWK", "occ_qwk_gain"),
        ("multi-stage against plain tuning: far macro-F1", "stages_far_f1_gain"),
        ("DASA against random labels: far macro-F1", "dasa_far_f1_gain"),
        ("full pipeline against cross-entropy: far macro-F1", "full_far_f1_gain"),
        ("full pipeline against cross-entropy: ID macro-F1", "full_id_f1_gain"),
        ("full pipeline against cross-entropy: ECE", "full_ece_ratio"),
        ("full pipeline against cross-entropy: ID–far gap", "full_gap_ratio"),
    ],
)
def test_the_claims_of_the_ladder(claim: str, name: str) -> None:
    cell = row(claim)[0].removeprefix("× ").split()[0].replace("−", "-")
    assert float(cell) == pytest.approx(headline("ablation")[name], abs=0.0051 if "ratio" in name else 0.00051)


@pytest.mark.parametrize("suite", ["patents", "retail", "health_zh"])
def test_selections(suite: str) -> None:
    rows = [
        r for r in read_json(REPO / "benchmarks" / "results" / "selection.json")["rows"]
        if (r["suite"], r["strategy"], r["budget"]) == (suite, "coverage", 500)
    ]  # fmt: skip
    gains = {(r["share"], r["tier"]): r["minus_random"]["macro_f1"] for r in rows}
    shown = [cell.strip("*").replace("−", "-") for cell in row_of("## Selections", suite)]
    for cell, share in zip(shown, (0.05, 0.2, 0.5), strict=False):
        figures = [float(part.strip("[],")) for part in cell.split()]
        assert figures == pytest.approx(gains[share, "far"], abs=0.00051)
    assert float(shown[3]) == pytest.approx(min(gains[share, "id"][0] for share in (0.05, 0.2, 0.5)), abs=0.00051)


@pytest.mark.parametrize("suite", ["patents", "retail", "health_zh"])
def test_telling_in_from_out(suite: str) -> None:
    figures = headline("ood")
    shown = [float(cell) for cell in row_of("## Telling in from out", suite)]
    assert shown == pytest.approx([figures[f"{suite}_near_auroc"], figures[f"{suite}_far_auroc"]], abs=0.00051)


def test_drift() -> None:
    figures = headline("drift")
    names = ["false_alarm_rate", "false_alarm_rate_texts_only"]
    assert shares(row("false alarms")) == pytest.approx([figures[name] for name in names], abs=0.0051)
    rows = read_json(REPO / "benchmarks" / "results" / "drift.json")["rows"]
    power = {(r["suite"], r["mode"]): r["alarm_rate"] for r in rows if r["drawn"] == "queries"}
    for start, suite in (
        ("windows with 10 % far pairs caught: patents", "patents"),
        ("retail", "retail"),
        ("health_zh", "health_zh"),
    ):
        assert shares(row_of("## Drift", start)) == pytest.approx(
            [power[suite, mode] for mode in ("column", "texts")], abs=0.0051
        )


def shares(cells: list[str]) -> list[float]:
    return [float(cell.removesuffix(" %")) / 100 for cell in cells]


def row_of(heading: str, start: str) -> list[str]:
    """As :func:`row`, in one section of the page."""
    section = PAGE.split(f"{heading}\n")[1].split("\n## ")[0]
    (found,) = [line for line in section.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip().strip("*") for cell in found.strip("|").split("|")[1:]]
