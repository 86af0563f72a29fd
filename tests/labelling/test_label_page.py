"""The page in a real browser: keyboard alone, reload, a killed server, several people, any text, two languages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from label_world import Command, begin, in_thread, some_pairs

from browser import Visit, serious_violations
from darl import GradeScale, PairTable
from darl.labelling import Database, open_project, read_answers

if TYPE_CHECKING:
    from playwright.sync_api import Page

LONG = "<b>" + "Very long title 长标题 " * 600
HOSTILE = (
    ("<script>window.hacked=1</script>", "<img src=x onerror=window.hacked=1>"),
    ("حذاء رياضي أحمر", "حذاء للجري Adidas ‎42‎ أحمر"),
    ("safe\u202egnp.exe\u2066", "🧦👩‍👩‍👧‍👦 ‮txet ידיד‬ \u200f&amp;&lt;"),
    ("</p></main><h1>gone", LONG),
)


def enter(page: Page, name: str) -> None:
    """By keyboard: the field for the name has the focus."""
    page.wait_for_selector("#annotator:focus")
    page.keyboard.insert_text(name)
    page.keyboard.press("Enter")
    page.wait_for_selector("#work:not([hidden]), #done:not([hidden])")


def press(page: Page, key: str) -> None:
    """A key that changes the pair; waits until the page says so."""
    count = shown(page)
    page.keyboard.press(key)
    page.wait_for_selector(f"body:not([data-shown='{count}'])")


def shown(page: Page) -> str | None:
    """How many pairs have come into sight."""
    return page.get_attribute("body", "data-shown")


def query(page: Page) -> str:
    return page.text_content("#query") or ""


def test_twenty_labels_by_keyboard_alone(visit: Visit, tmp_path: Path) -> None:
    project = begin(tmp_path / "a.sqlite", 24, guideline="# Grades\n\n<b>strong</b>: it is what was asked for")
    with in_thread(project) as url:
        page = visit(url)
        enter(page, "Ann Lee")
        assert page.text_content("#guideline") == project.settings.guideline
        seen = []
        for step in range(20):
            seen.append(query(page))
            press(page, str(step % 3 + 1))
        assert seen == [f"query {i}" for i in range(20)]
        press(page, "u")  # back, another grade and a note
        assert query(page) == "query 19"
        assert page.text_content("#before") == "Before: weak"
        page.keyboard.press("n")
        page.keyboard.insert_text("12 su")
        page.keyboard.press("x")  # in the field it is a letter
        page.keyboard.press("Escape")
        press(page, "3")
        press(page, "s")  # query 20, comes back last
        press(page, "x")  # query 21: cannot tell
        press(page, "1")
        page.keyboard.press("h")
        page.wait_for_selector("#keys[open]")
        page.keyboard.press("1")  # the list of keys is open: no answer
        page.keyboard.press("Escape")
        assert query(page) == "query 23"
        for _ in range(30):  # without single keys: Tab to a grade, Enter
            if page.evaluate("document.activeElement.dataset.grade") == "1":
                break
            page.keyboard.press("Tab")
        press(page, "Enter")
        assert query(page) == "query 20"
        assert page.text_content("#before") == "You skipped this pair before."
        press(page, "2")
        assert page.is_visible("#done")
        assert page.text_content("#notice") == "Saved: weak"
        press(page, "u")
        press(page, "2")
    rows = {one.query: one for one in read_answers(tmp_path / "a.sqlite").rows}
    assert len(rows) == 24
    assert [rows[f"query {i}"].grade for i in range(24)] == [*[i % 3 for i in range(19)], 2, 1, None, 0, 1]
    assert (rows["query 19"].note, rows["query 21"].outcome) == ("12 sux", "cannot_tell")
    assert all(one.seconds is not None and 0 < one.seconds < 60 for one in rows.values())


def test_a_reload_loses_nothing(visit: Visit, tmp_path: Path) -> None:
    with in_thread(begin(tmp_path / "a.sqlite", 6)) as url:
        page = visit(url)
        enter(page, "Ann")
        for key in "123":
            press(page, key)
        page.reload()
        page.wait_for_selector("#work:not([hidden])")
        assert query(page) == "query 3"
        assert page.text_content("#counts") == "3 of about 6 · yours: 3"
        press(page, "u")
        assert query(page) == "query 2"


def test_a_killed_server_loses_nothing(visit: Visit, tmp_path: Path) -> None:
    pairs, database = tmp_path / "picked.jsonl", tmp_path / "picked.labels.sqlite"
    some_pairs(12).to_jsonl(pairs)
    options = (pairs, "--grades", "irrelevant,weak,strong", "--repeat-share", "0")
    visit.expects("ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE")
    with Command(*options, "--port", 0) as server:
        page = visit(server.url)
        enter(page, "Ann")
        for key in "1231":
            press(page, key)
        server.kill()
        count = shown(page)
        page.keyboard.press("3")
        page.wait_for_selector("#notice.trouble")
        assert "Not saved yet" in (page.text_content("#notice") or "")
        page.keyboard.press("2")  # not heard: the answer before is still on its way
    assert len(read_answers(database)) == 4
    with Command(*options, "--port", server.port):
        page.wait_for_selector(f"body:not([data-shown='{count}'])")
        assert query(page) == "query 5"
        assert not page.locator("#notice.trouble").count()
        page.evaluate(  # the page is closed with an answer on its way: the next page sends it
            """async () => {
                const held = await (await fetch("/api/next", {method: "POST", body: JSON.stringify({annotator: "Ann"}),
                    headers: {"Content-Type": "application/json", "X-Darl": "label"}})).json();
                const said = {annotator: "Ann", token: held.task.token, outcome: "grade", grade: 1};
                localStorage.setItem("darl.pending", JSON.stringify(said));
            }"""
        )
        page.reload()
        page.wait_for_selector("#work:not([hidden])")
        assert query(page) == "query 6"
    rows = read_answers(database).rows
    assert [(one.query, one.grade) for one in rows] == [(f"query {i}", g) for i, g in enumerate((0, 1, 2, 0, 2, 1))]


def test_two_browsers_at_once_get_disjoint_pairs(visit: Visit, tmp_path: Path) -> None:
    with in_thread(begin(tmp_path / "a.sqlite", 16)) as url:
        pages = [visit(url), visit(url, locale="zh-CN")]
        for page, name in zip(pages, ("Ann", "李雷"), strict=True):
            enter(page, name)
        seen: list[list[str]] = [[], []]
        for step in range(16):
            assert query(pages[0]) != query(pages[1])
            seen[step % 2].append(query(pages[step % 2]))
            press(pages[step % 2], "2")
        assert not set(seen[0]) & set(seen[1])
        assert sorted(seen[0] + seen[1]) == sorted(f"query {i}" for i in range(16))
        assert all(page.is_visible("#done") for page in pages)


def test_a_pair_answered_elsewhere_is_said_to_be(visit: Visit, tmp_path: Path) -> None:
    visit.expects("409")
    with in_thread(begin(tmp_path / "a.sqlite", 6)) as url:
        first = visit(url)
        enter(first, "Ann")
        second = visit(url)  # the same person, in another browser: the same pair
        enter(second, "ann")
        press(first, "1")
        press(first, "u")
        press(second, "2")
        assert "answered or taken back elsewhere" in (second.text_content("#notice") or "")
        assert query(second) == query(first) == "query 0"


def test_any_text_is_shown_as_text(visit: Visit, tmp_path: Path) -> None:
    names = GradeScale(("<i>no</i>", "يمكن", "✅ yes"))
    queries, items = zip(*HOSTILE, strict=True)
    table = PairTable.from_pairs(queries, items, brand=["<u>brand</u>"] * len(queries))
    hostile = {"guideline": "<script>window.hacked=1</script>\n" + LONG, "show": ("brand",), "repeat_share": 0.0}
    project = open_project(Database(tmp_path / "a.sqlite", create=True), table, scale=names, settings=hostile)
    with in_thread(project) as url:
        for width in (1280, 390):
            page = visit(url, width=width)
            enter(page, f"<b>Ann</b> \u202e{width}")
            while page.is_visible("#work"):
                wanted = dict(HOSTILE)
                assert page.text_content("#item") == wanted[query(page)]
                assert page.text_content("#fields dd") == "<u>brand</u>"
                sideways = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
                assert sideways <= 0, f"{query(page)!r} at {width} pixels runs {sideways} out of sight"
                direction = page.evaluate("getComputedStyle(document.getElementById('query')).direction")
                assert direction == ("rtl" if query(page).startswith("ح") else "ltr")
                if page.text_content("#item") == LONG:
                    box = "(e => [e.tabIndex, e.scrollHeight > e.clientHeight])(document.getElementById('item'))"
                    assert page.evaluate(box) == [0, True]
                    assert serious_violations(page) == []
                for button in page.locator(".grade").all():
                    place = button.bounding_box()
                    assert place is not None
                    assert place["y"] + place["height"] <= 800  # in sight however long the texts
                press(page, "2" if width == 390 else "x")
            assert page.locator(".grade .word").all_text_contents() == list(names.names)
            assert page.locator("main script, main img, main b, main u, main h1").count() == 0
            assert page.evaluate("window.hacked") is None
            assert page.text_content("#guideline") == project.settings.guideline


@pytest.mark.parametrize(("locale", "dark", "width"), [("en-GB", False, 1280), ("zh-CN", True, 390)])
def test_no_barrier(visit: Visit, tmp_path: Path, locale: str, dark: bool, width: int) -> None:
    with in_thread(begin(tmp_path / "a.sqlite", some_pairs(2, brand=["x", "y"]), show=("brand",))) as url:
        page = visit(url, dark=dark, width=width, locale=locale)
        page.wait_for_selector("#enter:not([hidden])")
        found = {"enter": serious_violations(page)}
        enter(page, "Ann")
        press(page, "1")
        press(page, "u")
        page.keyboard.press("g")
        page.keyboard.press("n")
        found["work"] = serious_violations(page)
        page.keyboard.press("Escape")
        page.keyboard.press("h")
        page.wait_for_selector("#keys[open]")
        found["keys"] = serious_violations(page)
        page.keyboard.press("Escape")
        press(page, "1")
        press(page, "3")
        found["done"] = serious_violations(page)
        assert found == {"enter": [], "work": [], "keys": [], "done": []}


def test_the_language_is_the_browsers_and_can_be_changed(visit: Visit, tmp_path: Path) -> None:
    with in_thread(begin(tmp_path / "a.sqlite", 3)) as url:
        page = visit(url, locale="zh-CN")
        enter(page, "韩梅梅")
        assert page.text_content("#cannot-tell") == "x 无法判断"
        assert page.evaluate("document.documentElement.lang") == "zh-Hans"
        press(page, "1")
        assert page.text_content("#notice") == "已保存：irrelevant"
        page.keyboard.press("l")
        page.wait_for_selector("html[lang=en]")
        assert page.text_content("#notice") == "Saved: irrelevant"
        page.reload()
        page.wait_for_selector("#work:not([hidden])")
        assert page.text_content("#cannot-tell") == "x Cannot tell"  # what was chosen is kept
        french = visit(url, locale="fr-FR")
        french.wait_for_selector("#enter h2:not(:empty)")  # the words come with the project
        assert french.text_content("#enter h2") == "Who is labelling?"


def test_the_key_in_the_link_opens_the_page(visit: Visit, tmp_path: Path) -> None:
    visit.expects("401")
    project = begin(tmp_path / "a.sqlite", 3)
    with in_thread(project, key="secret") as url:
        page = visit(url)
        page.wait_for_selector("#notice.trouble")
        assert "Open the link that `darl label` printed" in (page.text_content("#notice") or "")
        page = visit(url + "#key=secret")
        enter(page, "Ann")
        assert page.url == url
        press(page, "1")
        page.reload()
        page.wait_for_selector("#work:not([hidden])")
        assert query(page) == "query 1"


def test_keys_by_place_and_keys_switched_off(visit: Visit, tmp_path: Path) -> None:
    def pressed(**event: Any) -> str:
        given = ", ".join(f"{name}: {value!r}" for name, value in event.items())
        return f"document.dispatchEvent(new KeyboardEvent('keydown', {{bubbles: true, {given}}}))"

    with in_thread(begin(tmp_path / "a.sqlite", 6)) as url:
        page = visit(url)
        enter(page, "Ann")
        for event in (
            {"key": "Process", "code": "KeyX"},
            {"key": "&", "code": "Digit1"},
            {"key": "3", "code": "Numpad3"},
        ):
            before = query(page)
            page.evaluate(pressed(**event))
            page.wait_for_function("q => document.getElementById('query').textContent !== q", arg=before)
        page.keyboard.press("Control+2")
        page.keyboard.press("9")  # there is no ninth grade
        page.keyboard.press("h")
        page.keyboard.press("Space")  # the switch for single keys has the focus
        page.keyboard.press("Escape")
        page.keyboard.press("1")
        assert query(page) == "query 3"
    rows = read_answers(tmp_path / "a.sqlite").rows
    assert [(one.outcome, one.grade) for one in rows] == [("cannot_tell", None), ("grade", 0), ("grade", 2)]
