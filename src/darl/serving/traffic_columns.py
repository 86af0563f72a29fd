"""Columns that a client names for its own traffic: the header ``X-Traffic-Columns: domain=lighting&shop=eu``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

HEADER = "x-traffic-columns"
MOST_LETTERS = 100
"""Of a value: a slice is a name, not a text."""


def traffic_columns(headers: Mapping[str, str], wanted: Sequence[str]) -> dict[str, str]:
    """What the header says of the columns that the log keeps; others, and what cannot be read, are left out.

    The header is of the form of a query string, so that any letter can be written in it. A log must never cost
    an answer: there is no error.

    Args:
        headers: of the request, names in any case that the mapping takes. wanted: names of the log's columns.

    >>> traffic_columns({"x-traffic-columns": "domain=caf%C3%A9&shop=eu&else=1"}, ["domain", "shop"])
    {'domain': 'café', 'shop': 'eu'}
    >>> traffic_columns({}, ["domain"])
    {}
    """
    text = headers.get(HEADER, "") if wanted else ""
    try:
        found = dict(parse_qsl(text, max_num_fields=100))
    except ValueError:  # more fields than anybody means
        return {}
    return {name: found[name][:MOST_LETTERS] for name in wanted if name in found}
