"""mkdocs hook: links from a page to a file of the repository that is no page, such as `../CONTRIBUTING.md`, lead to its
name; the site holds pages alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#:]+)\)")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turns such links into the plain name of the file; one that leads nowhere stays, and mkdocs refuses it."""
    docs = Path(config.docs_dir).resolve()
    here = (docs / page.file.src_uri).parent

    def named(match: re.Match[str]) -> str:
        target = (here / match[2]).resolve()
        outside = not target.is_relative_to(docs) and target.exists()
        return f"{match[1]} (`{target.relative_to(docs.parent)}`)" if outside else match[0]

    return LINK.sub(named, markdown)
