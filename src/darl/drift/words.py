"""The verdict in words, for a terminal."""

from __future__ import annotations

from darl.drift.check import Drift
from darl.drift.judge import WindowDrift

SIGNALS = {
    "pairs": "pairs far out (surprise²)",
    "items": "new item wording (surprise²)",
    "wording": "new query wording (surprise²)",
    "queries": "strange queries (surprise²)",
    "features": "features (MMD²)",
    "grades": "grade mix (PSI)",
}
SHOWN = 3


def verdict(found: Drift) -> str:
    """One sentence.

    >>> verdict(Drift([], [], [], "", 0.05, "x", 1, 1))
    'Too little traffic to judge.'
    """
    if found.state == "too little":
        return "Too little traffic to judge."
    if found.state == "calm":
        return "Calm: the traffic looks like what the model knows."
    worst = min((one for one in found.windows if one.name in found.alarms), key=lambda one: one.p)
    where = "" if len(found.windows) == 1 else f" in {len(found.alarms)} of {len(found.windows)} windows"
    return f"Alarm: the traffic has moved{where}. {reasons(worst, found.alpha)}"


def reasons(window: WindowDrift, alpha: float) -> str:
    """What of a window is unlike known traffic, most telling first."""
    said = [
        f"{share(sum(one.share for one in window.slices if one.new and one.column == name))} of pairs have values "
        f"of {name} that no known query has (p {p_text(p)})"
        for name, p in sorted(window.new_values.items(), key=lambda entry: entry[1])
        if p <= alpha
    ]
    said += [
        f"{SIGNALS[one.name]} {one.value:.3g} where {one.expected:.3g} is usual (p {p_text(one.p)})"
        for one in sorted(window.signals, key=lambda one: one.p)
        if one.p <= alpha
    ]
    return "; ".join(said[:3]) + "." if said else ""


def drift_text(found: Drift) -> str:
    """The whole answer."""
    lines = [
        verdict(found),
        f"held against {found.known_pairs:,} held-out pairs of {found.known_queries:,} queries; "
        f"level {found.alpha:g}" + (" for all windows together" if len(found.windows) > 1 else ""),
        "",
    ]
    for one in found.windows:
        lines += window_lines(one, one.name in found.alarms)
    lines += [f"note: {text}" for text in found.notes]
    if found.command:
        lines += ["", "next, pick what to label:", f"  {found.command}"]
    return "\n".join(lines)


def window_lines(one: WindowDrift, alarm: bool) -> list[str]:
    """A window in a few lines; calm ones in one."""
    state = "ALARM" if alarm else "calm" if one.state == "alarm" else one.state
    head = f"{one.name}: {state} (p {p_text(one.p)}), {one.pairs:,} pairs of {one.queries:,} queries"
    if one.far_share is not None:
        spread = one.far_share
        head += f", far out {share(spread.estimate)} [{share(spread.low)}, {share(spread.high)}]"
        head += f", usual {share(one.expected)}"
    if one.accuracy is not None:
        right = one.accuracy.estimate
        head += (
            f", estimated accuracy {share(right.estimate)} [{share(right.low)}, {share(right.high)}], "
            f"known {share(one.accuracy.known)}"
        )
    if not alarm:
        return [head]
    lines = [head]
    for signal in one.signals:
        usual = f"usual {signal.expected:.3g}"
        lines.append(f"  {SIGNALS[signal.name]:<40}{signal.value:>8.3g}  {usual}, p {p_text(signal.p)}")
    for name, p in one.new_values.items():
        lines.append(f"  new values of {name}: p {p_text(p)}")
    for part in one.slices[:SHOWN]:
        new = ", new" if part.new else ""
        far = "" if part.far_share is None else f", far out {share(part.far_share)}"
        lines.append(f"  slice {part.column}={part.value}: {part.pairs:,} pairs{new}{far}")
    for group in one.clusters[:SHOWN]:
        lines.append(f"  cluster “{group.name}”: {len(group.rows):,} pairs of {group.queries:,} queries")
        lines += [f"    {query} → {item}"[:110] for query, item in group.examples]
    return lines


def share(value: float) -> str:
    """A share in per cent.

    >>> share(0.0512), share(float("nan"))
    ('5.1 %', 'unknown')
    """
    return f"{100 * value:.1f} %" if value == value else "unknown"


def p_text(p: float) -> str:
    """A p for people.

    >>> p_text(0.0004), p_text(0.04)
    ('< .001', '.040')
    """
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")
