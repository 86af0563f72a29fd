"""griffe extension: docstrings as this project writes them, as Markdown.

Doctests stand bare in the text (``>>>`` would be a quotation three deep) and become code blocks; Sphinx's roles
(``:func:`darl.fit` ``) become plain code.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

ROLE = re.compile(r":(?:func|class|mod|meth|data|attr):`~?([^`]+)`")


class DocstringExamples(Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: Any, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """The docstring with fenced doctests and without roles.

    >>> print(as_markdown("See :func:`darl.fit`.\\n\\n>>> 1 + 1\\n2\\n\\nMore."))
    See `darl.fit`.
    <BLANKLINE>
    ```pycon
    >>> 1 + 1
    2
    ```
    <BLANKLINE>
    More.
    """
    lines, inside = [], False
    for line in ROLE.sub(r"`\1`", text).splitlines():
        if not inside and line.startswith(">>>"):
            lines.append("```pycon")
            inside = True
        elif inside and not line.strip():
            lines.append("```")
            inside = False
        lines.append(line)
    return "\n".join([*lines, *(["```"] if inside else [])])
