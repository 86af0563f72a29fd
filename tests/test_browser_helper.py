"""The browser helper itself: it must see the errors, requests and barriers that it promises to see."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser import Visit, serious_violations

GOOD = "<!doctype html><html lang='en'><head><title>t</title></head><body><main><h1>Hello</h1></main></body></html>"
UNREADABLE = GOOD.replace("<h1>", "<h1 style='color:#ccc;background:#fff'>").replace("lang='en'", "")


def test_a_page_from_disk(visit: Visit, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(GOOD)
    page = visit(path, width=390, dark=True, locale="zh-CN")
    assert page.evaluate("[innerWidth, navigator.language, matchMedia('(prefers-color-scheme: dark)').matches]") == [
        390,
        "zh-CN",
        True,
    ]
    assert serious_violations(page) == []
    path.write_text(UNREADABLE)
    page.reload()
    assert {text.split()[0] for text in serious_violations(page)} == {"color-contrast", "html-has-lang"}


def test_errors_and_outside_requests_are_seen(visit: Visit, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(GOOD.replace("</main>", "</main><script>console.error('odd'); throw new Error('broken')</script>"))
    visit(path)
    with pytest.raises(AssertionError, match=r"odd.*broken"):
        visit.check()
    visit.expects("odd|broken")
    visit.check()
    path.write_text(GOOD.replace("</main>", "</main><img src='http://127.0.0.1:9/x.png' alt='x'>"))
    visit.expects("ERR_")
    visit(path)
    with pytest.raises(AssertionError, match=r"outside.*x\.png"):
        visit.check()
    visit.outside.clear()
