"""Figures as texts: the same number of digits everywhere, intervals in brackets."""

from __future__ import annotations

import math

from darl.evaluation import Interval
from darl.evaluation.catalogue import metric_info


def figure(value: float | None, digits: int = 3) -> str:
    """A figure without its leading zero; an en dash where there is none.

    >>> figure(0.5123), figure(-0.04), figure(1.25), figure(float("nan"))
    ('.512', '−.040', '1.250', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{abs(value):.{digits}f}"
    shown = text[1:] if text.startswith("0.") else text
    return ("−" if value < 0 and float(text) else "") + shown


def signed(value: float | None, digits: int = 3) -> str:
    """A difference with its sign.

    >>> signed(0.02), signed(-0.02), signed(0.0)
    ('+.020', '−.020', '.000')
    """
    text = figure(value, digits)
    return f"+{text}" if value is not None and math.isfinite(value) and round(value, digits) > 0 else text


def with_interval(found: Interval | None, *, sign: bool = False, digits: int = 3) -> str:
    """An estimate with its interval.

    >>> with_interval(Interval(0.5, 0.45, 0.55)), with_interval(Interval(0.5)), with_interval(None)
    ('.500 [.450, .550]', '.500', '–')
    """
    if found is None:
        return "–"
    show = signed if sign else figure
    ends = "" if math.isnan(found.low) else f" [{show(found.low, digits)}, {show(found.high, digits)}]"
    return show(found.estimate, digits) + ends


def share(value: float) -> str:
    """A share as a percentage.

    >>> share(0.053), share(0.5), share(0.0004)
    ('5.3 %', '50 %', '0.04 %')
    """
    percent = 100 * value
    digits = 0 if percent >= 10 or percent == 0 else 1 if percent >= 0.1 else 2
    return f"{percent:.{digits}f} %"


def label(metric: str) -> str:
    """A metric's name with the direction that is better.

    >>> label("macro_f1"), label("ece")
    ('macro-F1 ↑', 'ECE ↓')
    """
    info = metric_info(metric)
    return f"{info.label} {'↑' if info.higher_is_better else '↓'}"


def listed(names: list[str]) -> str:
    """Names as in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
