"""The page that describes the server's endpoints, in a real browser."""

from __future__ import annotations

from pathlib import Path

from running_server import serving

from browser import Visit


def test_the_page_loads_everything_from_the_server_itself(served_model: Path, visit: Visit) -> None:
    """FastAPI's own page needs a content network; a server in a closed network would show nothing."""
    with serving(served_model, "spare=false") as running:
        page = visit(f"{running.url}/docs")
        page.get_by_text("/v2/rerank", exact=True).first.wait_for()
        assert page.title().startswith("darl")
    visit.check()
