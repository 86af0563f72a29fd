"""The page in a real browser: quiet, alone, accessible, and showing texts as texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from browser import Visit, serious_violations
from darl.report import Report, build_report

DRAWN = "document.documentElement.dataset.drawn"
PATIENCE = 60_000  # milliseconds for all charts on a busy machine; two seconds on a calm one
# Where the last picked pair was drawn, in the coordinates of the window.
PLACE_OF_LAST_PICKED = """() => {
  const place = document.querySelector("[data-chart=map]"), view = place.drawn.view;
  const marks = JSON.parse(document.getElementById("data").textContent).charts.map.data;
  const mark = marks.filter((row) => row.set === "picked").at(-1);
  const box = place.querySelector("canvas").getBoundingClientRect();
  const [left, top] = view.origin(), edge = view.padding();
  return [box.x + left + edge.left + view.scale("x")(mark.x), box.y + top + edge.top + view.scale("y")(mark.y)];
}"""


@pytest.fixture(scope="module")
def built(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A page with everything: a baseline, picked pairs with hostile texts, rounds."""
    folder = tmp_path_factory.mktemp("page")
    picked = folder / "picked.jsonl"
    pool = [json.loads(line) for line in (run.parent / "pool.jsonl").read_text(encoding="utf-8").splitlines()[:12]]
    rows = [{"query": row["query"], "item": row["item"], "reason": "<img src=x onerror=alert(1)>"} for row in pool]
    picked.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out = folder / "page.html"
    return build_report(run, baseline=run, picked=picked, rounds=[run], out=out, seconds=60, sample=40, pictures=False)


def test_on_a_desk_the_page_is_quiet_accessible_and_shows_texts_as_texts(built: Report, visit: Visit) -> None:
    page = visit(built.page)
    page.wait_for_function(f"{DRAWN} === 'light'", timeout=PATIENCE)
    drawn = page.evaluate("[...document.querySelectorAll('[data-chart]')].map((p) => !!p.querySelector('svg, canvas'))")
    assert len(drawn) == sum(len(part.charts) for part in built.parts)
    assert all(drawn)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert serious_violations(page) == []

    assert page.title() == "Relevance model: <i>tiny</i>"
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.querySelectorAll('img, iframe, h1 i, td b').length") == 0
    mistakes = page.locator("#mistakes").inner_text()
    assert "<script>window.hacked = 1</script>" in mistakes
    assert max(map(len, mistakes.splitlines())) < 2000  # 10 kB titles are cut
    assert "<b>pets</b>" in page.locator("#slices").inner_text()

    with page.expect_download() as download:
        page.locator("[data-save=svg]").first.click()
    assert download.value.suggested_filename == "headline-macro_f1.svg"
    assert Path(download.value.path()).read_text(encoding="utf-8").startswith("<svg")


def test_on_a_phone_at_night_nothing_hangs_over_and_a_hover_shows_the_pair(built: Report, visit: Visit) -> None:
    page = visit(built.page, width=390, dark=True)
    page.wait_for_function(f"{DRAWN} === 'dark'", timeout=PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert serious_violations(page) == []

    page.locator("[data-chart=map]").scroll_into_view_if_needed()
    page.mouse.move(*page.evaluate(PLACE_OF_LAST_PICKED))
    tip = page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    shown = tip.inner_text()
    assert "query" in shown
    assert "<img src=x onerror=alert(1)>" in shown
    assert page.evaluate("document.querySelectorAll('#vg-tooltip-element img').length") == 0

    page.locator("#theme").click()
    page.wait_for_function(f"{DRAWN} === 'light'", timeout=PATIENCE)


def test_a_bare_run_says_in_words_what_it_lacks(bare_run: Path, visit: Visit, tmp_path: Path) -> None:
    built = build_report(bare_run, out=tmp_path / "bare.html", pictures=False)
    assert set(built.lacking) == {"slices", "ood", "map", "sweep", "rounds"}
    page = visit(built.page, width=390)
    page.wait_for_function(DRAWN, timeout=PATIENCE)
    for name, words in built.lacking.items():
        assert words in page.locator(f"#{name}").inner_text()
        assert page.locator(f"#{name} [data-chart]").count() == 0  # no empty plot
    assert serious_violations(page) == []
