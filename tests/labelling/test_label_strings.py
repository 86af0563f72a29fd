"""The page's files: one text file a language, nothing from elsewhere, nothing of a pair as markup."""

from __future__ import annotations

import json
import re

from darl.labelling.page import STATIC

LANGUAGES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (STATIC / "strings").glob("*.json")}
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")}
PAGE = (STATIC / "index.html").read_text(encoding="utf-8")


def test_every_language_has_every_text_with_the_same_fields() -> None:
    assert set(LANGUAGES) == {"en", "zh"} == set(re.findall(r'(\w+): "', SCRIPTS["strings.js"].split("}")[0]))
    fields = {
        code: {name: sorted(re.findall(r"\{\w+\}", text)) for name, text in texts.items()}
        for code, texts in LANGUAGES.items()
    }
    assert fields["en"] == fields["zh"]


def test_every_text_is_used_and_every_use_has_a_text() -> None:
    used = set(re.findall(r'data-(?:text|label)="(\w+)"', PAGE))
    code = SCRIPTS["page.js"] + SCRIPTS["calls.js"]
    quoted = set(re.findall(r'"(\w+)"', code)) | {name for row in re.findall(r'"\w (\w+)"', code) for name in [row]}
    assert used <= set(LANGUAGES["en"])
    assert set(re.findall(r'(?:say|tell)\("(\w+)"', code)) <= set(LANGUAGES["en"])
    server_codes = {"database"}  # the server says it, the page looks it up
    assert set(LANGUAGES["en"]) <= used | quoted | server_codes


def test_texts_never_become_markup_and_nothing_comes_from_elsewhere() -> None:
    code = "".join(SCRIPTS.values())
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|srcdoc", code)
    assert not re.search(r"https?:|//cdn", code + PAGE + (STATIC / "page.css").read_text(encoding="utf-8"))
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", PAGE)
