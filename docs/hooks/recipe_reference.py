"""mkdocs hook: the tables of all recipe keys, written from the settings themselves."""

from __future__ import annotations

import json
from typing import Any, get_args

MARK = "RECIPE_TABLES"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Puts the tables where the page says ``RECIPE_TABLES``."""
    return markdown.replace(MARK, recipe_tables()) if MARK in markdown else markdown


def recipe_tables() -> str:
    """One section a group of keys, in the recipe's own order."""
    from darl.recipe.settings import Recipe

    return _table("At the top", "", Recipe) + "".join(_groups("", Recipe))


def _groups(prefix: str, settings: Any) -> list[str]:
    parts = []
    for name, field in settings.model_fields.items():
        group = _settings_of(field.annotation)
        if group is not None:
            parts += [_table(f"`{prefix}{name}`", f"{prefix}{name}.", group), *_groups(f"{prefix}{name}.", group)]
    return parts


def _table(title: str, prefix: str, settings: Any) -> str:
    about = " ".join((settings.__doc__ or "").split()) if "__doc__" in vars(settings) else ""
    rows = [
        f"| `{prefix}{name}` | {_default(field)} | {_cell(field.description or '')} |\n"
        for name, field in settings.model_fields.items()
        if _settings_of(field.annotation) is None
    ]
    return f"\n## {title}\n\n{about}\n\n| key | default | |\n|---|---|---|\n{''.join(rows)}"


def _settings_of(annotation: Any) -> Any:
    """The group of settings behind an annotation (``X | None``, ``list[X]`` and ``dict[str, X]`` included), or None."""
    from darl.recipe.settings import Settings

    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    found = [_settings_of(part) for part in get_args(annotation)]
    return next((one for one in found if one is not None and one.__name__ != "Source"), None)


def _default(field: Any) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    return "" if value is None or value in ({}, []) else f"`{json.dumps(value, ensure_ascii=False)}`"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
