"""How long to wait before a request is sent again."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0


def backoff(attempt: int, draw: random.Random) -> float:
    """Seconds before attempt + 1 (from 0): uniform in [0, min(60, 1 · 2^attempt)].

    "Full jitter", which spreads clients that failed together (Brooker 2015, *Exponential backoff and jitter*).

    >>> 0 <= backoff(3, random.Random(0)) <= 8
    True
    """
    return draw.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempt, 30)))


def asked_wait(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The seconds that ``Retry-After`` asks for, as a number or a date (RFC 9110 §10.2.3); None where it does not.

    >>> asked_wait({"retry-after": "2"}), asked_wait({}), asked_wait({"retry-after": "soon"})
    (2.0, None, None)
    """
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, TypeError):
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
