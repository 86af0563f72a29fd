"""A real browser for the tests of pages: Debian's Chromium through Playwright, and axe-core for accessibility.

A test asks for the fixture ``visit`` and opens pages with it::

    def test_page(visit: Visit) -> None:
        page = visit("http://127.0.0.1:8000/", width=390, dark=True, locale="zh-CN")
        assert not serious_violations(page)

When the test ends, every page that was opened must have asked nothing of any other origin, and its console must
be free of errors; a test that provokes an error says so with ``visit.expects(r"ERR_CONNECTION_REFUSED")``.
Where no browser is found the test is skipped with the reason. ``DARL_CHROMIUM`` names another browser.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",  # Chromium refuses its sandbox to root, and CI is often root; the tests open only own pages
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",  # a container's /dev/shm is often 64 MB, too small for a tab
    "--disable-gpu",
)


def find_chromium() -> str | None:
    """The path of a Chromium on this machine: ``DARL_CHROMIUM``, or one of the usual names on the path."""
    named = os.environ.get("DARL_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


class Visit:
    """Opens pages, each in a browser context of its own, and remembers what they did wrong."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.errors: list[str] = []
        self.outside: list[str] = []
        self._expected: list[re.Pattern[str]] = []
        self._contexts: list[Any] = []

    def __call__(
        self,
        url: str | Path,
        *,
        width: int = 1280,
        height: int = 800,
        dark: bool = False,
        locale: str = "en-GB",
        wait: str = "load",
        **context: Any,
    ) -> Page:
        """A new page at ``url`` (a path is opened from disk), as a browser of this size, theme and language.

        Args:
            wait: when the page counts as there, as Playwright's ``wait_until``.
            context: more settings of Playwright's ``browser.new_context``.
        """
        address = url.resolve().as_uri() if isinstance(url, Path) else url
        opened = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            locale=locale,
            reduced_motion="reduce",
            **context,
        )
        self._contexts.append(opened)
        page = opened.new_page()
        page.set_default_timeout(20_000)  # a busy machine is slow, a missing element is still found out
        page.on("console", lambda message: message.type == "error" and self.errors.append(_said(message)))
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("request", lambda request: self._asked(request.url, address))
        page.goto(address, wait_until=wait)  # type: ignore[arg-type]
        return page

    def expects(self, pattern: str) -> None:
        """Console errors that match this are part of the test."""
        self._expected.append(re.compile(pattern))

    def check(self) -> None:
        """Fails on a console error that nobody expects and on a request to another origin."""
        wrong = [text for text in self.errors if not any(pattern.search(text) for pattern in self._expected)]
        assert not wrong, f"errors in the browser's console: {wrong}"
        assert not self.outside, f"requests outside the page's own server: {self.outside}"

    def close(self) -> None:
        """Closes every page."""
        for context in self._contexts:
            context.close()

    def _asked(self, url: str, own: str) -> None:
        asked, home = urlsplit(url), urlsplit(own)
        inline = asked.scheme in ("data", "blob", "about")
        same = asked.path == home.path if home.scheme == "file" else True  # a page on disk stands alone
        if not inline and not (same and (asked.scheme, asked.netloc) == (home.scheme, home.netloc)):
            self.outside.append(url)


def serious_violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is now, from "serious" up: rule, help and the first elements."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: {[node['target'] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


# A module's own: Playwright's event loop counts as running in this thread, so it must not outlive the module,
# or `asyncio.run` in other tests would be refused.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium for the tests of one module; skips, with the reason, where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium, or name one with DARL_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Opens pages; after the test no page may have had a console error or asked anything of another origin."""
    visit = Visit(chromium)
    yield visit
    visit.close()
    visit.check()


def _said(message: Any) -> str:
    return f"{message.text} ({message.location.get('url', '')})"
