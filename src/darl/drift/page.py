"""The drift of some traffic as one page, in the look of the run's report."""

from __future__ import annotations

from darl.drift.check import Drift
from darl.drift.judge import WindowDrift
from darl.drift.words import SIGNALS, p_text, reasons, share, verdict
from darl.report import Chart, Part, Table, Tile, render_page
from darl.report.parts import cut

MOST_WINDOWS = 12  # with sections of their own; all stand in the overview


def drift_page(found: Drift) -> str:
    """The page as HTML; it shows texts of the traffic, so share it as you would share them.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
    """
    parts = [_overview(found)]
    telling = [one for one in found.windows if one.name in found.alarms] or found.windows[-1:]
    parts += [_window(one, at, found) for at, one in enumerate(telling[:MOST_WINDOWS])]
    return render_page(
        parts,
        title="Has the traffic moved?",
        about=f"{found.source}, held against {found.known_pairs:,} held-out pairs of {found.known_queries:,} queries",
        footer=f"darl drift, level {found.alpha:g}",
        appendix=[("notes", "\n".join(found.notes))] if found.notes else (),
    )


def _overview(found: Drift) -> Part:
    rows = [_row(one, found) for one in found.windows]
    data = [
        {
            "window": one.name,
            "far out": one.far_share.estimate,
            "low": one.far_share.low,
            "high": one.far_share.high,
            "state": "alarm" if one.name in found.alarms else "no alarm",
        }
        for one in found.windows
        if one.far_share is not None
    ]
    y = {"title": "share of pairs far out", "axis": {"format": "%"}}
    x = {"field": "window", "type": "nominal", "sort": None}
    spec = {
        "layer": [
            {
                "mark": "rule",
                "encoding": {"x": x, "y": {"field": "low", "type": "quantitative", **y}, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 70},
                "encoding": {
                    "x": x,
                    "y": {"field": "far out", "type": "quantitative", **y},
                    "shape": {"field": "state", "type": "nominal"},
                },
            },
        ]
    }
    chart = Chart(
        "far-share", "Share of pairs far out, 95 % intervals over queries; 5 % is usual", spec, data, _alt(found)
    )
    return Part(
        "verdict",
        "Verdict",
        reads=verdict(found),
        then="Pick what to label from this traffic, label it, and fit again." if found.alarms else "Nothing to do.",
        command=found.command,
        urgency=3 if found.alarms else 0,
        tiles=[
            Tile("state", found.state),
            Tile("windows that alarm", f"{len(found.alarms)} of {len(found.windows)}"),
        ],
        charts=[chart] if data else [],
        tables=[
            Table(
                ["window", "state", "p", "pairs", "queries", "far out", "estimated accuracy"],
                rows,
                "Accuracy is estimated from calibrated confidence; a shift the model does not notice escapes it.",
                numbers=frozenset({2, 3, 4, 5, 6}),
            )
        ],
    )


def _alt(found: Drift) -> str:
    return f"Share of far pairs for each of {len(found.windows)} windows; {len(found.alarms)} alarm."


def _row(one: WindowDrift, found: Drift) -> list[str]:
    state = "alarm" if one.name in found.alarms else "calm" if one.state == "alarm" else one.state
    far = "–" if one.far_share is None else share(one.far_share.estimate)
    right = "–" if one.accuracy is None else share(one.accuracy.estimate.estimate)
    return [one.name, state, p_text(one.p), f"{one.pairs:,}", f"{one.queries:,}", far, right]


def _window(one: WindowDrift, at: int, found: Drift) -> Part:
    signals = [[SIGNALS[s.name], f"{s.value:.3g}", f"{s.expected:.3g}", p_text(s.p)] for s in one.signals]
    signals += [[f"new values of {name}", "–", "–", p_text(p)] for name, p in one.new_values.items()]
    slices = [
        [f"{s.column}={cut(s.value, 60)}", f"{s.pairs:,}", "–" if s.known_share is None else share(s.known_share),
         "–" if s.far_share is None else share(s.far_share)]
        for s in one.slices
    ]  # fmt: skip
    examples = [[cut(c.name, 60), cut(q, 200), cut(i, 200)] for c in one.clusters for q, i in c.examples]
    tables = [Table(["signal", "value", "usual", "p"], signals, numbers=frozenset({1, 2, 3}))]
    if slices:
        tables.append(
            Table(["slice", "pairs", "known queries with it", "far out"], slices, numbers=frozenset({1, 2, 3}))
        )
    if examples:
        tables.append(Table(["cluster", "query", "item"], examples, "Queries that stand out.", wide=frozenset({1, 2})))
    return Part(
        f"window-{at}", f"Window {one.name}", reads=reasons(one, found.alpha) or "Nothing stands out.", tables=tables
    )
