"""Building: files, words for what is missing, errors that name their mend, the command."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from darl.cli.main import app
from darl.errors import MissingExtraError, RunError
from darl.report import build_report
from darl.report.page import numbers_of, render_page
from darl.report.parts import Chart, Part
from darl.report.pictures import vega, whole_spec, write_pictures
from darl.report.runs import open_run
from darl.report.texts import read_texts
from darl.report.theme import PALETTES, VEGA_LITE


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may break."""
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def test_a_page_and_two_pictures_a_chart(copied: Path) -> None:
    found = build_report(copied, seconds=30, sample=30)
    assert found.page == copied / "report" / "report.html"
    charts = [chart for part in found.parts for chart in part.charts]
    assert len({chart.name for chart in charts}) == len(charts)
    assert len(found.pictures) == 2 * len(charts)
    for path in found.pictures:
        head = path.read_bytes()[:8]
        assert head.startswith(b"<svg") if path.suffix == ".svg" else head == b"\x89PNG\r\n\x1a\n"
    assert found.bytes == found.page.stat().st_size < 5_000_000
    assert list(found.lacking) == ["rounds"]
    said = json.loads(json.dumps(found.to_dict()))  # fit for JSON
    assert said["reads"]["headline"]


def test_every_part_says_what_to_read_and_what_to_do(run: Path, bare_run: Path, tmp_path: Path) -> None:
    for which in (run, bare_run):
        found = build_report(which, out=tmp_path / "x.html", pictures=False, seconds=0)
        for part in found.parts:
            assert part.reads or part.missing, part.name
            assert part.then, part.name
            assert bool(part.charts or part.tables) != bool(part.missing), part.name


def test_files_that_are_gone_cost_the_texts_and_not_the_report(copied: Path, tmp_path: Path) -> None:
    recipe = copied / "recipe.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("test_far.jsonl", "gone.jsonl"), encoding="utf-8")
    found = build_report(copied, out=tmp_path / "page.html", pictures=False)
    assert "cannot be read any more" in found.lacking["mistakes"]
    assert "mistakes" not in found.to_dict()["reads"]
    assert found.to_dict()["reads"]["headline"]


def test_a_test_file_that_changed_is_not_shown_beside_figures_of_another(copied: Path, tmp_path: Path) -> None:
    opened = open_run(copied)
    assert opened.recipe.data.tests["far"].path
    source = Path(str(opened.recipe.data.tests["far"].path))
    lines = source.read_text(encoding="utf-8").splitlines()[:-3]
    (tmp_path / "shorter.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = copied / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8").replace(str(source), str(tmp_path / "shorter.jsonl"))
    recipe.write_text(text, encoding="utf-8")
    texts = read_texts(open_run(copied))
    assert list(texts.tests) == ["id"]
    assert "far has changed" in texts.problem


def test_a_folder_without_a_finished_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        build_report(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"recipe\.yaml is missing"):
        build_report(tmp_path)


def test_damaged_predictions_are_named(copied: Path) -> None:
    path = copied / "predictions-far.npz"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(RunError, match="predictions cannot be read"):
        build_report(copied)
    np.savez(path, grades=np.zeros(3), probabilities=np.ones((3, 3)), predicted=np.zeros(3), groups=np.zeros(3))
    with pytest.raises(RunError, match="no probabilities"):
        build_report(copied)


def test_metrics_of_another_version_are_named(copied: Path) -> None:
    (copied / "metrics.json").write_text('{"name": "x", "evaluation": {"splits": {"id": {}}}}', encoding="utf-8")
    with pytest.raises(RunError, match="not what this version"):
        build_report(copied)


def test_a_baseline_of_other_grades_is_refused(copied: Path, run: Path) -> None:
    recipe = copied / "recipe.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("weak", "faint"), encoding="utf-8")
    with pytest.raises(RunError, match="other grades"):
        build_report(run, baseline=copied, pictures=False, seconds=0)


def test_without_the_extra_the_mend_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(MissingExtraError, match=r"darl\[report\]"):
        build_report(run)


def test_a_chart_is_drawn_in_both_looks_and_only_in_colours_of_the_palette(tmp_path: Path) -> None:
    spec = {"mark": {"type": "point", "color": "@id"}, "encoding": {"x": {"field": "a", "type": "quantitative"}}}
    chart = Chart("one", "One", spec, [{"a": 1}, {"a": 2}], "one and two")
    drawn = {theme: vega().vegalite_to_svg(whole_spec(chart, theme=theme), vl_version=VEGA_LITE) for theme in PALETTES}
    for theme, svg in drawn.items():
        assert PALETTES[theme]["@id"] in svg
        assert PALETTES[theme]["@paper"] in svg
        assert "@" not in svg.replace("@import", "")
    write_pictures([chart], tmp_path, theme="dark")
    assert {path.name for path in tmp_path.iterdir()} == {"one.svg", "one.png"}


@pytest.mark.parametrize("theme", list(PALETTES))
def test_text_colours_have_the_contrast_that_wcag_asks_for(theme: str) -> None:
    palette = PALETTES[theme]
    assert contrast(palette["@ink"], palette["@paper"]) >= 7
    assert contrast(palette["@muted"], palette["@paper"]) >= 4.5
    assert contrast(palette["@on-high"], palette["@high"]) >= 4.5
    for role in ("@id", "@ood", "@ood2", "@ood3", "@baseline", "@picked"):
        assert contrast(palette[role], palette["@paper"]) >= 3, role  # graphics


def contrast(one: str, two: str) -> float:
    """WCAG 2.2's contrast ratio of two colours."""

    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_large_data_is_not_repeated_as_a_table() -> None:
    assert numbers_of(Chart("c", "C", {}, [{"a": 1}] * 500, "")) is None


def test_parts_of_any_page_can_be_drawn() -> None:
    page = render_page([Part("a", "A & B", reads="x < y", then="go")], title="T", about="", footer="")
    assert "A &amp; B" in page
    assert "x &lt; y" in page


def test_the_command_prints_what_the_page_says(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    call = ["report", str(run), "-o", str(out), "--no-pictures", "--seconds", "0", "--quiet"]
    told = CliRunner().invoke(app, call)
    assert told.exit_code == 0, told.output
    assert "How good is it?" in told.stdout
    assert str(out) in told.stdout
    found = json.loads(CliRunner().invoke(app, [*call, "--output", "json"]).stdout)
    assert found["page"] == str(out)
    assert found["bytes"] == out.stat().st_size


def test_the_command_names_a_mistake_and_leaves_with_two(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert told.exit_code == 2
    assert "no finished run" in told.output
