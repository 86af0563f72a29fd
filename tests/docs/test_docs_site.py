"""The site is built strictly (links, anchors and names hold), asks nobody for anything, and reads well in a browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from docs_blocks import REPO

if TYPE_CHECKING:
    from browser import Visit

pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install 'darl[docs]'")
LOADED = re.compile(
    r"<(?:script|img|iframe|source)[^>]+src=[\"']?(https?:|//)"
    r"|<link(?![^>]*canonical)[^>]+href=[\"']?(https?:|//)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=500, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    wrong = [str(page.relative_to(site)) for page in pages if LOADED.search(page.read_text(encoding="utf-8"))]
    assert not wrong


def test_the_reference_is_filled(site: Path) -> None:
    commands = (site / "reference" / "cli.html").read_text(encoding="utf-8")
    assert "darl label merge" in commands
    assert "--tokens-per-batch" in commands
    verbs = (site / "reference" / "verbs.html").read_text(encoding="utf-8")
    assert "darl.fit" in verbs
    assert "&gt;&gt;&gt; " not in re.sub(r"<code>.*?</code>", "", verbs, flags=re.DOTALL)
    assert ":func:" not in verbs
    assert "interpolate.max_id_loss" in (site / "reference" / "recipe.html").read_text(encoding="utf-8")


# Page: whether it is looked at for barriers in the light and in the dark. The colours of the dark are one stylesheet's,
# so two pages are enough that hold prose, code, tables and a picture.
PAGES = {
    "index": (True, True),
    "tutorial": (True, True),
    "results": (True, False),
    "serving": (True, False),
    "guides/own-data": (True, False),
    "reference/recipe": (True, False),
    "reference/cli": (False, False),
    "explain/paper": (False, False),
}


@pytest.mark.parametrize("dark", [False, True], ids=["light on a desk", "dark on a phone"])
def test_pages_fit_the_screen_are_accessible_and_ask_no_other_server(visit: Visit, address: str, dark: bool) -> None:
    from browser import serious_violations

    width = 390 if dark else 1280
    for page, looked_at in PAGES.items():
        shown = visit(f"{address}/{page}.html", width=width, dark=dark)
        overflow = shown.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 1, f"{page} is {overflow} pixels wider than {width}"
        if page == "index":
            assert shown.locator("img.picture").evaluate("one => one.naturalWidth") > 0
        if looked_at[dark]:
            shown.wait_for_selector(".md-search[aria-label]", state="attached")
            assert serious_violations(shown) == [], page
