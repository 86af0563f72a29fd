"""What a page is made of: parts with charts and tables, each with what to read from it and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Chart:
    """One picture, drawn the same in the page, in PNG and in SVG.

    Attributes:
        name: unique in a page, fit for a file name.
        title: what it shows, with its unit.
        spec: Vega-Lite without data, size and colours: a colour is the name of a role, as in ``"@id"``
            (see :mod:`darl.report.theme`). Nothing of a user's text may stand in an expression.
        data: one dictionary a mark; its keys are the words that a reader sees in hovers and in the table.
        alt: what it shows, for a reader who cannot see it.
        height: in pixels. canvas: draw on a canvas, for thousands of marks.
    """

    name: str
    title: str
    spec: dict[str, Any]
    data: list[dict[str, Any]]
    alt: str
    height: int = 220
    canvas: bool = False


@dataclass(frozen=True)
class Table:
    """A table of texts. ``wide`` columns (by position) hold long texts; ``numbers`` are set flush right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    wide: frozenset[int] = frozenset()
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Tile:
    """A number to see first: its label, the number, and a word on it."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Part:
    """One section of a page.

    Attributes:
        name: its anchor. title: a question or a noun.
        reads: in one sentence, what to read from it.
        then: what to do next, in one sentence; ``command`` is ready to run.
        missing: where a run lacks what this part shows, the words that stand in its place.
        urgency: 0 … 3, by which the page lists what to do next; 0 is not listed.
        summary: the table is drawn with the charts; ``more`` tables are folded away.
    """

    name: str
    title: str
    reads: str = ""
    then: str = ""
    command: str = ""
    missing: str = ""
    urgency: int = 0
    tiles: Sequence[Tile] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    more: Sequence[Table] = field(default=())


def lacking(name: str, title: str, missing: str, *, then: str = "", command: str = "") -> Part:
    """A part that a run has nothing for, said in words.

    >>> lacking("map", "Map", "The run has no OOD reference.").missing
    'The run has no OOD reference.'
    """
    return Part(name, title, missing=missing, then=then, command=command)


def cut(text: str, limit: int) -> str:
    """A text on one line, cut where it is longer than ``limit`` characters.

    >>> cut("red\\n  shoes", 20), cut("abcdef", 4)
    ('red shoes', 'abc…')
    """
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
